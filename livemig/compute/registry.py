"""The migrations of this host: which wait, which run, how many at once."""

from __future__ import annotations

from collections.abc import Callable

from oslo_log import log

from livemig import concurrency
from livemig.compute.runner import Runner

LOG = log.getLogger(__name__)


class Registry:
    """Runners by migration id; first come, first served.

    One that waits for a destination which does not answer is not counted:
    the others may go elsewhere.

    :param limit: how many may run at once, read anew each time; 0 = all.
    :param ended: called with each runner that is done, in its thread.
    """

    def __init__(
        self,
        limit: Callable[[], int],
        ended: Callable[[Runner], None],
    ) -> None:
        self._limit = limit
        self._ended = ended
        self._lock = concurrency.Condition()
        self._waiting: dict[int, Runner] = {}
        self._running: dict[int, Runner] = {}
        self._closed = False

    def add(self, runner: Runner) -> bool:
        """Take it; False (and nothing done) if it is here already."""
        with self._lock:
            if self._closed or self._known(runner.migration_id):
                return False
            self._waiting[runner.migration_id] = runner
        self.start_waiting()
        return True

    def get(self, migration_id: int) -> Runner | None:
        with self._lock:
            return self._known(migration_id)

    def of_instance(self, instance_uuid: str) -> Runner | None:
        """The runner of an instance's migration, if there is one."""
        with self._lock:
            for runner in (*self._running.values(), *self._waiting.values()):
                if runner.instance_uuid == instance_uuid:
                    return runner
        return None

    def start_now(self, migration_id: int) -> None:
        """Run a waiting one beyond the limit: it is about to end."""
        with self._lock:
            runner = self._waiting.pop(migration_id, None)
            if runner is None or self._closed:
                return
            self._running[migration_id] = runner
        self._spawn(runner)

    def all(self) -> list[Runner]:
        with self._lock:
            return [*self._running.values(), *self._waiting.values()]

    def reload(self) -> None:
        """Options changed: running ones take them over, more may start."""
        for runner in self.all():
            runner.reload()
        self.start_waiting()

    def close(self, patience_s: float | None) -> bool:
        """Start no more; wait for the running ones to let go (None: for
        ever)."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for runner in waiting:
            runner.close()
        return self.wait_idle(patience_s)

    def wait_idle(self, patience_s: float | None) -> bool:
        """Wait until none runs or waits; False if some still do."""
        with self._lock:
            return bool(
                self._lock.wait_for(
                    lambda: not self._running and not self._waiting,
                    patience_s,
                )
            )

    def _known(self, migration_id: int) -> Runner | None:
        return self._running.get(migration_id) or self._waiting.get(
            migration_id
        )

    def start_waiting(self) -> None:
        """Those for which there is room."""
        while True:
            with self._lock:
                limit = self._limit()
                at_work = [r for r in self._running.values() if not r.waits]
                full = limit and len(at_work) >= limit
                if self._closed or full or not self._waiting:
                    return
                migration_id = next(iter(self._waiting))
                runner = self._waiting.pop(migration_id)
                self._running[migration_id] = runner
            self._spawn(runner)

    def _spawn(self, runner: Runner) -> None:
        concurrency.spawn(
            self._run, runner, name=f'migration-{runner.migration_id}'
        )

    def _run(self, runner: Runner) -> None:
        try:
            runner.run()
        except Exception:
            # Our bug. The record stays as it is and the manager takes the
            # migration up again when it next looks for work.
            LOG.exception('Migration %s', runner.migration_id)
        try:
            self._ended(runner)
        finally:
            with self._lock:
                self._running.pop(runner.migration_id, None)
                self._lock.notify_all()
            self.start_waiting()
