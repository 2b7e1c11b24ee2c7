"""What every driver promises, shown on two hosts and a guest that moves.

Run with the simulated hypervisor always, with libvirt where
``LIVEMIG_TEST_LIBVIRT=1`` (see ``rig.kinds``). The promises are the
docstrings of ``livemig.virt.driver``; each case says which one it shows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import uuid

import pytest

from livemig import exception
from livemig.virt import driver, job
from tests.contract.rig import MEMORY_MIB, MIB, SLOW, Rig

NOBODY = str(uuid.UUID(int=0))
ANY = driver.TransferOptions()


# -- guests -------------------------------------------------------------------
def test_spawn_twice_leaves_the_running_guest_alone(rig: Rig) -> None:
    """Repeating ``spawn`` neither fails nor restarts the guest."""
    guest = rig.spawn()
    rig.source.spawn(rig.spec(guest, 'ws=1', 0))
    assert rig.running_at(guest) == ['source']
    assert guest in rig.source.guests()
    assert guest not in rig.destination.guests()
    rig.assert_intact(guest)


def test_destroy_removes_all_and_may_be_repeated(rig: Rig) -> None:
    """Guest, definition, directory and disks go; again is no error."""
    guest = rig.spawn(disk_mib=8)
    rig.source.destroy(guest)
    rig.source.destroy(guest)
    assert rig.source.guest_state(guest) is None
    assert guest not in rig.source.guests()
    assert rig.leftovers() == []


def test_pause_and_resume_are_the_users(rig: Rig) -> None:
    """A pause without a job is the user's; both may be repeated."""
    guest = rig.spawn()
    rig.source.pause(guest)
    rig.source.pause(guest)
    assert rig.source.guest_state(guest) == job.GuestState(
        job.Power.PAUSED, job.Reason.USER
    )
    rig.source.resume(guest)
    rig.source.resume(guest)
    assert rig.running_at(guest) == ['source']


@pytest.mark.parametrize('ask', ['pause', 'resume', 'disks'])
def test_an_unknown_guest_is_said_to_be_unknown(rig: Rig, ask: str) -> None:
    with pytest.raises(exception.GuestNotFound):
        getattr(rig.source, ask)(NOBODY)
    assert rig.source.guest_state(NOBODY) is None


# -- checks before a migration ------------------------------------------------
def test_facts_and_plan_survive_json(rig: Rig) -> None:
    """They are sent over the bus and kept in the database."""
    guest = rig.spawn(disk_mib=8)
    facts = rig.destination.host_facts()
    plan = rig.plan(guest, block=True)
    again = json.loads(json.dumps(facts.to_dict()))
    assert driver.HostFacts.from_dict(again) == facts
    again = json.loads(json.dumps(plan.to_dict()))
    assert driver.TransferPlan.from_dict(again) == plan
    assert facts.memory_mib > 0
    assert 0 <= facts.disk_free_bytes <= facts.disk_total_bytes
    assert facts.capabilities == rig.destination.capabilities()


def test_disks_are_described(rig: Rig) -> None:
    guest = rig.spawn(disk_mib=8)
    (disk,) = rig.source.disks(guest)
    assert (disk.device, disk.format) == ('vda', 'qcow2')
    assert disk.virtual_size_bytes == 8 * MIB
    assert disk.path.startswith(rig.source.host_facts().instances_path)
    assert not disk.read_only


def test_a_probe_is_seen_only_where_disks_are_shared(rig: Rig) -> None:
    probe = rig.destination.make_probe()
    assert rig.destination.sees_probe(probe)
    assert not rig.source.sees_probe(probe)
    rig.destination.drop_probe(probe)
    rig.destination.drop_probe(probe)
    assert not rig.destination.sees_probe(probe)


@pytest.mark.parametrize('probe', ['', '..', '/etc/passwd', '../../etc'])
def test_a_probe_is_a_name_and_no_path(rig: Rig, probe: str) -> None:
    """The name comes from another host: it must not lead elsewhere."""
    assert not rig.source.sees_probe(probe)
    rig.source.drop_probe(probe)


def test_the_other_host_is_reachable_and_nowhere_is_not(rig: Rig) -> None:
    facts = rig.destination.host_facts()
    assert rig.source.reachable(facts) == ''
    nowhere = dataclasses.replace(facts, migration_uri=rig.nowhere())
    assert rig.source.reachable(nowhere) != ''


def test_a_guest_fits_the_cpu_it_has(rig: Rig) -> None:
    assert rig.destination.cpu_fits(rig.source.host_facts().cpu)


# -- the job, as it is read ---------------------------------------------------
def test_without_a_migration_there_is_no_job(rig: Rig) -> None:
    """No job, no error, no figures, nothing to change or abort."""
    guest = rig.spawn()
    for one in (guest, NOBODY):
        assert rig.job(one) == job.JobStats(job.JobState.NONE)
        assert rig.source.transfer_error(one) == ''
        assert rig.source.completed_job(one) is None
    for ask in (
        lambda: rig.source.abort(guest),
        lambda: rig.source.set_bandwidth(guest, 1),
        lambda: rig.source.set_bandwidth(guest, 1, post_copy=True),
        lambda: rig.source.set_max_downtime(guest, 100),
    ):
        with pytest.raises(exception.NoActiveJob):
            ask()
    state = rig.source.guest_state(guest)
    assert state and not state.job


def test_readings_are_sane_from_start_to_abort(rig: Rig) -> None:
    """Zero while it prepares; then what is left of the memory falls and
    rises again with each pass, and everything fits together."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    seen: list[job.JobStats] = []

    def third_pass() -> bool:
        seen.append(rig.job(guest))
        return seen[-1].pass_number >= 3

    rig.wait_until(third_pass)
    state = rig.source.guest_state(guest)
    assert state and state.job and state.power is job.Power.RUNNING
    starting = [s for s in seen if s.state is job.JobState.STARTING]
    active = [s for s in seen if s.state is job.JobState.ACTIVE]
    assert starting and active
    assert len(starting) + len(active) == len(seen)
    assert all(s.transferred_bytes == 0 for s in starting)
    assert all(s.pass_number == 0 for s in starting)
    for before, after in zip(active, active[1:], strict=False):
        assert after.elapsed_ms >= before.elapsed_ms
        assert after.pass_number >= before.pass_number
        assert after.memory_processed_bytes >= before.memory_processed_bytes
        if after.pass_number == before.pass_number:
            left = after.memory_remaining_bytes
            assert left <= before.memory_remaining_bytes
    memory = [s for s in active if s.pass_number]
    totals = {s.memory_total_bytes for s in memory}
    assert len(totals) == 1
    assert min(totals) >= MEMORY_MIB * MIB
    assert all(s.memory_remaining_bytes <= max(totals) for s in memory)
    assert all(s.dirty_bytes_per_s == 0 for s in memory if s.pass_number < 2)
    assert memory[-1].dirty_bytes_per_s > 0
    assert all(s.disk_total_bytes == 0 for s in memory)
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)


def test_disks_are_copied_before_the_memory(rig: Rig) -> None:
    """``disk_*`` move first, while ``memory_*`` stay 0."""
    guest = rig.spawn(disk_mib=32)
    plan = rig.begin(guest, block=True)
    seen: list[job.JobStats] = []

    def ended() -> bool:
        seen.append(rig.job(guest))
        return seen[-1].state is job.JobState.NONE

    rig.wait_until(ended)
    disk = [s for s in seen if s.disk_total_bytes and not s.pass_number]
    assert disk
    assert {s.disk_total_bytes for s in disk} == {32 * MIB}
    assert all(s.memory_processed_bytes == 0 for s in disk)
    assert any(0 < s.disk_processed_bytes < 32 * MIB for s in disk)
    assert any(s.memory_processed_bytes for s in seen)
    rig.assert_moved(plan)


# -- a migration that ends well -----------------------------------------------
def test_a_migration_completes(rig: Rig) -> None:
    """The guest runs there, is gone here, and its figures are known."""
    guest = rig.spawn('light')
    plan = rig.begin(guest, bandwidth_mib_s=0)
    rig.wait_for_end(guest)
    assert rig.running_at(guest) == ['destination']
    assert rig.source.transfer_error(guest) == ''
    for one in (rig.source, rig.destination):
        figures = one.completed_job(guest)
        assert figures is not None
        assert figures.downtime_ms > 0
        assert figures.elapsed_ms >= figures.downtime_ms
        assert figures.memory_total_bytes >= MEMORY_MIB * MIB
        assert figures.memory_processed_bytes > 0
        assert figures.pass_number >= 1
    rig.assert_moved(plan)


def test_copied_disks_come_with_it(rig: Rig) -> None:
    guest = rig.spawn(disk_mib=16)
    (before,) = rig.source.disks(guest)
    plan = rig.begin(guest, block=True, bandwidth_mib_s=0)
    rig.wait_for_end(guest)
    rig.assert_moved(plan)
    (after,) = rig.destination.disks(guest)
    assert after.virtual_size_bytes == before.virtual_size_bytes
    assert (after.device, after.format) == (before.device, before.format)


def test_what_follows_a_success_may_be_repeated(rig: Rig) -> None:
    """A manager that is restarted in the middle does it again."""
    guest = rig.spawn(disk_mib=16)
    plan = rig.begin(guest, block=True, bandwidth_mib_s=0)
    rig.wait_for_end(guest)
    for _ in range(2):
        rig.destination.finish_destination(guest, plan.migration_id)
        rig.source.finish_source(plan)
    rig.assert_moved(plan)


def test_a_guest_moves_there_and_back(rig: Rig) -> None:
    """What one migration leaves behind does not hinder the next, and its
    figures, not asked for, are not taken for the next one's."""
    guest = rig.spawn('light', disk_mib=16)
    for bandwidth_mib_s in (0, SLOW):
        plan = rig.begin(guest, block=True, bandwidth_mib_s=bandwidth_mib_s)
        rig.wait_for_end(guest)
        rig.assert_moved(plan)
        rig.source, rig.destination = rig.destination, rig.source
    assert rig.running_at(guest) == ['source']
    # 16 MiB of disk alone take longer than that at 10 MiB/s.
    for one in (rig.source, rig.destination):
        figures = one.completed_job(guest)
        assert figures and figures.elapsed_ms > 1600


def test_a_guest_paused_by_its_user_stays_paused(rig: Rig) -> None:
    """It writes nothing, so it arrives however busy it was before."""
    guest = rig.spawn('busy')
    rig.source.pause(guest)
    plan = rig.begin(guest)
    assert plan.paused
    rig.wait_for_end(guest, 30.0)
    assert rig.destination.guest_state(guest) == job.GuestState(
        job.Power.PAUSED, job.Reason.USER
    )
    rig.assert_moved(plan)
    rig.destination.resume(guest)
    assert rig.running_at(guest) == ['destination']


# -- abort --------------------------------------------------------------------
@pytest.mark.parametrize('when', ['preparing', 'disk', 'memory'])
def test_an_aborted_migration_leaves_all_as_it_was(
    rig: Rig, when: str
) -> None:
    """Whenever it comes: the guest runs here, nothing is left there."""
    guest = rig.spawn('busy', disk_mib=64)
    plan = rig.begin(guest, block=True)
    if when == 'disk':
        rig.wait_until(lambda: rig.job(guest).disk_processed_bytes > 0)
        assert rig.job(guest).pass_number == 0
    elif when == 'memory':
        rig.wait_for_pass(guest)
    rig.abort(guest)
    rig.wait_for_end(guest)
    assert rig.running_at(guest) == ['source']
    assert rig.source.transfer_error(guest) != ''
    assert rig.source.completed_job(guest) is None
    rig.assert_rolled_back(plan)


def test_files_of_an_aborted_migration_stay_until_undone(rig: Rig) -> None:
    """The hypervisor removes its guest, but not the disks it was given."""
    guest = rig.spawn(disk_mib=32)
    plan = rig.begin(guest, block=True)
    rig.abort(guest)
    rig.wait_for_end(guest)
    assert rig.leftovers() != []
    rig.assert_rolled_back(plan)


def test_abort_twice_aborts_once(rig: Rig) -> None:
    """The second finds the first under way, or nothing to abort."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    rig.source.abort(guest)
    with contextlib.suppress(exception.NoActiveJob):
        rig.source.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)


def test_abort_after_the_end_finds_no_job(rig: Rig) -> None:
    guest = rig.spawn()
    plan = rig.begin(guest, bandwidth_mib_s=0)
    rig.wait_for_end(guest)
    with pytest.raises(exception.NoActiveJob):
        rig.source.abort(guest)
    rig.assert_moved(plan)


def test_after_an_abort_it_can_be_migrated_again(rig: Rig) -> None:
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)
    plan = rig.begin(guest, bandwidth_mib_s=0, max_downtime_ms=2000)
    assert rig.source.transfer_error(guest) == ''
    rig.wait_for_end(guest)
    assert rig.source.transfer_error(guest) == ''
    rig.assert_moved(plan)


# -- forcing by pause and by limits -------------------------------------------
@pytest.mark.parametrize('lifted', [True, False])
def test_a_pause_during_the_migration_ends_it(rig: Rig, lifted: bool) -> None:
    """The guest dirties nothing any more, arrives, and runs by itself;
    with the bandwidth limit lifted as well it only takes less time."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest, 2)
    rig.source.pause(guest)
    assert rig.source.guest_state(guest) == job.GuestState(
        job.Power.PAUSED, job.Reason.MIGRATION, job=True
    )
    rig.source.pause(guest)
    if lifted:
        rig.source.set_bandwidth(guest, 0)
    rig.wait_for_end(guest, 30.0)
    assert rig.running_at(guest) == ['destination']
    rig.assert_moved(plan)


def test_a_paused_migration_can_still_be_aborted(rig: Rig) -> None:
    """The guest that was only paused to move runs again here."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest, bandwidth_mib_s=1)
    rig.wait_for_pass(guest)
    rig.source.pause(guest)
    rig.abort(guest)
    rig.wait_for_end(guest)
    assert rig.source.guest_state(guest) == job.GuestState(
        job.Power.RUNNING, job.Reason.MIGRATION_CANCELED
    )
    rig.assert_rolled_back(plan)


def test_an_aborted_migration_leaves_a_paused_guest_paused(rig: Rig) -> None:
    """Its user's pause is kept, whatever livemig did meanwhile."""
    guest = rig.spawn()
    rig.source.pause(guest)
    plan = rig.begin(guest, bandwidth_mib_s=1)
    rig.wait_for_pass(guest)
    rig.source.pause(guest)
    rig.abort(guest)
    rig.wait_for_end(guest)
    assert rig.source.guest_state(guest) == job.GuestState(
        job.Power.PAUSED, job.Reason.USER
    )
    rig.assert_rolled_back(plan)


@pytest.mark.parametrize('limit', ['bandwidth', 'downtime'])
def test_limits_can_be_changed_while_it_runs(rig: Rig, limit: str) -> None:
    """A guest that would never converge does, once one is lifted."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest, 3)
    if limit == 'bandwidth':
        rig.source.set_bandwidth(guest, 0)
    else:
        rig.source.set_max_downtime(guest, 30_000)
    rig.wait_for_end(guest, 30.0)
    assert rig.running_at(guest) == ['destination']
    rig.assert_moved(plan)


def test_a_huge_downtime_is_clamped(rig: Rig) -> None:
    """The hypervisor's own bound is 2,000,000 ms."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    rig.source.set_max_downtime(guest, 2**40)
    rig.wait_for_end(guest)
    rig.assert_moved(plan)


# -- post-copy ----------------------------------------------------------------
def start_post_copy(rig: Rig, guest: str) -> None:
    """Ask until it is taken: it may be too early at first."""

    def taken() -> bool:
        try:
            rig.source.start_post_copy(guest)
        except exception.PostCopyRefused:
            return False
        return True

    rig.wait_until(taken, 10.0)


def test_post_copy_moves_the_guest_first(rig: Rig) -> None:
    """It runs there, paused here, until its memory has followed; asking
    twice is no error, aborting it is refused."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest, post_copy=True)
    rig.wait_for_pass(guest)
    rig.source.set_bandwidth(guest, SLOW, post_copy=True)
    start_post_copy(rig, guest)
    rig.source.start_post_copy(guest)
    rig.wait_until(lambda: rig.running_at(guest) == ['destination'], 5.0)
    assert rig.source.guest_state(guest) == job.GuestState(
        job.Power.PAUSED, job.Reason.POST_COPY, job=True
    )
    there = rig.destination.guest_state(guest)
    assert there == job.GuestState(
        job.Power.RUNNING, job.Reason.POST_COPY, job=True
    )
    assert rig.job(guest).state is job.JobState.POST_COPY
    with pytest.raises(exception.AbortRefused):
        rig.source.abort(guest)
    with pytest.raises(exception.HypervisorError):
        rig.destination.undo_destination(guest, plan.migration_id)
    with pytest.raises(exception.PauseMigrationNotSupported):
        rig.destination.pause(guest)
    rig.source.set_bandwidth(guest, 0, post_copy=True)
    rig.wait_for_end(guest)
    rig.assert_moved(plan)


def test_post_copy_must_be_foreseen_at_the_start(rig: Rig) -> None:
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    with pytest.raises(exception.PostCopyRefused):
        rig.source.start_post_copy(guest)
    assert rig.running_at(guest) == ['source']
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)


def test_post_copy_too_early_is_refused(rig: Rig) -> None:
    """While it prepares: a refusal, and the migration goes on."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest, post_copy=True)
    assert rig.job(guest).state is job.JobState.STARTING
    with pytest.raises((exception.PostCopyRefused, exception.NoActiveJob)):
        rig.source.start_post_copy(guest)
    rig.wait_for_pass(guest)
    assert rig.running_at(guest) == ['source']
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)


def test_post_copy_and_copied_disks_exclude_each_other(rig: Rig) -> None:
    """Should the switch break, the copy would be incomplete."""
    guest = rig.spawn(disk_mib=16)
    plan = rig.plan(guest, block=True)
    rig.destination.prepare_destination(plan)
    with pytest.raises(exception.HypervisorError):
        rig.source.start(plan, driver.TransferOptions(post_copy=True))
    assert rig.ended(guest)
    rig.assert_rolled_back(plan)


def test_a_paused_guest_is_sent_without_post_copy(rig: Rig) -> None:
    """QEMU refuses the two together; it moves all the same, and a switch
    is refused as if it had not been foreseen."""
    guest = rig.spawn('busy')
    rig.source.pause(guest)
    plan = rig.begin(guest, post_copy=True)
    rig.wait_for_pass(guest)
    with pytest.raises(exception.PostCopyRefused):
        rig.source.start_post_copy(guest)
    rig.source.set_bandwidth(guest, 0)
    rig.wait_for_end(guest)
    state = rig.destination.guest_state(guest)
    assert state == job.GuestState(job.Power.PAUSED, job.Reason.USER)
    rig.assert_moved(plan)


def test_post_copy_without_a_job_finds_none(rig: Rig) -> None:
    guest = rig.spawn()
    with pytest.raises(exception.NoActiveJob):
        rig.source.start_post_copy(guest)


def test_a_broken_post_copy_shows_on_both_sides(rig: Rig) -> None:
    """And neither side lets the guest be touched as if it were whole."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest, post_copy=True)
    rig.wait_for_pass(guest)
    rig.source.set_bandwidth(guest, 1, post_copy=True)
    start_post_copy(rig, guest)
    rig.break_post_copy(guest)

    def failed() -> bool:
        states = [
            one.guest_state(guest) for one in (rig.source, rig.destination)
        ]
        return all(
            s and s.reason is job.Reason.POST_COPY_FAILED for s in states
        )

    rig.wait_until(failed, 30.0)
    assert rig.job(guest).state is job.JobState.POST_COPY_FAILED
    with pytest.raises(exception.AbortRefused):
        rig.source.abort(guest)
    with pytest.raises(exception.HypervisorError):
        rig.destination.undo_destination(guest, plan.migration_id)
    rig.source.finish_source(plan)
    state = rig.source.guest_state(guest)
    assert state and state.power is job.Power.PAUSED
    rig.drop_broken(plan)


# -- a migration that ends badly ----------------------------------------------
def test_an_unreachable_destination_harms_nothing(rig: Rig) -> None:
    guest = rig.spawn()
    plan = rig.plan(guest)
    rig.destination.prepare_destination(plan)
    rig.source.start(rig.to_nowhere(plan), ANY)
    rig.wait_for_end(guest)
    assert rig.running_at(guest) == ['source']
    assert rig.source.transfer_error(guest) != ''
    rig.assert_rolled_back(plan)


def test_disks_nobody_prepared_for_are_refused(rig: Rig) -> None:
    """The hypervisor's own preparation fails; the guest runs on."""
    guest = rig.spawn(disk_mib=16)
    plan = rig.plan(guest, block=True)
    rig.source.start(plan, ANY)
    rig.wait_for_end(guest)
    assert rig.running_at(guest) == ['source']
    assert rig.source.transfer_error(guest) != ''
    rig.assert_rolled_back(plan)


def test_disks_of_another_size_are_refused(rig: Rig) -> None:
    """Prepared for something else than what comes: the guest runs on."""
    guest = rig.spawn(disk_mib=16)
    plan = rig.plan(guest, block=True)
    larger = dataclasses.replace(
        plan.disks[0], virtual_size_bytes=2 * plan.disks[0].virtual_size_bytes
    )
    rig.destination.prepare_destination(
        dataclasses.replace(plan, disks=(larger,))
    )
    rig.source.start(plan, ANY)
    rig.wait_for_end(guest)
    assert rig.running_at(guest) == ['source']
    assert rig.source.transfer_error(guest) != ''
    rig.assert_rolled_back(plan)


def test_disks_of_another_host_are_refused_without_a_copy(rig: Rig) -> None:
    """Without shared storage a migration that copies no disk is unsafe."""
    guest = rig.spawn(disk_mib=16)
    plan = rig.begin(guest)
    rig.wait_for_end(guest)
    assert rig.running_at(guest) == ['source']
    assert rig.source.transfer_error(guest) != ''
    rig.assert_rolled_back(plan)


def test_a_destination_without_room_is_not_prepared(rig: Rig) -> None:
    """And nothing is left of the attempt."""
    guest = rig.spawn(disk_mib=16)
    plan = rig.plan(guest, block=True)
    room = plan.destination.disk_free_bytes
    small, large = (
        plan.disks[0],
        dataclasses.replace(
            plan.disks[0],
            device='vdb',
            path=plan.disks[0].path + '-b',
            virtual_size_bytes=2 * room,
            allocated_bytes=2 * room,
        ),
    )
    plan = dataclasses.replace(plan, disks=(small, large))
    with pytest.raises(exception.DestinationNotPrepared):
        rig.destination.prepare_destination(plan)
    assert rig.leftovers() == []
    rig.assert_rolled_back(plan)


def test_files_of_another_migration_are_in_the_way(rig: Rig) -> None:
    """They are neither used nor removed."""
    guest = rig.spawn(disk_mib=16)
    first, second = (rig.plan(guest, block=True) for _ in range(2))
    rig.destination.prepare_destination(first)
    before = rig.leftovers()
    with pytest.raises(exception.DestinationNotPrepared):
        rig.destination.prepare_destination(second)
    rig.destination.undo_destination(guest, second.migration_id)
    assert rig.leftovers() == before != []
    rig.assert_rolled_back(first)


def test_a_guest_that_shuts_itself_down_ends_its_migration(rig: Rig) -> None:
    """It is shut off here, was not moved and not started again there."""
    guest = rig.spawn('busy', off_s=8)
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    rig.wait_for_end(guest)
    assert rig.running_at(guest) == []
    assert rig.destination.guest_state(guest) is None
    state = rig.source.guest_state(guest)
    assert state is None or state == job.GuestState(
        job.Power.SHUTOFF, job.Reason.SHUTDOWN
    )
    assert rig.source.transfer_error(guest) != ''
    rig.destination.undo_destination(guest, plan.migration_id)


@pytest.mark.parametrize('when', ['preparing', 'memory'])
def test_a_guest_destroyed_at_the_source_is_gone(rig: Rig, when: str) -> None:
    """On both sides, and with all it had."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    if when == 'memory':
        rig.wait_for_pass(guest)
    rig.source.destroy(guest)
    rig.wait_until(
        lambda: rig.destination.guest_state(guest) is None, timeout_s=30.0
    )
    rig.wait_for_end(guest)
    rig.destination.undo_destination(guest, plan.migration_id)
    assert rig.source.guest_state(guest) is None
    assert rig.leftovers() == []


# -- the destination's side ---------------------------------------------------
def test_preparing_twice_is_harmless(rig: Rig) -> None:
    guest = rig.spawn(disk_mib=16)
    plan = rig.plan(guest, block=True)
    rig.destination.prepare_destination(plan)
    rig.destination.prepare_destination(plan)
    rig.source.start(plan, ANY)
    rig.wait_for_end(guest)
    rig.assert_moved(plan)


def test_undoing_twice_or_nothing_is_harmless(rig: Rig) -> None:
    guest = rig.spawn(disk_mib=16)
    rig.destination.undo_destination(guest, 4711)
    rig.destination.undo_destination(NOBODY, 4711)
    plan = rig.plan(guest, block=True)
    rig.destination.prepare_destination(plan)
    assert rig.destination.prepared() == [(guest, plan.migration_id)]
    assert rig.leftovers() != []
    for _ in range(2):
        rig.destination.undo_destination(guest, plan.migration_id)
        assert rig.leftovers() == []
    rig.assert_rolled_back(plan)


@pytest.mark.parametrize('finished', [False, True])
def test_a_guest_that_runs_is_never_undone(rig: Rig, finished: bool) -> None:
    """It has arrived: a late roll back must not cost its life."""
    guest = rig.spawn(disk_mib=16)
    plan = rig.begin(guest, block=True, bandwidth_mib_s=0)
    rig.wait_for_end(guest)
    if finished:
        rig.destination.finish_destination(guest, plan.migration_id)
    with pytest.raises(exception.HypervisorError):
        rig.destination.undo_destination(guest, plan.migration_id)
    assert rig.running_at(guest) == ['destination']
    rig.assert_moved(plan)


def test_undoing_stops_a_guest_that_still_waits(rig: Rig) -> None:
    """Its migration fails, it runs on at the source."""
    guest = rig.spawn('busy', disk_mib=16)
    plan = rig.begin(guest, block=True)
    rig.wait_for_pass(guest)
    assert rig.destination.guest_state(guest) == job.GuestState(
        job.Power.PAUSED, job.Reason.MIGRATION, job=True
    )
    rig.destination.undo_destination(guest, plan.migration_id)
    rig.wait_for_end(guest)
    assert rig.running_at(guest) == ['source']
    assert rig.source.transfer_error(guest) != ''
    rig.assert_rolled_back(plan)


def test_an_arrived_guest_can_be_destroyed_before_it_is_finished(
    rig: Rig,
) -> None:
    """Its note goes with it: there is nothing left to be undone."""
    guest = rig.spawn(disk_mib=16)
    plan = rig.begin(guest, block=True, bandwidth_mib_s=0)
    rig.wait_for_end(guest)
    rig.source.finish_source(plan)
    rig.destination.destroy(guest)
    assert rig.destination.guest_state(guest) is None
    assert rig.destination.prepared() == []
    assert rig.leftovers() == []


def test_a_guest_that_is_not_there_cannot_be_finished(rig: Rig) -> None:
    with pytest.raises(exception.GuestNotFound):
        rig.destination.finish_destination(NOBODY, 1)


# -- the source's side --------------------------------------------------------
def test_a_guest_that_lives_here_is_not_finished_off(rig: Rig) -> None:
    """``finish_source`` out of place touches neither guest nor disks."""
    guest = rig.spawn(disk_mib=16)
    plan = rig.plan(guest, block=True)
    rig.source.finish_source(plan)
    rig.source.pause(guest)
    rig.source.finish_source(plan)
    assert len(rig.source.disks(guest)) == 1
    rig.source.resume(guest)
    assert rig.running_at(guest) == ['source']
    rig.assert_intact(guest)


def test_only_a_guest_that_is_here_can_be_sent(rig: Rig) -> None:
    plan = dataclasses.replace(rig.plan(rig.spawn()), guest_id=NOBODY)
    with pytest.raises(exception.GuestNotFound):
        rig.source.start(plan, ANY)


def test_a_guest_is_sent_only_once_at_a_time(rig: Rig) -> None:
    """A second start is refused and does not disturb the first."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    with pytest.raises(exception.HypervisorError):
        rig.source.start(plan, ANY)
    assert rig.job(guest).state is job.JobState.ACTIVE
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)


# -- the manager dies ---------------------------------------------------------
def test_a_new_driver_sees_and_aborts_the_job(rig: Rig) -> None:
    """A manager that was restarted takes the migration up again."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    second = rig.second_source_driver()
    try:
        stats = second.job(guest)
        assert stats.state is job.JobState.ACTIVE
        assert stats.memory_total_bytes >= MEMORY_MIB * MIB
        second.set_bandwidth(guest, SLOW)
        second.abort(guest)
        rig.wait_until(lambda: second.job(guest).state is job.JobState.NONE)
        assert second.transfer_error(guest) == ''
    finally:
        second.close()
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)


def test_a_job_outlives_the_driver_that_began_it(rig: Rig) -> None:
    """It goes on to the end, which a new driver can tell."""
    guest = rig.spawn()
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    rig.source.close()
    rig.source = rig.second_source_driver()
    assert rig.job(guest).state is job.JobState.ACTIVE
    rig.wait_for_end(guest)
    assert rig.running_at(guest) == ['destination']
    figures = rig.destination.completed_job(guest)
    assert figures and figures.memory_processed_bytes > 0
    rig.assert_moved(plan)
