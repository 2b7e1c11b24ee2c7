"""What drivers promise on hosts that lack something or misbehave.

Only simulated hosts can be had like that, so these cases have no libvirt
variant; the promises are the same docstrings of ``livemig.virt.driver``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from livemig import exception
from livemig.virt import driver, fake, job
from tests.contract.rig import ANY, FakeRig


def without(rig: FakeRig, host: str, **capabilities: bool) -> None:
    able = rig.world.hosts[host].capabilities
    rig.world.add_host(
        host, capabilities=dataclasses.replace(able, **capabilities)
    )


# -- what a driver cannot do --------------------------------------------------
@pytest.mark.parametrize('phase', ['before', 'during'])
def test_a_driver_that_cannot_abort_says_so(
    fake_rig: FakeRig, phase: str
) -> None:
    """And the migration goes on to its end."""
    rig = fake_rig
    without(rig, 'source', abort=False)
    assert not rig.source.capabilities().abort
    guest = rig.spawn('light')
    if phase == 'during':
        plan = rig.begin(guest)
        rig.wait_for_pass(guest)
    with pytest.raises(exception.AbortMigrationNotSupported):
        rig.source.abort(guest)
    if phase == 'during':
        rig.wait_for_end(guest)
        rig.assert_moved(plan)


def test_a_driver_that_cannot_pause_a_migration_says_so(
    fake_rig: FakeRig,
) -> None:
    """Only during a migration; the guest is not paused then."""
    rig = fake_rig
    without(rig, 'source', pause_during_migration=False)
    guest = rig.spawn()
    rig.source.pause(guest)
    rig.source.resume(guest)
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    with pytest.raises(exception.PauseMigrationNotSupported):
        rig.source.pause(guest)
    assert rig.running_at(guest) == ['source']
    rig.wait_for_end(guest)
    rig.assert_moved(plan)


def test_a_driver_without_post_copy_says_so(fake_rig: FakeRig) -> None:
    rig = fake_rig
    without(rig, 'source', post_copy=False)
    guest = rig.spawn('busy')
    plan = rig.plan(guest)
    with pytest.raises(exception.PostCopyNotSupported):
        rig.source.start(plan, driver.TransferOptions(post_copy=True))
    assert rig.ended(guest)
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    with pytest.raises(exception.PostCopyNotSupported):
        rig.source.start_post_copy(guest)
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)


@pytest.mark.parametrize(
    ('capability', 'error'),
    [
        ('live_migration', exception.LiveMigrationNotSupported),
        ('block_migration', exception.HypervisorError),
    ],
)
def test_what_cannot_be_started_is_refused_at_once(
    fake_rig: FakeRig, capability: str, error: type[Exception]
) -> None:
    rig = fake_rig
    without(rig, 'source', **{capability: False})
    guest = rig.spawn(disk_mib=8)
    plan = rig.plan(guest, block=True)
    rig.destination.prepare_destination(plan)
    with pytest.raises(error):
        rig.source.start(plan, ANY)
    assert rig.ended(guest)
    rig.assert_rolled_back(plan)


# -- hosts that misbehave -----------------------------------------------------
def GUEST(guest_id: str) -> driver.GuestSpec:  # noqa: N802 - a value
    return driver.GuestSpec(guest_id, 'guest', 64, 1)


CALLS: list[Callable[[driver.Driver, driver.TransferPlan], object]] = [
    lambda d, p: d.host_facts(),
    lambda d, p: d.guests(),
    lambda d, p: d.guest_state(p.guest_id),
    lambda d, p: d.spawn(GUEST(p.guest_id)),
    lambda d, p: d.destroy(p.guest_id),
    lambda d, p: d.pause(p.guest_id),
    lambda d, p: d.resume(p.guest_id),
    lambda d, p: d.power_off(p.guest_id, 0),
    lambda d, p: d.hard_reboot(GUEST(p.guest_id)),
    lambda d, p: d.soft_reboot(GUEST(p.guest_id), 0),
    lambda d, p: d.suspend(p.guest_id),
    lambda d, p: d.wake(p.guest_id),
    lambda d, p: d.rescue(GUEST(p.guest_id), driver.RescueSpec('/rescue')),
    lambda d, p: d.make_probe(),
    lambda d, p: d.sees_probe('probe'),
    lambda d, p: d.drop_probe('probe'),
    lambda d, p: d.disks(p.guest_id),
    lambda d, p: d.cpu_fits(''),
    lambda d, p: d.reachable(p.destination),
    lambda d, p: d.alive(p.destination),
    lambda d, p: d.prepare_destination(p),
    lambda d, p: d.prepared(),
    lambda d, p: d.undo_destination(p.guest_id, p.migration_id),
    lambda d, p: d.finish_destination(p.guest_id, p.migration_id),
    lambda d, p: d.start(p, ANY),
    lambda d, p: d.job(p.guest_id),
    lambda d, p: d.transfer_error(p.guest_id),
    lambda d, p: d.completed_job(p.guest_id),
    lambda d, p: d.set_max_downtime(p.guest_id, 1),
    lambda d, p: d.set_bandwidth(p.guest_id, 1),
    lambda d, p: d.restore_limits(p.guest_id, ANY),
    lambda d, p: d.start_post_copy(p.guest_id),
    lambda d, p: d.abort(p.guest_id),
    lambda d, p: d.finish_source(p),
]


def test_no_call_reaches_a_hypervisor_that_is_away(fake_rig: FakeRig) -> None:
    """Each says so, none changes anything; it comes back by itself."""
    rig = fake_rig
    guest = rig.spawn()
    plan = rig.plan(guest)
    rig.world.restart_daemon('source', away_s=5.0)
    for call in CALLS:
        with pytest.raises(exception.HypervisorUnavailable):
            call(rig.source, plan)
    rig.clock.advance(5.0)
    assert rig.running_at(guest) == ['source']
    assert rig.leftovers() == []
    rig.assert_intact(guest)


def test_every_method_is_among_those_calls() -> None:
    called = {name for call in CALLS for name in call.__code__.co_names} & set(
        dir(driver.Driver)
    )
    promised = {n for n in dir(driver.Driver) if not n.startswith('_')}
    assert promised - called == {'capabilities', 'close'}


@pytest.mark.parametrize('host', ['source', 'destination'])
def test_a_daemon_that_restarts_early_ends_the_migration(
    fake_rig: FakeRig, host: str
) -> None:
    """While the destination is prepared; see test_driver_failures for
    later."""
    rig = fake_rig
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.clock.advance(0.3)
    assert rig.job(guest).state is job.JobState.STARTING
    rig.world.restart_daemon(host)
    assert rig.ended(guest)
    assert rig.source.transfer_error(guest) != ''
    rig.assert_rolled_back(plan)


@pytest.mark.parametrize('host', ['source', 'destination'])
def test_what_a_daemon_that_restarts_in_post_copy_leaves_behind(
    fake_rig: FakeRig, host: str
) -> None:
    """The source's definition, and no event; the destination has the
    figures."""
    rig = fake_rig
    guest = rig.spawn('busy')
    plan = rig.begin(guest, post_copy=True)
    rig.wait_for_pass(guest)
    rig.source.set_bandwidth(guest, 10, post_copy=True)
    rig.source.start_post_copy(guest)
    rig.world.restart_daemon(host)
    rig.wait_for_end(guest)
    assert rig.source.guest_state(guest) == job.GuestState(
        job.Power.SHUTOFF, job.Reason.MIGRATED
    )
    assert rig.leftovers() != []
    # libvirt's event is never sent again; the destination knows them.
    assert rig.source.completed_job(guest) is None
    assert rig.destination.completed_job(guest) is not None
    rig.assert_moved(plan)


def test_a_definition_left_behind_is_removed(fake_rig: FakeRig) -> None:
    rig = fake_rig
    rig.world.fail('left-behind', 'source', times=1)
    guest = rig.spawn(disk_mib=8)
    plan = rig.begin(guest, block=True, bandwidth_mib_s=0)
    rig.wait_for_end(guest)
    assert rig.source.guest_state(guest) == job.GuestState(
        job.Power.SHUTOFF, job.Reason.MIGRATED
    )
    # It runs elsewhere: started again here it would run twice.
    with pytest.raises(exception.HypervisorError):
        rig.source.spawn(rig.spec(guest, '', 8))
    rig.assert_moved(plan)


def test_post_copy_may_be_refused_for_a_while(fake_rig: FakeRig) -> None:
    rig = fake_rig
    rig.world.fail('post-copy-refused', 'source', times=2)
    guest = rig.spawn('busy')
    plan = rig.begin(guest, post_copy=True)
    rig.wait_for_pass(guest)
    for _ in range(2):
        with pytest.raises(exception.PostCopyRefused):
            rig.source.start_post_copy(guest)
        assert rig.running_at(guest) == ['source']
    rig.source.start_post_copy(guest)
    rig.wait_for_end(guest)
    rig.assert_moved(plan)


def test_a_black_hole_is_told_at_once_if_asked(fake_rig: FakeRig) -> None:
    """Who starts all the same waits for minutes: abort is taken, but has
    no effect before the connection has failed."""
    rig = fake_rig
    rig.world.fail('black-hole', 'destination')
    guest = rig.spawn()
    facts = rig.destination.host_facts()
    assert rig.source.reachable(facts) == 'Connection timed out'
    assert rig.source.alive(facts) == 'Connection timed out'
    plan = rig.begin(guest)
    rig.clock.advance(60.0)
    rig.source.abort(guest)
    rig.clock.advance(60.0)
    assert rig.job(guest).state is job.JobState.STARTING
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)


@pytest.mark.parametrize('fault', ['prepare-refused', 'no-room'])
def test_a_destination_that_refuses_is_left_clean(
    fake_rig: FakeRig, fault: str
) -> None:
    rig = fake_rig
    rig.world.fail(fault, 'destination')
    guest = rig.spawn(disk_mib=8)
    plan = rig.plan(guest, block=True)
    with pytest.raises(exception.DestinationNotPrepared):
        rig.destination.prepare_destination(plan)
    rig.assert_rolled_back(plan)
    rig.world.heal(fault, 'destination')
    rig.destination.prepare_destination(plan)
    rig.assert_rolled_back(plan)


@pytest.mark.parametrize(
    'fault', ['unreachable', 'incoming-refused', 'transfer-breaks']
)
def test_a_transfer_that_fails_leaves_the_guest_at_the_source(
    fake_rig: FakeRig, fault: str
) -> None:
    rig = fake_rig
    host = 'source' if fault == 'transfer-breaks' else 'destination'
    rig.world.fail(fault, host, after_s=3.0, times=1)
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_end(guest)
    assert rig.source.transfer_error(guest) != ''
    rig.world.heal(fault, host)
    rig.assert_rolled_back(plan)


@pytest.mark.parametrize(
    ('fault', 'power', 'reason'),
    [
        ('guest-shuts-down', job.Power.SHUTOFF, job.Reason.SHUTDOWN),
        ('guest-crashes', job.Power.CRASHED, job.Reason.CRASHED),
    ],
)
def test_a_guest_that_ends_during_its_migration_stays_where_it_was(
    fake_rig: FakeRig, fault: str, power: job.Power, reason: job.Reason
) -> None:
    rig = fake_rig
    rig.world.fail(fault, 'source', after_s=3.0, times=1)
    guest = rig.spawn('busy', disk_mib=8)
    plan = rig.begin(guest, block=True)
    rig.wait_for_end(guest)
    assert rig.source.guest_state(guest) == job.GuestState(power, reason)
    assert rig.destination.guest_state(guest) is None
    rig.destination.undo_destination(guest, plan.migration_id)
    assert rig.leftovers() == []


def test_a_guest_that_cannot_be_started_leaves_nothing(
    fake_rig: FakeRig,
) -> None:
    rig = fake_rig
    rig.world.fail('spawn-fails', 'source', times=1)
    with pytest.raises(exception.HypervisorError):
        rig.spawn(disk_mib=8)
    assert rig.leftovers() == []
    assert rig.source.guests() == {}
    rig.source.spawn(rig.spec(rig.spawned[0], '', 8))
    assert rig.running_at(rig.spawned[0]) == ['source']


# -- shared storage -----------------------------------------------------------
@pytest.fixture
def sharing(fake_rig: FakeRig) -> FakeRig:
    """The same rig, with two more hosts that share their disks."""
    for host in ('sharing-1', 'sharing-2'):
        fake_rig.world.add_host(host, storage='nfs')
    fake_rig.source = fake.FakeDriver(fake_rig.world, 'sharing-1')
    fake_rig.destination = fake.FakeDriver(fake_rig.world, 'sharing-2')
    return fake_rig


def test_shared_disks_stay_when_the_guest_moves(sharing: FakeRig) -> None:
    rig = sharing
    probe = rig.destination.make_probe()
    assert rig.source.sees_probe(probe)
    rig.destination.drop_probe(probe)
    guest = rig.spawn(disk_mib=8)
    plan = dataclasses.replace(rig.plan(guest), shared_directory=True)
    rig.destination.prepare_destination(plan)
    rig.source.start(plan, ANY)
    rig.wait_for_end(guest)
    rig.assert_moved(plan)
    assert len(rig.destination.disks(guest)) == 1


def test_shared_disks_stay_when_the_guest_does_not_move(
    sharing: FakeRig,
) -> None:
    rig = sharing
    guest = rig.spawn('busy', disk_mib=8)
    plan = dataclasses.replace(rig.plan(guest), shared_directory=True)
    rig.destination.prepare_destination(plan)
    rig.source.start(plan, driver.TransferOptions(bandwidth_mib_s=10))
    rig.wait_for_pass(guest)
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)
    assert len(rig.source.disks(guest)) == 1


def test_shared_disks_are_in_the_way_of_copies(sharing: FakeRig) -> None:
    """A plan that took them for separate is refused, not obeyed."""
    rig = sharing
    guest = rig.spawn(disk_mib=8)
    with pytest.raises(exception.DestinationNotPrepared):
        rig.destination.prepare_destination(rig.plan(guest, block=True))
    assert len(rig.source.disks(guest)) == 1
