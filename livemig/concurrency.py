"""The one place that knows whether threads are native or green.

``setup()`` is the first statement of every command, before anything of
oslo is imported: oslo.messaging picks oslo.service's eventlet backend for
the whole process as a side effect of being imported, and that choice can
be made once only. Everything else takes its threads, locks and clock from
here, as ``concurrency.Lock()``: never by ``from ... import``, which would
keep what stood there before eventlet patched it.
"""

from __future__ import annotations

import collections
import concurrent.futures
import datetime
import logging
import os
import queue
import signal
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from queue import Empty, Full, Queue
    from threading import Condition, Event, Lock, RLock, local

LOG = logging.getLogger(__name__)

T = TypeVar('T')

#: Names the environment variable that chooses the mode; the option file
#: cannot, since reading it needs oslo.config.
VARIABLE = 'LIVEMIG_CONCURRENCY'
THREADING = 'threading'
EVENTLET = 'eventlet'

#: futurist imports eventlet whatever the mode is, whose warning is not a
#: DeprecationWarning and would be shown by every command; oslo.service's
#: eventlet backend imports a module that warns about itself.
_EXPECTED_WARNINGS = (
    r'\s*Eventlet is deprecated',
    'eventletutils module is deprecated',
    'Eventlet usages are deprecated',
    "Using class 'Green",
    r"The 'oslo_service\.eventlet_backdoor' module",
)

_chosen: str | None = None

_STDLIB: dict[str, types.ModuleType] = {
    'Lock': threading,
    'RLock': threading,
    'Condition': threading,
    'Event': threading,
    'local': threading,
    'Queue': queue,
    'Empty': queue,
    'Full': queue,
}


def __getattr__(name: str) -> Any:
    # Looked up at each use, so that it is eventlet's after patching.
    if name in _STDLIB:
        return getattr(_STDLIB[name], name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def setup(mode: str | None = None) -> str:
    """Choose how this process runs its threads; returns the mode.

    :param mode: ``threading`` or ``eventlet``; None: what the environment
        variable LIVEMIG_CONCURRENCY says, by default threading.
    :raises RuntimeError: another mode was chosen before, here or (oslo
        was imported too early) by oslo.service itself.
    :raises ValueError: there is no such mode.
    """
    global _chosen
    mode = mode or _chosen or os.environ.get(VARIABLE) or THREADING
    if mode not in (THREADING, EVENTLET):
        raise ValueError(
            f'{VARIABLE} is {mode!r}; it must be {THREADING} or {EVENTLET}.'
        )
    if _chosen is not None:
        if mode != _chosen:
            raise RuntimeError(
                f'Concurrency was set to {_chosen} before; it cannot become '
                f'{mode} in the same process.'
            )
        return mode
    for expected in _EXPECTED_WARNINGS:
        warnings.filterwarnings('ignore', message=expected)
    if mode == EVENTLET:
        import eventlet

        eventlet.monkey_patch()
    from oslo_service import backend
    from oslo_service.backend import exceptions as backend_exceptions

    kind = {
        THREADING: backend.BackendType.THREADING,
        EVENTLET: backend.BackendType.EVENTLET,
    }[mode]
    try:
        backend.init_backend(kind)
    except backend_exceptions.BackendAlreadySelected as error:
        raise RuntimeError(
            'oslo was imported before concurrency.setup() ran; it must be '
            f'the first statement of the process. ({error})'
        ) from error
    _chosen = mode
    return mode


def mode() -> str:
    """The mode in use; threading where ``setup`` was never called."""
    return _chosen or THREADING


def _green() -> bool:
    return _chosen == EVENTLET


class Handle:
    """A thread that was begun here."""

    def __init__(self, thread: threading.Thread, native: bool) -> None:
        self._thread = thread
        self._native = native

    @property
    def name(self) -> str:
        return self._thread.name

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds; True if the thread has ended."""
        if self._native and _green():
            run_blocking(self._thread.join, timeout)
        else:
            self._thread.join(timeout)
        return not self.alive


def _logged(fn: Callable[..., object], args: tuple[Any, ...]) -> None:
    try:
        fn(*args)
    except Exception:
        LOG.exception('A thread ended by an error nobody handled.')


def spawn(
    fn: Callable[..., object], *args: Any, name: str | None = None
) -> Handle:
    """Run ``fn(*args)`` in a thread of the chosen kind.

    The thread never keeps the process from ending; an error that it lets
    through is logged.
    """
    thread = threading.Thread(
        target=_logged, args=(fn, args), name=name, daemon=True
    )
    thread.start()
    return Handle(thread, native=not _green())


def native_thread(
    fn: Callable[..., object], *args: Any, name: str | None = None
) -> Handle:
    """Run ``fn(*args)`` in a thread of the operating system in both modes.

    For what blocks inside C (libvirt's event loop). In eventlet mode such
    a thread must not touch locks, events or queues of green threads: it
    speaks to them through a ``Relay``.
    """
    make = threading.Thread
    if _green():
        from eventlet import patcher

        make = patcher.original('threading').Thread
    thread = make(target=_logged, args=(fn, args), name=name, daemon=True)
    thread.start()
    return Handle(thread, native=True)


def run_blocking(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """``fn(*args, **kwargs)``, where fn blocks inside C (libvirt).

    Green threads have it done by a pool of native ones meanwhile.
    """
    if not _green():
        return fn(*args, **kwargs)
    from eventlet import tpool

    result: T = tpool.execute(fn, *args, **kwargs)
    return result


class Relay:
    """Lets a native thread have functions called among the others.

    ``call`` is for the native thread. With native threads it calls at
    once; with green ones the function is called a moment later by a green
    thread, in order.
    """

    def __init__(self) -> None:
        self._calls: collections.deque[Callable[[], object]] = (
            collections.deque()
        )
        self._fds: tuple[int, int] | None = None
        if _green():
            self._fds = os.pipe()
            # A full pipe must not block the native thread: the reader is
            # awake already then.
            os.set_blocking(self._fds[1], False)
            spawn(self._read, self._fds[0], name='relay')

    def call(self, fn: Callable[..., object], *args: Any) -> None:
        if self._fds is None:
            _logged(fn, args)
            return
        self._calls.append(lambda: fn(*args))
        self._wake(b'x')

    def close(self) -> None:
        """End; what was not called yet is called first."""
        if self._fds is not None:
            self._wake(b'q')

    def _wake(self, token: bytes) -> None:
        import eventlet.patcher

        assert self._fds is not None  # noqa: S101 - callers have looked
        try:
            eventlet.patcher.original('os').write(self._fds[1], token)
        except BlockingIOError:
            LOG.debug('A relay has much to do.')

    def _read(self, fd: int) -> None:
        ending = False
        while not ending:
            ending = b'q' in os.read(fd, 512)
            while self._calls:
                _logged(self._calls.popleft(), ())


class Pool:
    """A few threads that do what may get stuck.

    Unlike ``ThreadPoolExecutor`` a stuck thread does not keep the process
    from ending, and threads are begun as they are needed. Idle ones end
    after a minute.
    """

    IDLE_S = 60.0

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._lock = threading.Lock()
        self._work: queue.Queue[
            tuple[concurrent.futures.Future[Any], Callable[[], Any]]
        ] = queue.Queue()
        self._threads = 0
        self._idle = 0

    def submit(self, fn: Callable[[], T]) -> concurrent.futures.Future[T]:
        """Have ``fn`` called; a future that is cancelled before a thread
        was free for it is never run."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        with self._lock:
            self._work.put((future, fn))
            begin = self._work.qsize() > self._idle and (
                self._threads < self._size
            )
            if begin:
                self._threads += 1
        if begin:
            spawn(self._run, name=self._name)
        return future

    def _next(
        self,
    ) -> tuple[concurrent.futures.Future[Any], Callable[[], Any]] | None:
        with self._lock:
            self._idle += 1
        try:
            return self._work.get(timeout=self.IDLE_S)
        except queue.Empty:
            return None
        finally:
            with self._lock:
                self._idle -= 1

    def _leave(self) -> bool:
        """True if this thread may end: nothing came in meanwhile."""
        with self._lock:
            if not self._work.empty():
                return False
            self._threads -= 1
            return True

    def _run(self) -> None:
        while True:
            item = self._next()
            if item is None:
                if self._leave():
                    return
                continue
            future, fn = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(fn())
            except BaseException as error:
                future.set_exception(error)
            # A thread that waits for work holds nobody's result.
            del item, future, fn


def run_all(
    functions: Iterable[Callable[[], object]], timeout: float | None = None
) -> bool:
    """Run all of them at the same time and wait up to ``timeout`` seconds.

    True if all have ended. Errors are logged.
    """
    handles = [spawn(fn) for fn in functions]
    until = None if timeout is None else time.monotonic() + timeout
    ended = True
    for handle in handles:
        left = None if until is None else max(0.0, until - time.monotonic())
        ended = handle.join(left) and ended
    return ended


class Signals:
    """Remembers which signals came; nothing is done inside a handler.

    With eventlet a handler runs inside the hub, where taking a lock or
    starting a thread fails ("Cannot switch to MAINLOOP from MAINLOOP"), so
    it only appends to a list, and the main thread looks at it.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._came: collections.deque[signal.Signals] = collections.deque()

    def install(self) -> None:
        """To be called in the main thread."""
        for number in self._numbers:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        self._came.append(signal.Signals(number))

    def take(self) -> signal.Signals | None:
        """The oldest signal not taken yet, or None."""
        return self._came.popleft() if self._came else None


def end_process(code: int) -> None:
    """End now, without waiting for any thread."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Clock:
    """Time, handed in wherever something waits; tests have a virtual one."""

    def now(self) -> datetime.datetime:
        """The time of day, aware, UTC."""
        return datetime.datetime.now(datetime.UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Wait until ``event`` is set, at most ``seconds`` (None: for
        ever); True if it is set."""
        return event.wait(seconds)


__all__ = [
    'EVENTLET', 'THREADING', 'VARIABLE', 'Clock', 'Condition', 'Empty',
    'Event', 'Full', 'Handle', 'Lock', 'Pool', 'Queue', 'RLock', 'Relay',
    'Signals', 'end_process', 'local', 'mode', 'native_thread', 'run_all',
    'run_blocking', 'setup', 'spawn',
]  # fmt: skip
