"""One call of ``migrateToURI3`` per guest, in a native thread of its own.

The call is only how a transfer is begun and how its error text is learnt:
the transfer itself lives in libvirtd and QEMU, goes on without us, and is
judged by what both hypervisors say.
"""

from __future__ import annotations

import logging

import libvirt

from livemig import concurrency, exception
from livemig.virt.job import GuestState, JobState, JobStats
from livemig.virt.libvirt import connection, deadline, errors, flags, stats

LOG = logging.getLogger(__name__)


class Transfer:
    """A call that we made."""

    def __init__(
        self,
        conn: libvirt.virConnect,
        domain: libvirt.virDomain,
        request: flags.Request,
        guest_id: str,
    ) -> None:
        self.guest_id = guest_id
        self._request = request
        #: Written by the native thread once, then only read.
        self._error = ''
        self._ended = False
        self._last: JobStats | None = None
        self._handle = concurrency.native_thread(
            self._run, conn, domain, name=f'migrate-{guest_id}'
        )

    def _run(
        self, conn: libvirt.virConnect, domain: libvirt.virDomain
    ) -> None:
        request = self._request
        try:
            domain.migrateToURI3(request.uri, request.params, request.flags)
        except libvirt.libvirtError as error:
            self._error = f'{errors.text(error)} ({errors.code(error)})'
        except Exception as error:
            self._error = f'{type(error).__name__}: {error}'
            raise
        finally:
            self._ended = True
            del domain
            try:
                conn.close()
            except libvirt.libvirtError as error:
                LOG.debug('Closing: %s', errors.text(error))

    @property
    def running(self) -> bool:
        """Our call has not returned."""
        return not self._ended

    @property
    def error(self) -> str:
        """What libvirt said at the end; '' while running or if all was
        well."""
        return self._error if self._ended else ''

    def wait(self, limit_s: float) -> bool:
        """True if the call has returned within ``limit_s``."""
        return self._handle.join(limit_s)

    def unseen(self) -> JobStats:
        """The reading while our call runs and the hypervisor shows no job:
        before the job begins, or when it has just ended."""
        return self._last or JobStats(state=JobState.STARTING)

    def seen(self, reading: JobStats) -> JobStats:
        """Take a reading, and give what is to be told.

        While a job is being wound up its counters are 0 again, as before
        the copy had begun (libvirt 9.0): the last figures count then.
        """
        if reading.state is JobState.STARTING and self._last is not None:
            return self._last
        if reading.state is not JobState.STARTING:
            self._last = reading
        return reading


class Transfers:
    """The transfers of this process, by guest id."""

    def __init__(self, conn: connection.Connection, host: str) -> None:
        self._conn = conn
        self._host = host
        self._lock = concurrency.Lock()
        self._by_guest: dict[str, Transfer] = {}
        self._beginning: set[str] = set()

    def get(self, guest_id: str) -> Transfer | None:
        return self._by_guest.get(guest_id)

    def running(self, guest_id: str) -> Transfer | None:
        """Our transfer of this guest whose call has not returned."""
        transfer = self._by_guest.get(guest_id)
        return transfer if transfer and transfer.running else None

    def start(
        self, guest_id: str, request: flags.Request, max_downtime_ms: int
    ) -> None:
        """Begin; returns at once.

        On a connection of its own: a daemon serves only a few calls of one
        client at the same time (``max_client_requests``, 5, in
        libvirtd.conf), and this call occupies one for the whole transfer.

        :raises HypervisorError: a transfer runs already.
        :raises GuestNotFound:
        """
        with self._lock:
            if guest_id in self._beginning or self.running(guest_id):
                raise exception.HypervisorError(
                    host=self._host,
                    reason=f'a transfer of guest {guest_id} runs already',
                )
            self._beginning.add(guest_id)
        try:
            # Without the lock: other guests' migrations do not wait.
            self._begin(guest_id, request, max_downtime_ms)
        finally:
            with self._lock:
                self._beginning.discard(guest_id)

    def _begin(
        self, guest_id: str, request: flags.Request, max_downtime_ms: int
    ) -> None:
        conn = self._conn.open_another()
        call = deadline.Call(
            lambda: _prepare(conn, guest_id, max_downtime_ms),
            name=f'prepare-{guest_id}',
        )
        try:
            domain = call.result(connection.READ_S)
        except TimeoutError as error:
            # Its connection is closed when it has returned.
            raise exception.HypervisorUnavailable(
                host=self._host, reason=f'guest {guest_id}: {error}'
            ) from error
        except libvirt.libvirtError as error:
            concurrency.run_blocking(conn.close)
            raise errors.translate(error, self._host, guest_id) from error
        self._conn.forget_figures(guest_id)
        with self._lock:
            self._by_guest[guest_id] = Transfer(
                conn, domain, request, guest_id
            )

    def forget(self, guest_id: str) -> None:
        """The guest is gone from here; nobody will ask any more."""
        with self._lock:
            if not self.running(guest_id):
                self._by_guest.pop(guest_id, None)


def _prepare(
    conn: libvirt.virConnect, guest_id: str, max_downtime_ms: int
) -> libvirt.virDomain:
    """Find the guest and set its maximum downtime, which stays set in its
    QEMU: an earlier, aborted migration may have raised it."""
    domain = conn.lookupByUUIDString(guest_id)
    domain.migrateSetMaxDowntime(max_downtime_ms)
    return domain


def read_job(domain: libvirt.virDomain, guest: GuestState) -> JobStats | None:
    """The outgoing job as the hypervisor shows it; None: there is none.

    In a native thread.
    :raises libvirtError: other than that there is none.
    """
    try:
        params = domain.jobStats()
    except libvirt.libvirtError as error:
        if errors.code(error) in NO_JOB:
            return None
        raise
    if not stats.is_outgoing(params):
        return None
    return stats.running(params, guest)


#: ``jobStats`` of a guest that has just gone (42, 55), or of one that
#: comes in: 84, "available only on the source host" (libvirt 9.0); 3 where
#: a hypervisor has no jobs at all.
NO_JOB = frozenset(
    {
        libvirt.VIR_ERR_NO_SUPPORT,
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_OPERATION_INVALID,
        libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
    }
)


def sends(domain: libvirt.virDomain) -> bool:
    """Is an outgoing migration of this guest active here?

    In a native thread.
    """
    try:
        return stats.is_outgoing(domain.jobStats())
    except libvirt.libvirtError as error:
        if errors.code(error) in NO_JOB:
            return False
        raise


def has_job(domain: libvirt.virDomain) -> bool:
    """Is a migration of this guest active here, out or in?

    In a native thread.
    """
    try:
        return stats.is_active(domain.jobStats())
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            return True
        if errors.code(error) in NO_JOB:
            return False
        raise
