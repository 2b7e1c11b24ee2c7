"""The connection to this host's libvirt daemon: kept, renewed, listened to.

Calls go through ``Connection.run``; with green threads they are done by
native ones meanwhile. What the daemon tells by itself arrives in the
native thread of libvirt's event loop and is passed on by a relay.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import libvirt

from livemig import concurrency, exception
from livemig.virt.job import JobStats
from livemig.virt.libvirt import deadline, errors, stats

LOG = logging.getLogger(__name__)

T = TypeVar('T')

Translate = Callable[[libvirt.libvirtError], exception.HypervisorError]

#: A daemon that was stopped, or one whose machine is stuck, takes
#: connections and never answers.
OPEN_S = 10.0

#: How long a call may take before nobody waits for it any more. libvirt
#: itself waits 30 s for a guest that another call holds, but for ever for
#: a QEMU that does not answer.
READ_S = 40.0
ORDER_S = 120.0
#: What starts a QEMU, or reads or writes all its memory.
LONG_S = 3600.0

#: Seconds between two signs of life, and how many may be missed.
KEEPALIVE_S = 5
KEEPALIVE_COUNT = 3

#: Callers that waited for a failing attempt do not all make another one.
RETRY_AFTER_S = 1.0

#: How often, and after how long, something is read that could not be.
READS = 10
READ_AGAIN_S = 0.1

#: Final figures kept, of as many guests.
FIGURES = 1000

_loop: list[concurrency.Handle] = []


def start_event_loop() -> None:
    """Run libvirt's event loop in a native thread, once in this process.

    Must come before the first ``open``: on an older connection callbacks
    can be registered, but never come (measured with libvirt 9.0).
    """
    if not _loop:
        libvirt.virEventRegisterDefaultImpl()
        libvirt.registerErrorHandler(_be_quiet, None)
        _loop.append(
            concurrency.native_thread(_run_loop, name='libvirt-events')
        )


def _be_quiet(context: object, error: object) -> None:
    """libvirt prints each error to stderr otherwise; it raises them too."""


def _run_loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            LOG.error('libvirt event loop: %s', errors.text(error))


class Hangs(exception.HypervisorUnavailable):
    """A call about this guest does not return; others may."""

    template = 'The hypervisor of {host} says nothing {reason}'


@dataclasses.dataclass
class _Open:
    """An open connection, and what was registered on it."""

    conn: libvirt.virConnect
    #: Set by whoever notices; such a connection is never used again.
    lost: bool = False
    listeners: list[int] = dataclasses.field(default_factory=list)


class Connection:
    """One daemon; opened when it is first needed."""

    def __init__(self, uri: str, host: str, clock: concurrency.Clock) -> None:
        self._uri = uri
        self._host = host
        self._clock = clock
        self._lock = concurrency.Lock()
        self._current: _Open | None = None
        self._failed_at_s: float | None = None
        self._failure = ''
        #: By guest: the call that nobody waits for any more.
        self._hanging: dict[str, deadline.Call[Any]] = {}
        self._relay = concurrency.Relay()
        self._figures: collections.OrderedDict[str, JobStats] = (
            collections.OrderedDict()
        )

    # -- calls --------------------------------------------------------------
    def run(
        self,
        fn: Callable[[libvirt.virConnect], T],
        guest_id: str = '',
        *,
        translate: Translate | None = None,
        limit_s: float | None = None,
    ) -> T:
        """``fn(connection)``, its libvirt errors translated.

        :param translate: makes livemig's error of libvirt's; without it
            the usual table does.
        :param limit_s: how long it may take; None: ``ORDER_S``.
        :raises HypervisorUnavailable: also if it takes longer; what comes
            of it then is seen from the guest's state.
        :raises HypervisorError:
        """
        try:
            return self._run(fn, guest_id, limit_s or ORDER_S)
        except libvirt.libvirtError as error:
            if translate is None:
                found = errors.translate(error, self._host, guest_id)
            else:
                found = translate(error)
            raise found from error

    def read(
        self, fn: Callable[[libvirt.virConnect], T], guest_id: str = ''
    ) -> T:
        """The same for what only reads, and so can be done again: on a new
        connection if the old one turns out to be dead, and a moment later
        where a guest's QEMU has just died and the daemon does not know yet.

        :raises HypervisorUnavailable: also if that does not help.
        :raises GuestNotFound:
        """
        never = concurrency.Event()
        for _ in range(READS):
            try:
                return self._run(fn, guest_id, READ_S)
            except libvirt.libvirtError as error:
                found = errors.translate(error, self._host, guest_id)
                if errors.connection_lost(error):
                    continue
                if type(found) is not exception.HypervisorError:
                    raise found from error
                self._clock.wait(never, READ_AGAIN_S)
        raise exception.HypervisorUnavailable(found.message, host=self._host)

    def begin(
        self, fn: Callable[[libvirt.virConnect], T], name: str
    ) -> deadline.Call[T]:
        """``fn(connection)`` in a thread that may be left behind; its
        errors are libvirt's own.

        :raises HypervisorUnavailable:
        """
        opened = self._get()
        return deadline.Call(lambda: fn(opened.conn), name)

    def _run(
        self,
        fn: Callable[[libvirt.virConnect], T],
        guest_id: str,
        limit_s: float,
    ) -> T:
        opened = self._get()
        self._refuse_while_hanging(guest_id)
        call = deadline.Call(
            lambda: fn(opened.conn), name=f'libvirt-{guest_id}'
        )
        try:
            return call.result(limit_s)
        except TimeoutError as error:
            self._hanging[guest_id] = call
            raise self._hangs(guest_id, str(error)) from error
        except libvirt.libvirtError as error:
            if errors.connection_lost(error):
                opened.lost = True
            raise

    def _refuse_while_hanging(self, guest_id: str) -> None:
        """A daemon does only a few calls of one client at a time
        (``max_client_requests``, 5): a guest that hangs gets one of them.

        :raises Hangs:
        """
        before = self._hanging.get(guest_id)
        if before is None:
            return
        if before.alive:
            raise self._hangs(guest_id, 'a call has still not returned')
        self._hanging.pop(guest_id, None)

    def _hangs(self, guest_id: str, reason: str) -> Hangs:
        about = f'about guest {guest_id}' if guest_id else 'about the host'
        return Hangs(host=self._host, reason=f'{about}: {reason}')

    def _get(self) -> _Open:
        with self._lock:
            if self._current is not None:
                if not self._current.lost:
                    return self._current
                LOG.warning('Lost the connection to libvirt at %s.', self._uri)
                self._let_go()
            self._refuse_soon_after_failure()
            try:
                opened = _Open(self.open_another())
            except exception.HypervisorUnavailable as error:
                self._failed_at_s = self._clock.monotonic_s()
                self._failure = error.message
                raise
            self._failed_at_s = None
            self._current = opened
            concurrency.run_blocking(self._listen, opened)
            LOG.info('Connected to libvirt at %s.', self._uri)
            return opened

    def open_another(self) -> libvirt.virConnect:
        """A connection of the caller's own; the caller closes it.

        :raises HypervisorUnavailable:
        """
        start_event_loop()
        call = deadline.Call(self._open, name='libvirt-open')
        try:
            return call.result(OPEN_S)
        except TimeoutError as error:
            reason = f'{self._uri}: {error}'
        except libvirt.libvirtError as error:
            reason = f'{self._uri}: {errors.text(error)}'
        raise exception.HypervisorUnavailable(host=self._host, reason=reason)

    def close(self) -> None:
        with self._lock:
            self._let_go()
        self._relay.close()

    def _open(self) -> libvirt.virConnect:
        conn = libvirt.open(self._uri)
        try:
            conn.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)
        except libvirt.libvirtError as error:
            # A hypervisor within this very process needs none.
            if errors.code(error) != libvirt.VIR_ERR_NO_SUPPORT:
                raise
        return conn

    def _refuse_soon_after_failure(self) -> None:
        if self._failed_at_s is None:
            return
        passed_s = self._clock.monotonic_s() - self._failed_at_s
        if passed_s < RETRY_AFTER_S:
            raise exception.HypervisorUnavailable(
                self._failure, host=self._host
            )

    def _let_go(self) -> None:
        opened, self._current = self._current, None
        if opened is not None:
            concurrency.run_blocking(_close, opened)

    # -- what the daemon tells by itself ------------------------------------
    def _listen(self, opened: _Open) -> None:
        conn = opened.conn
        try:
            conn.registerCloseCallback(_on_close, opened)
            for event, callback in (
                (libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, self._on_job),
                (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
            ):
                opened.listeners.append(
                    conn.domainEventRegisterAny(None, event, callback, None)
                )
        except libvirt.libvirtError as error:
            # Hints only: outcomes are read from the guests' states.
            LOG.warning(
                'libvirt at %s will tell of no events: %s',
                self._uri,
                errors.text(error),
            )

    def _on_job(
        self,
        conn: libvirt.virConnect,
        domain: libvirt.virDomain,
        params: Mapping[str, Any],
        opaque: object,
    ) -> None:
        self._relay.call(self._keep, domain.UUIDString(), dict(params))

    def _on_lifecycle(
        self,
        conn: libvirt.virConnect,
        domain: libvirt.virDomain,
        event: int,
        detail: int,
        opaque: object,
    ) -> None:
        self._relay.call(self._lifecycle, domain.UUIDString(), event, detail)

    def _keep(self, guest_id: str, params: Mapping[str, Any]) -> None:
        figures = stats.completed(params)
        if figures is None:
            return
        self._figures.pop(guest_id, None)
        self._figures[guest_id] = figures
        while len(self._figures) > FIGURES:
            self._figures.popitem(last=False)
        LOG.debug('Job of guest %s completed: %s', guest_id, figures)

    def _lifecycle(self, guest_id: str, event: int, detail: int) -> None:
        LOG.debug('Guest %s: event %d, detail %d', guest_id, event, detail)
        if (event, detail) == (
            libvirt.VIR_DOMAIN_EVENT_STARTED,
            libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED,
        ):
            # It comes back: what is known of its leaving is out of date.
            self.forget_figures(guest_id)

    def figures(self, guest_id: str) -> JobStats | None:
        """What the daemon told when the guest's last job completed."""
        return self._figures.get(guest_id)

    def forget_figures(self, guest_id: str) -> None:
        self._figures.pop(guest_id, None)


def _on_close(conn: libvirt.virConnect, reason: int, opened: _Open) -> None:
    # In the event loop's thread: only a plain flag.
    opened.lost = True


def _close(opened: _Open) -> None:
    """Close, after taking back all that keeps the connection open."""
    conn = opened.conn
    for number in opened.listeners:
        _quietly(functools.partial(conn.domainEventDeregisterAny, number))
    _quietly(conn.unregisterCloseCallback)
    _quietly(conn.close)


def _quietly(fn: Callable[[], object]) -> None:
    try:
        fn()
    except libvirt.libvirtError as error:
        LOG.debug('Closing: %s', errors.text(error))
