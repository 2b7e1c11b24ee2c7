"""Whatever is done in whatever order: each guest runs on one host, livemig
knows which, and every migration ends.

The whole system on simulated hypervisors: conductor, managers, records and
messages are the real ones. Time stands still between two steps, and every
step waits until nobody has anything left to do at that moment, so that an
example does the same each time it is run.

``LIVEMIG_STATEFUL=long`` looks for minutes instead of seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pathlib
import shutil
import tempfile
import threading
import time

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from livemig import exception, rpc, rpc_inproc
from livemig.objects import action as actions
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.virt.simulation.terms import Phase
from tests.functional.deployment import Deployment
from tests.stateful.messages import (
    PATIENCE_S,
    Post,
    never_wait_for_the_absent,
)

LONG = os.environ.get('LIVEMIG_STATEFUL') == 'long'
HOSTS = ('host1', 'host2')
MIB = 1024**2

#: Written out again: the end of a migration.
FINAL = {'completed', 'cancelled', 'failed', 'error'}
#: A manager's process takes longer than this to be back.
RESTART_S = 0.2
#: How often managers look for work while time passes, virtual s.
PERIOD_S = 30.0
#: Periods in which everything must have come to an end.
PERIODS = 40

OPTIONS = [
    ('libvirt', 'live_migration_bandwidth', 50),
    # 30 s for each of 2 GiB.
    ('libvirt', 'live_migration_completion_timeout', 30),
    ('libvirt', 'live_migration_forced_pause_limit', 10),
]
#: How far a migration goes before the next thing happens, s: not begun in
#: the hypervisor, preparing (0.55 s), copying.
MOMENTS = st.sampled_from([0.0, 0.04, 0.3, 0.6, 1.2, 4.0])
#: Which of those there are.
PICKS = st.integers(0, 1)
DISK = {'device': 'vda', 'format': 'qcow2', 'size_bytes': 64 * MIB}
#: One converges at once, one never does (80 MiB/s over 64 MiB).
GUESTS = {
    'idle': {'cmdline': 'ws=16 rate=100', 'memory_mb': 64},
    'busy': {'cmdline': 'ws=64 rate=20480', 'memory_mb': 128},
    'with a disk': {
        'cmdline': 'ws=64 rate=5120',
        'memory_mb': 128,
        'disks': [DISK],
    },
}


@dataclasses.dataclass
class Guest:
    """What the test did to one instance, and saw of it."""

    uuid: str
    deleted: bool = False
    #: The world ended it: it shut down ...
    killed: bool = False
    #: ... or its process died.
    crashed: bool = False


def make_directory() -> pathlib.Path:
    """In memory if there is such a place: SQLite waits for its disk."""
    memory = pathlib.Path('/dev/shm')
    return pathlib.Path(
        tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    )


class Migrations(RuleBasedStateMachine):
    """Two hosts, at most three guests, and all that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.deployment: Deployment | None = None
        self.guests: list[Guest] = []
        #: Of each migration: the status seen last.
        self.statuses: dict[int, str] = {}

    @initialize(
        post_copy=st.booleans(),
        force=st.booleans(),
        limit=st.sampled_from([0, 1]),
        shared=st.booleans(),
        link=st.sampled_from([1000, 10]),
        kinds=st.lists(st.sampled_from(list(GUESTS)), min_size=1, max_size=2),
        moment_s=MOMENTS,
    )
    def begin(
        self,
        post_copy: bool,
        force: bool,
        limit: int,
        shared: bool,
        link: int,
        kinds: list[str],
        moment_s: float,
    ) -> None:
        """Boot the guests; the first begins to move at once."""
        self.directory = make_directory()
        options = [
            *OPTIONS,
            ('libvirt', 'live_migration_permit_post_copy', post_copy),
            ('DEFAULT', 'max_concurrent_live_migrations', limit),
            ('fake', 'shared_storage', 'shared' if shared else ''),
            # MiB/s; over the slow one post-copy and pauses take seconds.
            ('fake', 'bandwidth_mib_s', link),
        ]
        if force:
            options.append(
                ('libvirt', 'live_migration_timeout_action', 'force_complete')
            )
        self.deployment = Deployment(self.directory, HOSTS, options)
        self.clock = self.deployment.clock
        self.world = self.deployment.world
        self.deployment.database._now = self.clock.now
        never_wait_for_the_absent(rpc_inproc.bus(self.world.name))
        self.post = Post(rpc_inproc.bus(self.world.name))
        self.cut_off = False
        for kind in kinds:
            self.boot(kind)
        self.move(0, moment_s)

    # -- time ---------------------------------------------------------------
    def quiet(self) -> None:
        """Wait (really) until nobody does anything at this moment."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not self._is_quiet():
            assert time.monotonic() < give_up_s, 'it never came to rest'
            threading.Event().wait(0.001)

    def _is_quiet(self) -> bool:
        standing = [
            event
            for event in list(self.clock._blocked.values())
            if not event.is_set()
        ]
        running = 0
        for manager in self.deployment.managers.values():
            registry = manager.registry
            with registry._lock:
                limit = registry._limit()
                full = limit and len(registry._running) >= limit
                if registry._waiting and not full:
                    return False
                running += len(registry._running)
                runners = list(registry._running.values())
            if not all(r._story.journal.drained(0) for r in runners):
                return False
        return running == len(standing)

    def let_pass(self, seconds: float) -> None:
        """Those who wait move time on; the rest is moved for them."""
        until_s = self.clock.monotonic_s() + seconds
        self.clock.limit_s = until_s
        self.quiet()
        left_s = until_s - self.clock.monotonic_s()
        if left_s > 0:
            self.clock.advance(left_s)
        self.quiet()

    def look_for_work(self) -> None:
        """What each process does from time to time."""
        for host in list(self.deployment.managers):
            with contextlib.suppress(exception.LivemigError):
                self.deployment.managers[host].run_periodic_tasks()
        self.deployment.conductor.run_periodic_tasks()
        self.quiet()

    # -- who there is ---------------------------------------------------------
    # What is drawn never depends on the system: it runs in several threads,
    # and an example must draw the same each time.
    def unfinished(self) -> list[Migration]:
        """In the operator's hands, oldest first."""
        found = Migration.list(self.deployment.context(), {})
        return [m for m in reversed(found) if m.status not in FINAL]

    def one_under_way(self, pick: int, moment_s: float) -> Migration | None:
        """An unfinished migration; begun if there is none."""
        there = self.unfinished()
        if not there:
            self.move(pick, moment_s)
            there = self.unfinished()
        return there[pick % len(there)] if there else None

    def one_that_moves(self, pick: int, moment_s: float) -> Guest | None:
        migration = self.one_under_way(pick, moment_s)
        if migration is None:
            return None
        (found,) = (
            g for g in self.guests if g.uuid == migration.instance_uuid
        )
        return found

    def instance(self, guest: Guest) -> Instance:
        return Instance.get(self.deployment.ctxt, guest.uuid, deleted=True)

    def boot(self, kind: str) -> None:
        made = self.deployment.boot('host1', **GUESTS[kind])
        self.guests.append(Guest(made.uuid))

    def move(self, pick: int, moment_s: float) -> None:
        """Begin a migration, if the API would, and let it go so far."""
        there = [g for g in self.guests if not g.deleted]
        if not there:
            return
        instance = self.instance(there[pick % len(there)])
        if instance.task_state is None and instance.vm_state == 'active':
            self.deployment.migrate(instance)
            self.let_pass(moment_s)

    # -- what people do -------------------------------------------------------
    @rule(pick=PICKS, moment_s=MOMENTS)
    def migrate(self, pick: int, moment_s: float) -> None:
        self.move(pick, moment_s)

    @rule(pick=PICKS, moment_s=MOMENTS)
    def abort(self, pick: int, moment_s: float) -> None:
        """What DELETE of a migration does."""
        migration = self.one_under_way(pick, moment_s)
        if migration is None:
            return
        ctxt = migration._context
        try:
            migration.request_abort(ctxt.user_id, ctxt.request_id)
        except exception.InvalidState:
            return
        actions.start(ctxt, migration.instance_uuid, actions.ABORT)
        self.deployment.conductor._compute_api.live_migration_abort(
            ctxt, migration.source_compute, migration.id
        )
        self.quiet()

    @rule(
        pick=PICKS, moment_s=MOMENTS, method=st.sampled_from(['auto', 'pause'])
    )
    def force(self, pick: int, moment_s: float, method: str) -> None:
        """What force_complete and live-migrate-force-end do."""
        migration = self.one_under_way(pick, moment_s)
        if migration is None:
            return
        ctxt = migration._context
        try:
            first = migration.request_force(
                ctxt.user_id, ctxt.request_id, method
            )
        except exception.InvalidState:
            return
        if first:
            actions.start(
                ctxt, migration.instance_uuid, actions.FORCE_COMPLETE
            )
            api = self.deployment.conductor._compute_api
            api.live_migration_force_complete(
                ctxt, migration.source_compute, migration.id
            )
        self.quiet()

    @rule(
        pick=PICKS,
        moment_s=MOMENTS,
        wishes=st.sampled_from(
            [
                ('abort', 'abort'),
                ('abort', 'force'),
                ('force', 'abort'),
                ('force', 'force'),
            ]
        ),
    )
    def two_operators(
        self, pick: int, moment_s: float, wishes: tuple[str, str]
    ) -> None:
        """Both have read the record before either writes on it."""
        migration = self.one_under_way(pick, moment_s)
        if migration is None:
            return
        read = [
            Migration.get(self.deployment.context(), migration.id)
            for _ in wishes
        ]
        taken = [
            wish
            for wish, one in zip(wishes, read, strict=True)
            if self.ask(wish, one)
        ]
        # Of each wish one, and no force once an abort is under way.
        assert taken in ([], ['abort'], ['force'], ['force', 'abort'])

    def ask(self, wish: str, migration: Migration) -> bool:
        """Whether the request was written, and so sent."""
        ctxt = migration._context
        who = (ctxt.user_id, ctxt.request_id)
        api = self.deployment.conductor._compute_api
        name, send = {
            'abort': (actions.ABORT, api.live_migration_abort),
            'force': (
                actions.FORCE_COMPLETE,
                api.live_migration_force_complete,
            ),
        }[wish]
        action = actions.values(ctxt, migration.instance_uuid, name)
        try:
            if wish == 'abort':
                migration.request_abort(*who, action)
            elif not migration.request_force(*who, 'auto', action):
                return False
        except exception.InvalidState:
            return False
        send(ctxt, migration.source_compute, migration.id)
        self.quiet()
        return True

    @rule(pick=PICKS, moment_s=MOMENTS)
    def delete(self, pick: int, moment_s: float) -> None:
        """What DELETE of a server does, in any state."""
        guest = self.one_that_moves(pick, moment_s)
        if guest is None or guest.deleted:
            return
        instance = self.instance(guest)
        assert instance.swap({'task_state': 'deleting'}, {})
        guest.deleted = True
        ctxt = self.deployment.context()
        actions.start(ctxt, instance.uuid, actions.DELETE)
        self.deployment.conductor._compute_api.terminate_instance(
            ctxt, instance.host, instance.uuid
        )
        self.quiet()

    # -- what happens ---------------------------------------------------------
    @rule(seconds=st.sampled_from([0.04, 0.3, 0.6, 1.7, 5.0, 20.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        while seconds > PERIOD_S:
            self.let_pass(PERIOD_S)
            self.look_for_work()
            seconds -= PERIOD_S
        self.let_pass(seconds)

    @rule()
    def everybody_looks_for_work(self) -> None:
        self.look_for_work()

    @rule(host=st.sampled_from(HOSTS))
    def a_manager_stops_or_starts(self, host: str) -> None:
        if host in self.deployment.managers:
            self.deployment.stop_manager(host)
            self.let_pass(RESTART_S)
        else:
            self.start_manager(host)

    @rule()
    def both_managers_restart(self) -> None:
        there = self.deployment._manager_servers.values()
        # Each takes up to a second; so at the same time.
        rpc.stop_all([server for _, server in there])
        for host in list(self.deployment.managers):
            self.deployment.stop_manager(host)
        self.let_pass(RESTART_S)
        for host in HOSTS:
            self.start_manager(host)

    @rule(
        fates=st.lists(
            st.sampled_from(['lost', 'doubled', 'late']),
            min_size=1,
            max_size=3,
        )
    )
    def the_next_messages_go_astray(self, fates: list[str]) -> None:
        self.post.fates = fates

    @rule()
    def late_messages_come(self) -> None:
        self.post.deliver_late()
        self.quiet()

    @rule(hours=st.sampled_from([-1, 1]))
    def the_time_of_day_is_put_right(self, hours: int) -> None:
        self.clock._epoch += datetime.timedelta(hours=hours)

    def start_manager(self, host: str) -> None:
        with contextlib.suppress(exception.HypervisorUnavailable):
            self.deployment.start_manager(host)
        self.quiet()

    @rule(pick=PICKS, moment_s=MOMENTS)
    def the_stream_breaks(self, pick: int, moment_s: float) -> None:
        guest = self.one_that_moves(pick, moment_s)
        one = self.world.jobs.get(guest.uuid) if guest else None
        copying = (Phase.DISK, Phase.MEMORY, Phase.POST_COPY)
        if one is not None and one.transfer.phase in copying:
            self.world.break_post_copy(one.guest_id)

    @rule(
        pick=PICKS,
        moment_s=MOMENTS,
        host=st.sampled_from(HOSTS),
        away_s=st.sampled_from([0.0, 3.0, 25.0]),
    )
    def a_daemon_restarts(
        self, pick: int, moment_s: float, host: str, away_s: float
    ) -> None:
        self.one_under_way(pick, moment_s)
        self.world.restart_daemon(host, away_s)

    @rule(pick=PICKS, moment_s=MOMENTS)
    def the_link_is_cut_or_mended(self, pick: int, moment_s: float) -> None:
        if self.cut_off:
            self.world.mend(*HOSTS)
        else:
            self.one_under_way(pick, moment_s)
            self.world.cut(*HOSTS)
        self.cut_off = not self.cut_off

    @rule(pick=PICKS, moment_s=MOMENTS, crash=st.booleans())
    def a_guest_ends_by_itself(
        self, pick: int, moment_s: float, crash: bool
    ) -> None:
        guest = self.one_that_moves(pick, moment_s)
        if guest and self.world.running(guest.uuid):
            self.world.shut_down_guest(guest.uuid, crash=crash)
            guest.killed, guest.crashed = True, crash

    # -- what must hold -------------------------------------------------------
    @invariant()
    def holds(self) -> None:
        if self.deployment is None:
            return
        # What must never happen, in the world's own words.
        self.world.check()
        self.a_guest_runs_once_and_is_never_lost()
        self.what_has_ended_stays_so()
        self.a_migration_and_its_instance_tell_the_same()

    def a_guest_runs_once_and_is_never_lost(self) -> None:
        for guest in self.guests:
            assert len(self.world.running(guest.uuid)) <= 1
            if not guest.deleted and not guest.killed:
                assert self.world.living(guest.uuid), 'the guest is lost'

    def what_has_ended_stays_so(self) -> None:
        for migration in Migration.list(self.deployment.ctxt, {}):
            was = self.statuses.get(migration.id)
            now = self.statuses[migration.id] = migration.status
            if was in FINAL:
                assert now == was
            elif was == 'running (post-copy)':
                assert now not in {'cancelled', 'failed', 'running'}
            if now in FINAL and was not in FINAL:
                self.check_end(migration)

    def check_end(self, migration: Migration) -> None:
        """What is so the moment a migration has ended."""
        (guest,) = (
            g for g in self.guests if g.uuid == migration.instance_uuid
        )
        host = self.instance(guest).host
        if migration.status == 'completed':
            assert host == migration.dest_compute
        else:
            assert migration.reason, 'nobody told why'
        if migration.status in {'cancelled', 'failed'}:
            assert host == migration.source_compute
            # The status is written last: nothing is left over there, or
            # the reason says that somebody there did not answer.
            told = f'{migration.dest_compute}:' in migration.reason
            told |= 'does not answer' in migration.reason
            if not (told or guest.deleted or guest.killed):
                assert self.world.leftovers(guest.uuid) == []

    def a_migration_and_its_instance_tell_the_same(self) -> None:
        busy = [m.instance_uuid for m in self.unfinished()]
        assert len(busy) == len(set(busy)), 'two migrations of one instance'
        for guest in self.guests:
            instance = self.instance(guest)
            if guest.deleted:
                continue
            expected = 'migrating' if guest.uuid in busy else None
            assert instance.task_state == expected

    # -- the end --------------------------------------------------------------
    def mend_all(self) -> None:
        """All that was broken is whole again; nothing is repaired."""
        self.post.fates = []
        self.world.mend(*HOSTS)
        self.cut_off = False
        self.let_pass(30.0)
        for host in HOSTS:
            if host not in self.deployment.managers:
                self.start_manager(host)
        for guest_id, one in list(self.world.jobs.items()):
            if one.transfer.phase is Phase.POST_COPY_FAILED:
                self.world.recover_post_copy(guest_id)

    def all_settled(self) -> bool:
        if self.unfinished():
            return False
        return all(
            self.instance(g).deleted if g.deleted else True
            for g in self.guests
        )

    def settle(self) -> None:
        self.mend_all()
        for _ in range(PERIODS):
            self.look_for_work()
            if self.all_settled():
                break
            self.let_pass(PERIOD_S)
        unfinished = [
            f'{m.id} is {m.status}: {m.reason}' for m in self.unfinished()
        ]
        assert not unfinished, unfinished
        # What was left at a host that nobody could reach, is removed now.
        self.look_for_work()
        # Long after all is over, the last messages come.
        self.post.deliver_late()
        self.quiet()

    def check_settled(self) -> None:
        for guest in self.guests:
            instance = self.instance(guest)
            # Of a guest that was lost on its way nothing is touched before
            # it is deleted.
            lost = guest.killed and self.ended_in_error(guest)
            if guest.deleted or not lost:
                assert self.world.leftovers(guest.uuid) == []
            self.check_told(instance)
            if guest.deleted:
                assert instance.deleted
                assert self.world.living(guest.uuid) == ()
                continue
            assert instance.task_state is None
            if guest.killed:
                if not guest.crashed:
                    assert instance.vm_state in ('stopped', 'error')
                continue
            assert self.world.living(guest.uuid) == (instance.host,)
            assert self.world.running(guest.uuid) == (instance.host,)
            assert instance.vm_state == 'active'
            assert instance.power_state == 1

    def ended_in_error(self, guest: Guest) -> bool:
        return bool(
            Migration.list(
                self.deployment.ctxt,
                {'instance_uuid': guest.uuid, 'status': 'error'},
            )
        )

    def check_told(self, instance: Instance) -> None:
        """Each action's events have ended, as the work has."""
        database = self.deployment.database
        for row in database.action_list(instance.uuid, {}):
            found = database.action_get(instance.uuid, row['request_id'])
            for event in found['events']:
                assert event['finish_time'], (row['action'], event['event'])

    def teardown(self) -> None:
        if self.deployment is None:
            return
        try:
            self.settle()
            self.check_settled()
            self.holds()
        finally:
            self.deployment.stop()
            shutil.rmtree(self.directory, ignore_errors=True)


TestMigrations = pytest.mark.timeout(2 * 3600 if LONG else 900)(
    Migrations.TestCase
)
TestMigrations.settings = hypothesis.settings(
    max_examples=1000 if LONG else 12,
    stateful_step_count=25 if LONG else 10,
    deadline=None,
    # The same examples each time; the long search looks at others, and
    # takes its time to make what it finds short.
    derandomize=not LONG,
    database=None,
    phases=[hypothesis.Phase.generate]
    + ([hypothesis.Phase.shrink] if LONG else []),
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
