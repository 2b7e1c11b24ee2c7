"""The life of a process: signals, the order of starting and of stopping.

There is no launcher of oslo.service here: its threading one forks, or
installs no signal handler, or ends the process by itself (measured with
4.8). A process is made of parts; the main thread starts them, looks for
signals, and stops them in order.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from oslo_config import cfg
from oslo_log import log as logging

from livemig import concurrency, exception, rpc

LOG = logging.getLogger(__name__)

#: Between two looks for signals.
LOOK_S = 0.2

#: Three years; threads cannot wait for infinity.
NO_LIMIT_S = 1e8

#: Exit codes.
ENDED = 0
FAILED = 1
MISCONFIGURED = 2


class Manager(Protocol):
    """What stands behind a service's messages."""

    def start(self) -> None: ...

    def report(self) -> None: ...

    def run_periodic_tasks(self) -> None: ...

    def reload(self) -> None: ...

    def stop(self) -> None: ...


class Part(Protocol):
    """One service of a process."""

    name: str
    #: Parts with the same number stop at the same time, lower ones first:
    #: who needs another one stops before it.
    stage: int

    def start(self) -> None: ...

    @property
    def alive(self) -> bool:
        """False when it has ended though nobody asked it to."""

    def reload(self) -> None:
        """Take over what changed in the option files."""

    def stop(self, timeout_s: float) -> bool:
        """Take no more, end what was begun; True if that was possible."""

    def close(self) -> None:
        """Let go of the way to others; all parts have stopped."""


class Periodic:
    """Has a manager look for work, again and again, whatever happens."""

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        interval_s: Callable[[], float],
        clock: concurrency.Clock,
    ) -> None:
        self._name = name
        self._work = work
        self._interval_s = interval_s
        self._clock = clock
        self._stopping = concurrency.Event()
        self._thread: concurrency.Handle | None = None
        self._wrong = ''

    def start(self) -> None:
        """The first time is at once."""
        self._thread = concurrency.spawn(
            self._run, name=f'periodic {self._name}'
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._once()
            self._clock.wait(self._stopping, self._interval_s())

    def _once(self) -> None:
        try:
            self._work()
        except exception.LivemigError as error:
            # Said once for as long as it lasts: a broker that is away for
            # an hour would fill the log.
            if error.message != self._wrong:
                LOG.warning('%s: %s', self._name, error.message)
            self._wrong = error.message
        except Exception:
            LOG.exception(
                '%s: an error nobody expected; trying again.', self._name
            )
            self._wrong = 'unexpected'
        else:
            if self._wrong:
                LOG.info('%s: works again.', self._name)
            self._wrong = ''

    def stop(self, timeout_s: float | None = None) -> bool:
        """True if it has ended."""
        self._stopping.set()
        return self._thread is None or self._thread.join(timeout_s)


class ManagerPart:
    """A manager, its server and its periodic tasks."""

    def __init__(
        self,
        name: str,
        stage: int,
        conf: cfg.ConfigOpts,
        manager: Manager,
        server: rpc.Server,
        way: rpc.Rpc,
        clock: concurrency.Clock,
    ) -> None:
        self.name = name
        self.stage = stage
        self._conf = conf
        self._manager = manager
        self._server = server
        self._rpc = way
        # Each on its own: who makes a large disk again after a restart is
        # not down.
        self._reports = Periodic(
            f'{name}, reports',
            manager.report,
            lambda: float(conf.report_interval),
            clock,
        )
        self._periodic = Periodic(
            name,
            manager.run_periodic_tasks,
            lambda: float(conf.periodic_interval),
            clock,
        )

    @property
    def alive(self) -> bool:
        return True

    @property
    def ready(self) -> bool:
        """Connected; messages come in."""
        return self._server.ready

    def start(self) -> None:
        self._manager.start()
        self._server.start()
        self._reports.start()
        self._periodic.start()

    def reload(self) -> None:
        self._conf.mutate_config_files()
        self._manager.reload()

    def stop(self, timeout_s: float) -> bool:
        """Messages first, then what they began."""
        ended = concurrency.run_all(
            [self._server.stop, self._reports.stop, self._periodic.stop],
            timeout_s,
        )
        return concurrency.run_all([self._manager.stop], timeout_s) and ended

    def close(self) -> None:
        self._rpc.close()


class Process:
    """Runs parts until a signal comes or one of them fails.

    SIGTERM, SIGINT: stop in order, within ``graceful_s`` (0: no limit); a
    second one ends the process at once. SIGHUP: reload.
    """

    def __init__(
        self,
        name: str,
        parts: Sequence[Part],
        clock: concurrency.Clock,
        graceful_s: float,
        last: Iterable[Callable[[], object]] = (),
    ) -> None:
        """:param last: called when all parts have stopped."""
        self._name = name
        self._parts = list(parts)
        self._clock = clock
        self._graceful_s = graceful_s or NO_LIMIT_S
        self._last = list(last)
        self._signals = concurrency.Signals(
            signal.SIGTERM, signal.SIGINT, signal.SIGHUP
        )
        self._clean = True
        #: Never set: only to be waited for.
        self._pause = concurrency.Event()

    def run(self) -> int:
        """To be called in the main thread; the exit code."""
        self._signals.install()
        for part in self._parts:
            part.start()
        LOG.info(
            '%s runs: %s.',
            self._name,
            ', '.join(part.name for part in self._parts),
        )
        code = self._until_stop()
        handle = concurrency.spawn(self._stop, name='stop')
        until_s = self._clock.monotonic_s() + self._graceful_s
        while not handle.join(LOOK_S):
            if self._signals.take() in (signal.SIGTERM, signal.SIGINT):
                LOG.warning('%s ends at once.', self._name)
                concurrency.end_process(FAILED)
            if self._clock.monotonic_s() > until_s:
                LOG.warning(
                    '%s did not stop within %g s and ends now.',
                    self._name,
                    self._graceful_s,
                )
                concurrency.end_process(FAILED)
        LOG.info('%s has stopped.', self._name)
        if not self._clean:
            # Threads that are stuck would keep the process.
            concurrency.end_process(code)
        return code

    def _until_stop(self) -> int:
        while True:
            came = self._signals.take()
            if came is signal.SIGHUP:
                self._reload()
            elif came is not None:
                LOG.info('%s stops: %s.', self._name, came.name)
                return ENDED
            else:
                dead = [p.name for p in self._parts if not p.alive]
                if dead:
                    LOG.error('%s has ended by itself.', dead[0])
                    return FAILED
                self._clock.wait(self._pause, LOOK_S)

    def _reload(self) -> None:
        for part in self._parts:
            try:
                part.reload()
            except Exception as error:
                LOG.error(
                    '%s goes on with its old options: %s',
                    part.name,
                    ' '.join(str(error).split()),
                )
            else:
                LOG.info('%s has read its options again.', part.name)

    def _stop(self) -> None:
        until_s = self._clock.monotonic_s() + self._graceful_s
        for stage in sorted({part.stage for part in self._parts}):
            left_s = max(0.0, until_s - self._clock.monotonic_s())
            concurrency.run_all(
                functools.partial(self._stop_one, part, left_s)
                for part in self._parts
                if part.stage == stage
            )
        concurrency.run_all(part.close for part in self._parts)
        for call in self._last:
            call()

    def _stop_one(self, part: Part, left_s: float) -> None:
        if part.stop(left_s):
            LOG.info('%s has stopped.', part.name)
        else:
            self._clean = False
            LOG.warning('%s did not end all it had begun.', part.name)
