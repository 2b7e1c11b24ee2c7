"""What every driver promises of abort, pause, limits and post-copy.

See ``test_driver`` for how it is run.
"""

from __future__ import annotations

import contextlib

import pytest

from livemig import exception
from livemig.virt import driver, job
from tests.contract.rig import ANY, NOBODY, Rig, start_post_copy, wait_switched


# -- abort --------------------------------------------------------------------
@pytest.mark.parametrize('when', ['preparing', 'disk', 'memory'])
def test_an_aborted_migration_leaves_all_as_it_was(
    rig: Rig, when: str
) -> None:
    """Whenever it comes: the guest runs here, nothing is left there."""
    # A large one shows that it is being copied, a small one is copied soon.
    guest = rig.spawn('busy', disk_mib=64 if when == 'disk' else 16)
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
    rig.wait_for_pass(guest, 2)
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)
    plan = rig.begin(guest, bandwidth_mib_s=2)
    assert rig.source.transfer_error(guest) == ''
    # Counted afresh: a pass tells whether it may be paused already.
    assert rig.wait_for_pass(guest).pass_number == 1
    rig.source.set_bandwidth(guest, 0)
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
    rig.source.pause(guest, forced=True)
    assert rig.source.guest_state(guest) == job.GuestState(
        job.Power.PAUSED, job.Reason.MIGRATION, job=True
    )
    rig.source.pause(guest, forced=True)
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
    rig.source.pause(guest, forced=True)
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


def test_lifted_limits_can_be_put_back_after_the_end(rig: Rig) -> None:
    """They outlive the job; also a manager that was restarted meanwhile
    can give the guest those back that its transfer began with."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest, bandwidth_mib_s=1, max_downtime_ms=100)
    rig.wait_for_pass(guest)
    rig.source.set_bandwidth(guest, 2)
    rig.source.set_max_downtime(guest, 120)
    rig.abort(guest)
    rig.wait_for_end(guest)
    assert rig.limits(guest) != (1, 100)
    second = rig.second_source_driver()
    try:
        for _ in range(2):
            second.restore_limits(
                guest,
                driver.TransferOptions(bandwidth_mib_s=1, max_downtime_ms=100),
            )
            assert rig.limits(guest) == (1, 100)
        with pytest.raises(exception.GuestNotFound):
            second.restore_limits(NOBODY, ANY)
    finally:
        second.close()
    rig.assert_rolled_back(plan)


def test_a_huge_downtime_is_clamped(rig: Rig) -> None:
    """The hypervisor's own bound is 2,000,000 ms."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    rig.source.set_max_downtime(guest, 2**40)
    rig.wait_for_end(guest)
    rig.assert_moved(plan)


# -- post-copy ----------------------------------------------------------------
def test_post_copy_moves_the_guest_first(rig: Rig) -> None:
    """It runs there, paused here, until its memory has followed; asking
    twice is no error, aborting it is refused."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest, post_copy=True)
    rig.wait_for_pass(guest)
    # It shall stay so for long enough to be looked at, however busy the
    # machine is.
    rig.source.set_bandwidth(guest, 1, post_copy=True)
    start_post_copy(rig, guest)
    rig.source.start_post_copy(guest)
    rig.wait_until(lambda: rig.running_at(guest) == ['destination'], 15.0)
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
    wait_switched(rig, guest)
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
    with pytest.raises(exception.HypervisorError):
        rig.source.finish_source(plan)
    state = rig.source.guest_state(guest)
    assert state and state.power is job.Power.PAUSED
    rig.drop_broken(plan)
