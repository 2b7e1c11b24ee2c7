"""A manager that is killed before any of its writes, one after the other.

Dying after a write is dying before the next one: between two writes the
record is the same, and the hypervisors are asked.
"""

from __future__ import annotations

import itertools
import threading

import pytest

from livemig.compute.manager import ComputeManager
from livemig.objects.migration_states import Status
from tests.functional.compute.test_faults import BUSY, CONVERGES, SLOW, go_on
from tests.functional.deployment import Deployment

POST_COPY = [('libvirt', 'live_migration_permit_post_copy', True)]
DISK = {'device': 'vda', 'format': 'qcow2', 'size_bytes': 64 * 1024**2}
#: Memory flows then, if nobody died; a busy guest has not arrived.
AT_S = 5.0
#: The threads of a manager that work at one migration.
WORKERS = ('migration-', 'journal-')
PATIENCE_S = 30.0


class Killed(SystemExit):
    """Ends a thread, and nothing that catches errors stops it."""


class Mortal:
    """The records' keeper of a manager that dies before its n-th write."""

    def __init__(self, manager: ComputeManager, writes_left: int) -> None:
        self._manager = manager
        self._store = manager._store
        self._writes_left = writes_left
        self._lock = threading.Lock()
        self.died = threading.Event()
        manager._store = self

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def call(*args, **kwargs):
            if threading.current_thread().name.startswith(WORKERS):
                self._live_on(writes=not name.endswith(('_get', '_list')))
            return method(*args, **kwargs)

        return call

    def _live_on(self, *, writes: bool) -> None:
        with self._lock:
            if writes and not self.died.is_set():
                self._writes_left -= 1
                if self._writes_left < 0:
                    # No thread of a dead process takes another step.
                    self._manager._stop.set()
                    self.died.set()
            if self.died.is_set():
                raise Killed


def bury(deployment, host='host1'):
    """What is left of a dead manager's process goes; no last words."""
    through, server = deployment._manager_servers.pop(host)
    for thread in threading.enumerate():
        if thread.name.startswith(WORKERS):
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), thread.name
    server.stop()
    deployment.managers.pop(host)
    through.close()


class Play:
    """One migration whose manager dies before its n-th write, if it has
    that many."""

    def __init__(self, directory, options, guest, n):
        directory.mkdir()
        self.deployment = Deployment(directory, options=options)
        self.instance = self.deployment.boot(**guest)
        self.mortal = Mortal(self.deployment.managers['host1'], n)
        self.replaced = False
        self.migration = self.deployment.migrate(self.instance)

    def up_to(self, at_s):
        """Let time go on up to there; who dies on the way is replaced."""
        clock = self.deployment.clock
        clock.limit_s = at_s
        registry = self.deployment.managers['host1'].registry
        self.deployment.until(
            lambda: (
                self.mortal.died.is_set()
                or not registry.all()
                or clock.monotonic_s() >= at_s
            )
        )
        if self.mortal.died.is_set() and not self.replaced:
            bury(self.deployment)
            self.deployment.start_manager('host1')
            self.replaced = True
            self.up_to(at_s)

    def until_it_runs(self):
        """The one that took the place of a dead one may have begun late."""
        at_s = AT_S
        self.up_to(at_s)
        self.migration.refresh()
        while self.migration.status != Status.RUNNING:
            at_s += 1
            assert at_s < 100, self.migration.status
            self.up_to(at_s)
            self.migration.refresh()

    def end(self):
        self.up_to(float('inf'))
        self.deployment.settled(self.instance, self.migration)

    def check(self, status, host):
        migration, instance = self.migration, self.instance
        assert migration.status == status, migration.reason
        assert (instance.host, instance.task_state) == (host, None)
        world = self.deployment.world
        assert world.running(instance.uuid) == (host,)
        assert world.leftovers(instance.uuid) == []
        database = self.deployment.database
        for row in database.action_list(instance.uuid, {}):
            found = database.action_get(instance.uuid, row['request_id'])
            for event in found['events']:
                assert event['finish_time'], (row['action'], event['event'])


def abort(play):
    play.deployment.abort(play.migration)


def force(play):
    play.deployment.force(play.migration)


@pytest.mark.filterwarnings(
    'ignore::pytest.PytestUnhandledThreadExceptionWarning'
)
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ('guest', 'options', 'act', 'status', 'host', 'writes'),
    [
        (
            CONVERGES | {'disks': [DISK]},
            SLOW,
            None,
            Status.COMPLETED,
            'host2',
            8,
        ),
        (BUSY, SLOW, abort, Status.CANCELLED, 'host1', 8),
        (BUSY, SLOW + POST_COPY, force, Status.COMPLETED, 'host2', 10),
    ],
    ids=['converges', 'aborted', 'post-copied'],
)
def test_whenever_it_dies_the_next_one_ends_it(
    tmp_path, guest, options, act, status, host, writes
):
    for n in itertools.count():
        play = Play(tmp_path / str(n), options, guest, n)
        try:
            if act is not None:
                play.until_it_runs()
                act(play)
            play.end()
            play.check(status, host)
        finally:
            go_on(play.deployment)
            play.deployment.stop()
        if not play.replaced:
            break
    # Else it died of nothing.
    assert n >= writes
