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
import os
import pathlib
import shutil
import tempfile
import threading
import time

import hypothesis
import oslo_messaging
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from livemig import exception, rpc_inproc
from livemig.objects import action as actions
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.virt.simulation.terms import Phase
from tests.functional.deployment import Deployment

LONG = os.environ.get('LIVEMIG_STATEFUL') == 'long'
#: Real seconds after which something that should have happened has not.
PATIENCE_S = 20.0
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
MOMENTS = (0.0, 0.04, 0.3, 0.6, 1.2, 4.0)
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


def never_wait_for_the_absent(bus: rpc_inproc.Bus) -> None:
    """A call to a server that is not there times out at once: minutes of
    silence, without the minutes."""
    send = bus.send

    def time_out(timeout: float | None, monitor: float | None) -> None:
        raise oslo_messaging.MessagingTimeout('nobody is there')

    def send_or_time_out(message: rpc_inproc.Message) -> None:
        there = bus._at(message.address)
        send(message)
        called = message._gone_at is not None
        if called and not there and message.reply is not None:
            message._gone_at = 0.0
            message.reply.wait = time_out

    bus.send = send_or_time_out


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
        kinds=st.lists(st.sampled_from(list(GUESTS)), min_size=1, max_size=2),
        seconds=st.sampled_from(MOMENTS),
    )
    def begin(
        self,
        post_copy: bool,
        force: bool,
        limit: int,
        shared: bool,
        kinds: list[str],
        seconds: float,
    ) -> None:
        """Boot the guests; the first begins to move at once."""
        self.directory = make_directory()
        options = [
            *OPTIONS,
            ('libvirt', 'live_migration_permit_post_copy', post_copy),
            ('DEFAULT', 'max_concurrent_live_migrations', limit),
            ('fake', 'shared_storage', 'shared' if shared else ''),
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
        self.cut_off = False
        for kind in kinds:
            self.boot('host1', kind)
        self.move(self.guests[0], seconds, None)

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
    def guest(self, data: st.DataObject) -> Guest:
        """One of the guests that were not deleted."""
        there = [n for n, g in enumerate(self.guests) if not g.deleted]
        return self.guests[data.draw(st.sampled_from(there), 'guest')]

    def one_that_moves(self, data: st.DataObject) -> Guest:
        """One of the guests that migrate, whether deleted or not."""
        moving = [m.instance_uuid for m in self.unfinished()]
        there = [n for n, g in enumerate(self.guests) if g.uuid in moving]
        return self.guests[data.draw(st.sampled_from(there), 'guest')]

    def has_guests(self) -> bool:
        return any(not g.deleted for g in self.guests)

    def has_unfinished(self) -> bool:
        return bool(self.unfinished())

    def unfinished(self) -> list[Migration]:
        found = Migration.list(self.deployment.ctxt, {})
        return [m for m in found if m.status not in FINAL]

    def instance(self, guest: Guest) -> Instance:
        return Instance.get(self.deployment.ctxt, guest.uuid, deleted=True)

    # -- what people do -------------------------------------------------------
    def boot(self, host: str, kind: str) -> None:
        made = self.deployment.boot(host, **GUESTS[kind])
        self.guests.append(Guest(made.uuid))

    @precondition(has_guests)
    @rule(
        data=st.data(),
        named=st.booleans(),
        seconds=st.sampled_from(MOMENTS),
    )
    def migrate(
        self, data: st.DataObject, named: bool, seconds: float
    ) -> None:
        guest = self.guest(data)
        home = self.instance(guest).host
        other = next(host for host in HOSTS if host != home)
        self.move(guest, seconds, other if named else None)

    def move(self, guest: Guest, seconds: float, host: str | None) -> None:
        """Begin a migration, if the API would, and let it go so far."""
        instance = self.instance(guest)
        if instance.task_state is None and instance.vm_state == 'active':
            self.deployment.migrate(instance, requested_host=host)
            self.let_pass(seconds)

    def one_under_way(self, data: st.DataObject) -> Migration:
        """One of the unfinished migrations, in the operator's hands."""
        ids = [migration.id for migration in self.unfinished()]
        return Migration.get(
            self.deployment.context(),
            data.draw(st.sampled_from(ids), 'migration'),
        )

    @precondition(has_unfinished)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        """What DELETE of a migration does."""
        migration = self.one_under_way(data)
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

    @precondition(has_unfinished)
    @rule(data=st.data(), method=st.sampled_from(['auto', 'pause']))
    def force(self, data: st.DataObject, method: str) -> None:
        """What force_complete does."""
        migration = self.one_under_way(data)
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

    @precondition(has_unfinished)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """What DELETE of a server does, in any state."""
        guest = self.one_that_moves(data)
        instance = self.instance(guest)
        if guest.deleted or instance.host not in self.deployment.managers:
            return
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

    @precondition(has_unfinished)
    @rule(host=st.sampled_from(HOSTS))
    def a_manager_stops(self, host: str) -> None:
        if host in self.deployment.managers:
            self.deployment.stop_manager(host)
            self.let_pass(RESTART_S)

    @precondition(lambda self: len(self.deployment.managers) < len(HOSTS))
    @rule(host=st.sampled_from(HOSTS))
    def a_manager_starts(self, host: str) -> None:
        if host not in self.deployment.managers:
            self.start_manager(host)

    def start_manager(self, host: str) -> None:
        with contextlib.suppress(exception.HypervisorUnavailable):
            self.deployment.start_manager(host)
        self.quiet()

    @precondition(has_unfinished)
    @rule(data=st.data())
    def the_stream_breaks(self, data: st.DataObject) -> None:
        guest_id = self.one_that_moves(data).uuid
        copying = (Phase.DISK, Phase.MEMORY, Phase.POST_COPY)
        one = self.world.jobs.get(guest_id)
        if one is not None and one.transfer.phase in copying:
            self.world.break_post_copy(guest_id)

    @precondition(has_unfinished)
    @rule(
        host=st.sampled_from(HOSTS), away_s=st.sampled_from([0.0, 3.0, 25.0])
    )
    def a_daemon_restarts(self, host: str, away_s: float) -> None:
        self.world.restart_daemon(host, away_s)

    @precondition(lambda self: self.cut_off or self.has_unfinished())
    @rule()
    def the_link_is_cut_or_mended(self) -> None:
        (self.world.mend if self.cut_off else self.world.cut)(*HOSTS)
        self.cut_off = not self.cut_off

    @precondition(has_unfinished)
    @rule(data=st.data(), crash=st.booleans())
    def a_guest_ends_by_itself(self, data: st.DataObject, crash: bool) -> None:
        guest = self.one_that_moves(data)
        if self.world.running(guest.uuid):
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
            now = migration.status
            if was in FINAL:
                assert now == was
            elif was == 'running (post-copy)':
                assert now not in {'cancelled', 'failed', 'running'}
            elif was is not None and now == 'completed':
                instance = Instance.get(
                    self.deployment.ctxt, migration.instance_uuid, deleted=True
                )
                assert instance.host == migration.dest_compute
            self.statuses[migration.id] = now

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

    def check_settled(self) -> None:
        for guest in self.guests:
            instance = self.instance(guest)
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


TestMigrations = Migrations.TestCase
TestMigrations.settings = hypothesis.settings(
    max_examples=400 if LONG else 25,
    stateful_step_count=40 if LONG else 12,
    deadline=None,
    derandomize=not LONG,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
