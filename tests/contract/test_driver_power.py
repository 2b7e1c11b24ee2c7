"""What every driver promises of a guest's power: off, saved, rescued, anew.

See ``test_driver`` for how it is run.
"""

from __future__ import annotations

import dataclasses

import pytest

from livemig import exception
from livemig.virt import driver, job
from tests.contract.rig import MIB, NOBODY, SLOW, Rig

RUNNING, SHUTOFF = job.Power.RUNNING, job.Power.SHUTOFF
RESCUE = 'ws=16 rate=0 print=100'


def power(one: driver.Driver, guest: str) -> job.Power | None:
    state = one.guest_state(guest)
    return state.power if state else None


def boots(rig: Rig, guest: str, number: int) -> None:
    """It has been started so often, and no oftener."""
    rig.wait_until(lambda: rig.boots(guest) >= number, 30.0)
    assert rig.boots(guest) == number


def devices(one: driver.Driver, guest: str) -> dict[str, str]:
    """Device -> name of its file."""
    return {
        disk.device: disk.path.rsplit('/', 1)[1].split('.')[0]
        for disk in one.disks(guest)
    }


# -- off and on ---------------------------------------------------------------
@pytest.mark.parametrize('timeout_s', [60, 0])
def test_off_and_on_again(rig: Rig, timeout_s: int) -> None:
    """It stays known and keeps its disks; both may be repeated."""
    guest = rig.spawn(disk_mib=8)
    for _ in range(2):
        rig.source.power_off(guest, timeout_s)
        assert rig.source.guest_state(guest) == job.GuestState(
            SHUTOFF, job.Reason.SHUTDOWN
        )
    assert rig.files(guest, 'source') == ['vda']
    rig.source.hard_reboot(rig.specs[guest])
    assert rig.running_at(guest) == ['source']
    boots(rig, guest, 2)


def test_a_paused_guest_is_cut_off(rig: Rig) -> None:
    """It cannot hear its power button: nobody waits."""
    guest = rig.spawn()
    rig.source.pause(guest)
    rig.source.power_off(guest, 3600)
    assert power(rig.source, guest) is SHUTOFF


def test_a_hard_reboot_is_one_from_any_state(rig: Rig) -> None:
    guest = rig.spawn(disk_mib=8)
    rig.source.hard_reboot(rig.specs[guest])
    boots(rig, guest, 2)
    rig.source.pause(guest)
    rig.source.hard_reboot(rig.specs[guest])
    assert rig.running_at(guest) == ['source']
    boots(rig, guest, 3)
    rig.source.suspend(guest)
    rig.source.hard_reboot(rig.specs[guest])
    assert rig.running_at(guest) == ['source']
    boots(rig, guest, 4)


def test_a_hard_reboot_goes_by_what_it_is_told(rig: Rig) -> None:
    """Not by what the hypervisor had kept of the guest."""
    guest = rig.spawn()
    spec = dataclasses.replace(
        rig.specs[guest], cmdline='ws=16 rate=0 print=100 off=1'
    )
    rig.source.hard_reboot(spec)
    rig.wait_until(lambda: power(rig.source, guest) is SHUTOFF, 30.0)


def test_a_soft_reboot(rig: Rig) -> None:
    guest = rig.spawn()
    rig.source.soft_reboot(rig.specs[guest], 60)
    assert rig.running_at(guest) == ['source']
    boots(rig, guest, 2)


def test_a_missing_disk_is_not_replaced_by_an_empty_one(rig: Rig) -> None:
    """And the guest that runs is not ended for it."""
    guest = rig.spawn(disk_mib=8)
    spec = dataclasses.replace(
        rig.specs[guest],
        disks=(
            *rig.specs[guest].disks,
            driver.DiskSpec('vdb', 'qcow2', 8 * MIB),
        ),
    )
    with pytest.raises(exception.HypervisorError):
        rig.source.hard_reboot(spec)
    assert rig.running_at(guest) == ['source']
    assert rig.files(guest, 'source') == ['vda']
    rig.assert_intact(guest)


# -- saved --------------------------------------------------------------------
def test_a_suspended_guest_goes_on_where_it_was(rig: Rig) -> None:
    """Also under another manager; all of it may be repeated."""
    guest = rig.spawn('light')
    for _ in range(2):
        rig.source.suspend(guest)
        state = job.GuestState(SHUTOFF, job.Reason.SAVED)
        assert rig.source.guest_state(guest) == state
    other = rig.second_source_driver()
    assert other.guest_state(guest) == state
    for _ in range(2):
        other.wake(guest)
        assert rig.running_at(guest) == ['source']
    rig.assert_intact(guest)


def test_what_is_off_can_neither_be_suspended_nor_woken(rig: Rig) -> None:
    guest = rig.spawn()
    rig.source.power_off(guest, 0)
    for ask in (rig.source.suspend, rig.source.wake):
        with pytest.raises(exception.HypervisorError):
            ask(guest)
    assert power(rig.source, guest) is SHUTOFF


@pytest.mark.parametrize('ask', ['suspend', 'wake'])
def test_nobody_is_unknown(rig: Rig, ask: str) -> None:
    with pytest.raises(exception.GuestNotFound):
        getattr(rig.source, ask)(NOBODY)
    with pytest.raises(exception.GuestNotFound):
        rig.source.power_off(NOBODY, 0)


# -- rescued ------------------------------------------------------------------
def test_a_rescue_and_back(rig: Rig) -> None:
    """The rescue disk comes first and its own behind; unrescue is a hard
    reboot, after which nothing is left of it."""
    guest = rig.spawn(disk_mib=8)
    rig.source.rescue(rig.specs[guest], rig.rescue_spec(RESCUE, 4))
    assert rig.running_at(guest) == ['source']
    assert devices(rig.source, guest) == {'vda': 'rescue', 'vdb': 'vda'}
    assert rig.files(guest, 'source') == ['rescue', 'vda']
    boots(rig, guest, 2)
    for number in (3, 4):
        rig.source.hard_reboot(rig.specs[guest])
        assert devices(rig.source, guest) == {'vda': 'vda'}
        assert rig.files(guest, 'source') == ['vda']
        boots(rig, guest, number)


def test_a_rescue_without_a_disk(rig: Rig) -> None:
    """Only another kernel: its disks keep their names."""
    guest = rig.spawn(disk_mib=8)
    rig.source.rescue(rig.specs[guest], rig.rescue_spec(RESCUE, 0))
    assert devices(rig.source, guest) == {'vda': 'vda'}
    assert rig.files(guest, 'source') == ['vda']
    boots(rig, guest, 2)


def test_a_rescue_may_be_repeated(rig: Rig) -> None:
    guest = rig.spawn(disk_mib=8)
    for number in (2, 3):
        rig.source.rescue(rig.specs[guest], rig.rescue_spec(RESCUE, 4))
        boots(rig, guest, number)
    assert devices(rig.source, guest) == {'vda': 'rescue', 'vdb': 'vda'}


def test_a_guest_that_is_off_or_unknown_is_rescued(rig: Rig) -> None:
    guest = rig.spawn(disk_mib=8)
    rig.source.power_off(guest, 0)
    rig.source.rescue(rig.specs[guest], rig.rescue_spec(RESCUE, 4))
    assert rig.running_at(guest) == ['source']


def test_a_rescued_guest_moves_and_is_unrescued_there(rig: Rig) -> None:
    """All its disks come along, the rescue disk too; the way back needs
    nothing but the spec."""
    guest = rig.spawn(disk_mib=8)
    rig.source.rescue(rig.specs[guest], rig.rescue_spec(RESCUE, 4))
    boots(rig, guest, 2)
    plan = rig.begin(guest, block=True, bandwidth_mib_s=0)
    assert {disk.device for disk in plan.disks} == {'vda', 'vdb'}
    rig.wait_for_end(guest)
    rig.destination.finish_destination(guest, plan.migration_id)
    rig.source.finish_source(plan)
    assert rig.running_at(guest) == ['destination']
    assert rig.files(guest, 'source') == []
    assert rig.files(guest, 'destination') == ['rescue', 'vda']
    assert devices(rig.destination, guest) == {'vda': 'rescue', 'vdb': 'vda'}
    boots(rig, guest, 2)
    rig.destination.hard_reboot(rig.specs[guest])
    assert rig.running_at(guest) == ['destination']
    assert devices(rig.destination, guest) == {'vda': 'vda'}
    assert rig.files(guest, 'destination') == ['vda']
    boots(rig, guest, 3)
    assert rig.leftovers() == []


def test_the_migration_of_a_rescued_guest_is_aborted(rig: Rig) -> None:
    guest = rig.spawn(disk_mib=8)
    rescue = rig.rescue_spec('ws=40 rate=10000 print=100', 4)
    rig.source.rescue(rig.specs[guest], rescue)
    boots(rig, guest, 2)
    plan = rig.begin(guest, block=True, bandwidth_mib_s=SLOW)
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.destination.undo_destination(guest, plan.migration_id)
    assert rig.running_at(guest) == ['source']
    assert devices(rig.source, guest) == {'vda': 'rescue', 'vdb': 'vda'}
    assert rig.files(guest, 'destination') == []
    assert rig.leftovers() == []
    boots(rig, guest, 2)


# -- not while it is on its way -----------------------------------------------
def test_a_guest_on_its_way_is_left_alone(rig: Rig) -> None:
    """Neither end of its migration ends, saves or builds it anew."""
    guest = rig.spawn('busy')
    plan = rig.begin(guest)
    rig.wait_for_pass(guest)
    spec = rig.specs[guest]
    for one in (rig.source, rig.destination):
        for ask in (
            lambda d: d.power_off(guest, 0),
            lambda d: d.suspend(guest),
            lambda d: d.hard_reboot(spec),
            lambda d: d.rescue(spec, rig.rescue_spec(RESCUE, 0)),
        ):
            with pytest.raises(exception.HypervisorError):
                ask(one)
    assert rig.running_at(guest) == ['source']
    rig.abort(guest)
    rig.wait_for_end(guest)
    rig.assert_rolled_back(plan)
