"""The simulated world: faults, time, and what it says was violated."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from livemig import exception
from livemig.conf import fake as options
from livemig.virt import driver, fake, job, simulation
from tests import clock

MIB = 1024 * 1024
GUEST = 'b6e5a6ba-0000-4000-8000-000000000001'
SLOWLY = driver.TransferOptions(bandwidth_mib_s=10)


class Hosts:
    """A world of two hosts and a busy guest on the first."""

    def __init__(self, *, storage: str = '') -> None:
        self.clock = clock.VirtualClock()
        self.world = simulation.World(self.clock)
        for name in 'ab':
            self.world.add_host(name, storage=storage)
        self.a = fake.FakeDriver(self.world, 'a')
        self.b = fake.FakeDriver(self.world, 'b')
        self.a.spawn(spec())

    def plan(self, **fields: object) -> driver.TransferPlan:
        plan = driver.TransferPlan(
            guest_id=GUEST,
            migration_id=1,
            destination=self.b.host_facts(),
            block_migration=True,
            disks=self.a.disks(GUEST),
        )
        return dataclasses.replace(plan, **fields)  # type: ignore[arg-type]

    def start(
        self,
        to_s: float = 2.0,
        options: driver.TransferOptions = SLOWLY,
    ) -> driver.TransferPlan:
        """Begin a migration and let it go on for ``to_s``."""
        plan = self.plan()
        self.b.prepare_destination(plan)
        self.a.start(plan, options)
        self.clock.advance(to_s)
        return plan

    def start_post_copy(self, bandwidth_mib_s: int) -> None:
        """The same of a guest without disks, switched to post-copy."""
        self.a.destroy(GUEST)
        self.a.spawn(dataclasses.replace(spec(), disks=()))
        self.start(options=dataclasses.replace(SLOWLY, post_copy=True))
        self.a.set_bandwidth(GUEST, bandwidth_mib_s, post_copy=True)
        self.a.start_post_copy(GUEST)

    def reasons(self) -> tuple[str, str]:
        """Power and reason on both hosts, '-' for none."""
        states = [one.guest_state(GUEST) for one in (self.a, self.b)]
        first, second = (f'{s.power} {s.reason}' if s else '-' for s in states)
        return first, second


def spec(cmdline: str = 'ws=40 rate=10000') -> driver.GuestSpec:
    return driver.GuestSpec(
        guest_id=GUEST,
        name='guest',
        memory_mib=64,
        vcpus=1,
        cmdline=cmdline,
        disks=(driver.DiskSpec('vda', 'qcow2', 4 * MIB),),
    )


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


# -- time ---------------------------------------------------------------------
def test_nothing_moves_but_by_the_clock(hosts: Hosts) -> None:
    hosts.start()
    first = hosts.a.job(GUEST)
    assert hosts.a.job(GUEST) == first
    hosts.clock.advance(0.1)
    assert hosts.a.job(GUEST).elapsed_ms == first.elapsed_ms + 100


def test_the_phases_show_on_both_hosts(hosts: Hosts) -> None:
    """From the call to the end, as libvirt shows them."""
    seen = []
    plan = hosts.plan()
    hosts.b.prepare_destination(plan)
    hosts.a.start(plan, driver.TransferOptions(bandwidth_mib_s=0))
    while not seen or seen[-1] != ('-', 'running migrated'):
        if hosts.reasons() != (seen[-1] if seen else None):
            seen.append(hosts.reasons())
        hosts.clock.advance(0.005)
        assert hosts.clock.monotonic_s() < 60
    assert seen == [
        ('running normal', '-'),
        ('running normal', 'paused migration'),
        ('paused migration', 'paused migration'),
        ('paused migration', 'running migrated'),
        ('-', 'running migrated'),
    ]
    hosts.world.check()


def test_a_call_is_known_to_its_caller_before_the_job_is(
    hosts: Hosts,
) -> None:
    """Another driver sees nothing yet; there is nothing to abort yet."""
    hosts.start(0.0)
    other = fake.FakeDriver(hosts.world, 'a')
    assert hosts.a.job(GUEST).state is job.JobState.STARTING
    assert other.job(GUEST).state is job.JobState.NONE
    with pytest.raises(exception.NoActiveJob):
        hosts.a.abort(GUEST)
    hosts.clock.advance(0.1)
    assert other.job(GUEST).state is job.JobState.STARTING
    other.abort(GUEST)


def test_the_command_line_says_how_busy_it_is(hosts: Hosts) -> None:
    """10,000 pages/s over 40 MiB, as the proof guest takes it."""
    machine = hosts.world.hosts['a'].guests[GUEST].machine
    assert machine.load == simulation.Load(40 * MIB, 10000 * 4096)


@pytest.mark.parametrize('cmdline', ['', 'quiet ws= rate=x splash'])
def test_without_it_the_hosts_own_figures_hold(
    hosts: Hosts, cmdline: str
) -> None:
    """A working set is never larger than the memory."""
    hosts.world.add_host('a', load=simulation.Load(1024 * MIB, 7))
    hosts.a.destroy(GUEST)
    hosts.a.spawn(spec(cmdline))
    machine = hosts.world.hosts['a'].guests[GUEST].machine
    assert machine.load == simulation.Load(64 * MIB, 7)


def test_a_guest_powers_itself_off_where_it_is(hosts: Hosts) -> None:
    """At the destination, if it has moved there; not while paused."""
    hosts.a.destroy(GUEST)
    hosts.a.spawn(spec('ws=1 rate=0 off=30'))
    hosts.start(20.0)
    assert hosts.world.running(GUEST) == ('b',)
    hosts.b.pause(GUEST)
    hosts.clock.advance(20.0)
    assert hosts.reasons() == ('-', 'paused user')
    hosts.b.resume(GUEST)
    assert hosts.reasons() == ('-', 'shutoff shutdown')


# -- faults -------------------------------------------------------------------
def test_a_fault_strikes_as_often_as_it_shall(hosts: Hosts) -> None:
    hosts.world.fail('incoming-refused', 'b', times=2)
    plan = hosts.plan()
    hosts.b.prepare_destination(plan)
    where = []
    for _ in range(3):
        hosts.a.start(plan, driver.TransferOptions(max_downtime_ms=5000))
        hosts.clock.advance(5.0)
        where += hosts.world.running(GUEST)
    assert where == ['a', 'a', 'b']


def test_a_transfer_breaks_when_it_shall(hosts: Hosts) -> None:
    hosts.world.fail('transfer-breaks', 'a', after_s=3.0)
    plan = hosts.start(2.9)
    assert hosts.a.job(GUEST).state is job.JobState.ACTIVE
    hosts.clock.advance(0.2)
    assert hosts.reasons() == ('running normal', '-')
    assert 'Connection reset' in hosts.a.transfer_error(GUEST)
    hosts.b.undo_destination(GUEST, plan.migration_id)
    assert hosts.world.leftovers() == []


def test_a_daemon_restarts_when_it_shall(hosts: Hosts) -> None:
    hosts.world.fail('hypervisor-away', 'a', after_s=3.0, lasting_s=2.0)
    hosts.start(2.9)
    assert hosts.a.job(GUEST).state is job.JobState.ACTIVE
    hosts.clock.advance(0.2)
    with pytest.raises(exception.HypervisorUnavailable):
        hosts.a.guests()
    hosts.clock.advance(2.0)
    assert hosts.reasons() == ('running normal', '-')


@pytest.mark.parametrize(
    ('cut_for_s', 'expected'),
    [
        (5.0, ('running normal', 'paused migration')),
        (7.0, ('running normal', '-')),
    ],
)
def test_a_cut_network_ends_a_pre_copy_after_the_keepalive(
    hosts: Hosts, cut_for_s: float, expected: tuple[str, str]
) -> None:
    hosts.start()
    hosts.world.cut('a', 'b')
    assert hosts.a.reachable(hosts.b.host_facts()) == 'No route to host'
    hosts.clock.advance(cut_for_s)
    hosts.world.mend('b', 'a')
    assert hosts.reasons() == expected
    assert hosts.a.reachable(hosts.b.host_facts()) == ''


def test_a_cut_network_halts_a_post_copy(hosts: Hosts) -> None:
    """The source gives up, the destination notices nothing; when the
    network is back it ends by itself, and leaves a definition."""
    hosts.start_post_copy(10)
    hosts.world.cut('a', 'b')
    hosts.clock.advance(3.0)
    assert hosts.reasons() == ('paused post-copy', 'running post-copy')
    left = hosts.a.job(GUEST).memory_remaining_bytes
    hosts.clock.advance(60.0)
    assert hosts.reasons() == ('paused post-copy-failed', 'running post-copy')
    assert hosts.a.job(GUEST).memory_remaining_bytes == left
    hosts.world.mend('a', 'b')
    hosts.clock.advance(10.0)
    assert hosts.reasons() == ('shutoff migrated', 'running migrated')
    hosts.world.check()


def test_a_broken_post_copy_stands_until_recovered(hosts: Hosts) -> None:
    hosts.world.fail('post-copy-breaks', 'a', after_s=1.0, times=1)
    hosts.start_post_copy(10)
    hosts.clock.advance(100.0)
    assert hosts.reasons() == (
        'paused post-copy-failed',
        'running post-copy-failed',
    )
    hosts.world.recover_post_copy(GUEST)
    assert hosts.reasons() == ('paused post-copy', 'running post-copy')
    hosts.clock.advance(20.0)
    assert hosts.reasons() == ('-', 'running migrated')
    hosts.world.check()


@pytest.mark.parametrize(
    ('victim', 'expected'),
    [('a', ('-', '-')), ('b', ('running normal', '-'))],
)
def test_a_host_that_dies_takes_its_guests_with_it(
    hosts: Hosts, victim: str, expected: tuple[str, str]
) -> None:
    """In pre-copy: the source's is the only one."""
    hosts.start()
    hosts.world.kill_host(victim)
    with pytest.raises(exception.HypervisorUnavailable):
        (hosts.a if victim == 'a' else hosts.b).guests()
    hosts.clock.advance(5.0)
    hosts.world.boot_host(victim)
    assert hosts.reasons() == expected
    assert hosts.a.job(GUEST).state is job.JobState.NONE


def test_a_destination_that_dies_while_it_prepares(hosts: Hosts) -> None:
    hosts.start(0.3)
    hosts.world.kill_host('b')
    hosts.clock.advance(1.0)
    assert hosts.a.job(GUEST).state is job.JobState.NONE
    assert hosts.a.transfer_error(GUEST) != ''
    hosts.world.boot_host('b')
    assert hosts.reasons() == ('running normal', '-')


def test_a_destinations_daemon_that_is_not_called_yet_may_restart(
    hosts: Hosts,
) -> None:
    """The source's may not."""
    hosts.start(0.02)
    hosts.world.restart_daemon('b')
    assert hosts.a.job(GUEST).state is job.JobState.STARTING
    hosts.world.restart_daemon('a')
    assert hosts.a.job(GUEST).state is job.JobState.NONE


def confirming() -> Hosts:
    """A guest that runs on b, while a has not let go of it yet."""
    hosts = Hosts()
    hosts.start(1.0)
    hosts.a.set_max_downtime(GUEST, 60_000)
    while hosts.reasons() != ('paused migration', 'running migrated'):
        hosts.clock.advance(0.01)
        assert hosts.clock.monotonic_s() < 60
    return hosts


def test_an_arrived_guest_that_ends_is_not_at_the_source_again() -> None:
    hosts = confirming()
    hosts.world.shut_down_guest(GUEST)
    hosts.clock.advance(1.0)
    assert hosts.reasons() == ('-', 'shutoff shutdown')
    assert hosts.a.transfer_error(GUEST) == ''


def test_the_source_may_go_once_the_guest_has_arrived() -> None:
    hosts = confirming()
    hosts.a.destroy(GUEST)
    hosts.clock.advance(1.0)
    assert hosts.reasons() == ('-', 'running migrated')
    hosts.world.check()


def test_an_abort_after_the_arrival_changes_nothing() -> None:
    hosts = confirming()
    hosts.a.abort(GUEST)
    hosts.clock.advance(1.0)
    assert hosts.reasons() == ('-', 'running migrated')


def test_a_guest_does_not_come_where_its_like_runs(hosts: Hosts) -> None:
    hosts.b.spawn(spec())
    hosts.a.start(hosts.plan(), SLOWLY)
    hosts.clock.advance(1.0)
    assert 'already active' in hosts.a.transfer_error(GUEST)
    assert hosts.reasons() == ('running normal', 'running normal')


@pytest.mark.parametrize('victim', ['a', 'b'])
def test_in_post_copy_either_host_costs_the_guest(
    hosts: Hosts, victim: str
) -> None:
    hosts.start_post_copy(1)
    machine = hosts.world.hosts['a'].guests[GUEST].machine
    hosts.world.kill_host(victim)
    assert machine.lost
    hosts.world.boot_host(victim)
    left = hosts.reasons()[1 if victim == 'a' else 0]
    assert left.endswith('post-copy-failed')


# -- what must never happen ---------------------------------------------------
def violated(world: simulation.World, text: str) -> None:
    with pytest.raises(simulation.Violation, match=text):
        world.check()


def test_a_guest_that_runs_twice_is_noticed(hosts: Hosts) -> None:
    hosts.b.spawn(spec())
    assert hosts.world.running(GUEST) == ('a', 'b')
    violated(hosts.world, 'runs on a, b at once')


def test_a_destroy_in_post_copy_is_noticed(hosts: Hosts) -> None:
    hosts.start_post_copy(1)
    hosts.a.destroy(GUEST)
    violated(hosts.world, 'destroyed on a in post-copy')


def test_a_resume_with_stale_memory_is_noticed(hosts: Hosts) -> None:
    hosts.start_post_copy(1)
    with pytest.raises(exception.HypervisorError):
        hosts.a.resume(GUEST)
    hosts.world.check()
    hosts.world.kill_host('b')
    hosts.a.resume(GUEST)
    violated(hosts.world, 'resumed on a after it had run elsewhere')


def test_removed_disks_of_a_living_guest_are_noticed() -> None:
    hosts = Hosts(storage='nfs')
    hosts.b.destroy(GUEST)
    violated(hosts.world, 'disks were removed by b while it lives on a')


def test_a_source_finished_without_a_destination_is_noticed(
    hosts: Hosts,
) -> None:
    plan = hosts.start()
    hosts.world.shut_down_guest(GUEST)
    hosts.a.finish_source(plan)
    violated(hosts.world, 'lives nowhere else')


def test_disks_copied_onto_themselves_are_noticed() -> None:
    hosts = Hosts(storage='nfs')
    hosts.a.start(hosts.plan(), SLOWLY)
    hosts.clock.advance(1.0)
    violated(hosts.world, 'copied onto themselves')


def test_a_restart_is_counted(hosts: Hosts) -> None:
    hosts.world.shut_down_guest(GUEST, crash=True)
    assert hosts.reasons() == ('crashed crashed', '-')
    hosts.a.spawn(spec())
    assert hosts.world.boots[GUEST] == 2
    hosts.world.check()


def test_leftovers_are_named(hosts: Hosts) -> None:
    """Each kind of thing that can stay behind, until it is removed."""
    assert hosts.world.leftovers() == []
    probe = hosts.b.make_probe()
    hosts.b.prepare_destination(hosts.plan())
    assert hosts.world.leftovers(GUEST) == [
        f'local disks of b: probe {probe}',
        f'b: note of migration 1 ({GUEST})',
        f'local disks of b: directory of {GUEST}',
    ]
    hosts.b.drop_probe(probe)
    hosts.b.undo_destination(GUEST, 1)
    assert hosts.world.leftovers() == []


def test_a_note_is_a_leftover_even_where_the_guest_lives() -> None:
    hosts = confirming()
    hosts.clock.advance(1.0)
    plan = driver.TransferPlan(GUEST, 1, hosts.b.host_facts(), True)
    hosts.a.finish_source(plan)
    assert hosts.world.leftovers() == [f'b: note of a migration of {GUEST}']
    hosts.b.finish_destination(GUEST, 1)
    assert hosts.world.leftovers() == []


def test_a_guest_shut_off_by_itself_is_no_leftover(hosts: Hosts) -> None:
    hosts.world.shut_down_guest(GUEST)
    assert hosts.world.leftovers() == []


def test_several_threads_see_one_world(hosts: Hosts) -> None:
    """Readers and a changer at once: no error, and one outcome."""
    plan = hosts.start()
    over = threading.Event()
    errors: list[Exception] = []

    def read() -> None:
        try:
            while not over.is_set():
                hosts.a.job(GUEST)
                hosts.b.guests()
                hosts.world.running(GUEST)
        except Exception as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for one in readers:
        one.start()
    for _ in range(100):
        hosts.clock.advance(0.05)
        hosts.a.set_bandwidth(GUEST, 10)
    hosts.a.abort(GUEST)
    hosts.clock.advance(1.0)
    over.set()
    for one in readers:
        one.join(30)
    assert errors == []
    hosts.b.undo_destination(GUEST, plan.migration_id)
    assert hosts.world.leftovers() == []
    hosts.world.check()


# -- built from options -------------------------------------------------------
@pytest.fixture
def world_name() -> Iterator[str]:
    name = 'world of test_simulation'
    yield name
    simulation.forget_world(name)


def config(host: str, world: str, **values: object) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf.register_opts(
        [cfg.StrOpt('host'), cfg.StrOpt('instances_path', default='/guests')]
    )
    options.register_opts(conf)
    conf([], default_config_files=[])
    conf.set_override('host', host)
    conf.set_override('world', world, 'fake')
    for name, value in values.items():
        conf.set_override(name, value, 'fake')
    return conf


def test_managers_of_one_process_meet_in_a_world(world_name: str) -> None:
    time = clock.VirtualClock()
    first = fake.build(config('a', world_name), time)
    second = fake.build(config('b', world_name), time)
    assert first.reachable(second.host_facts()) == ''
    first.spawn(spec())
    # A manager that is restarted finds what it left.
    again = fake.build(config('a', world_name), time)
    assert list(again.guests()) == [GUEST]


def test_options_say_how_a_host_is(world_name: str) -> None:
    conf = config(
        'a',
        world_name,
        without=['abort', 'post_copy'],
        memory_mib=2048,
        vcpus=3,
        bandwidth_mib_s=5.0,
        prepare_s=2.0,
        abort_s=0.2,
        dirty_mib_s=3.0,
        working_set_mib=2.0,
        shared_storage='nfs',
    )
    one = fake.build(conf, clock.VirtualClock())
    facts = one.host_facts()
    assert facts.capabilities == driver.Capabilities(
        abort=False, post_copy=False, supports_live_migrate_rescued=True
    )
    assert (facts.memory_mib, facts.vcpus) == (2048, 3)
    assert facts.instances_path == '/guests'
    host = simulation.world(world_name, clock.VirtualClock()).hosts['a']
    assert host.pace == simulation.Pace(
        link_bytes_per_s=5 * MIB, prepare_s=2.0, abort_s=0.2
    )
    assert host.load == simulation.Load(2 * MIB, 3 * MIB)
    assert host.storage.name == 'nfs'


def test_options_let_things_go_wrong(world_name: str) -> None:
    time = clock.VirtualClock()
    conf = config(
        'a',
        world_name,
        faults=['spawn-fails times=1', 'hypervisor-away after=5 lasting=1'],
    )
    one = fake.build(conf, time)
    with pytest.raises(exception.HypervisorError):
        one.spawn(spec())
    one.spawn(spec())
    time.advance(5.5)
    with pytest.raises(exception.HypervisorUnavailable):
        one.guests()
    # Building it again is no reason for things to go wrong again.
    time.advance(5.0)
    again = fake.build(conf, time)
    again.destroy(GUEST)
    again.spawn(spec())


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('without', ['flying']),
        ('faults', ['bad-luck']),
        ('faults', ['unreachable after=soon']),
        ('faults', ['unreachable 5']),
        ('faults', ['unreachable with=joy']),
        ('faults', ['']),
    ],
)
def test_wrong_options_are_named(
    world_name: str, option: str, value: list[str]
) -> None:
    conf = config('a', world_name, **{option: value})
    with pytest.raises(exception.ConfigurationError, match=option):
        fake.build(conf, clock.VirtualClock())
