"""What every driver promises of guests, checks and migrations that end well.

Run with the simulated hypervisor always, with libvirt where
``LIVEMIG_TEST_LIBVIRT=1`` (see ``rig.kinds``). The promises are the
docstrings of ``livemig.virt.driver``; each case says which one it shows.
"""

from __future__ import annotations

import dataclasses
import json

import pytest

from livemig import exception
from livemig.virt import driver, job
from tests.contract.rig import MEMORY_MIB, MIB, NOBODY, SLOW, Rig


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
        lambda: rig.source.pause(guest, forced=True),
    ):
        with pytest.raises(exception.NoActiveJob):
            ask()
    assert rig.running_at(guest) == ['source']
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


def test_what_could_not_be_finished_bars_the_way_back_for_nobody(
    rig: Rig,
) -> None:
    """It arrived, but its destination could not say so; when it has left
    that host again, nothing there is about it any more."""
    guest = rig.spawn('idle', disk_mib=1)
    plan = rig.begin(guest, block=True)
    rig.wait_for_end(guest)
    rig.source.finish_source(plan)
    assert rig.destination.prepared()
    rig.source, rig.destination = rig.destination, rig.source
    plan = rig.begin(guest, block=True)
    rig.wait_for_end(guest)
    rig.assert_moved(plan)
    assert rig.source.prepared() == []
    rig.source, rig.destination = rig.destination, rig.source
    plan = rig.begin(guest, block=True)
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)


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
