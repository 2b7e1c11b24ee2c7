"""What the libvirt driver promises and no simulated host can show: what is
on a disk, and a process that does not answer."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable

import pytest

from livemig import exception
from livemig.virt import driver, job
from livemig.virt.libvirt import connection
from tests.contract.libvirt_rig import LibvirtRig
from tests.contract.rig import MIB

pytestmark = pytest.mark.libvirt


def answer(ask: Callable[[], bool]) -> bool:
    """What is answered; False if nothing is."""
    try:
        return ask()
    except exception.HypervisorUnavailable:
        return False


def test_a_guest_that_hangs_holds_up_nobody_else(
    real_rig: LibvirtRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt waits for its QEMU for ever; the driver says so after a
    while, moves other guests meanwhile, and takes it up again after."""
    rig = real_rig
    monkeypatch.setattr(connection, 'READ_S', 10.0)
    frozen, other = rig.spawn('busy'), rig.spawn('light')
    plan = rig.begin(frozen, bandwidth_mib_s=2)
    rig.wait_for_pass(frozen)
    go_on = rig.freeze(frozen)
    try:
        for _ in range(2):
            with pytest.raises(exception.HypervisorUnavailable):
                rig.job(frozen)
        known = rig.source.guests()
        assert known[frozen].job
        assert known[other] == job.GuestState(job.Power.RUNNING)
        moving = rig.begin(other, bandwidth_mib_s=0)
        rig.wait_for_end(other)
        rig.destination.finish_destination(other, moving.migration_id)
        rig.source.finish_source(moving)
    finally:
        go_on()

    rig.wait_until(
        lambda: answer(lambda: rig.job(frozen).state is job.JobState.ACTIVE)
    )
    rig.abort(frozen)
    rig.wait_for_end(frozen)
    rig.assert_rolled_back(plan)


def test_a_daemon_that_hangs_is_given_up_and_found_again(
    real_rig: LibvirtRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the signs of life that its connection has to give; the other
    host's is not held up, and no guest minds."""
    rig = real_rig
    monkeypatch.setattr(connection, 'KEEPALIVE_S', 1)
    monkeypatch.setattr(connection, 'OPEN_S', 3.0)
    guest = rig.spawn('light')
    go_on = rig.freeze_daemon('source')
    try:
        for _ in range(2):
            with pytest.raises(exception.HypervisorUnavailable):
                rig.source.guest_state(guest)
        assert guest not in rig.destination.guests()
    finally:
        go_on()
    rig.wait_until(lambda: answer(lambda: bool(rig.source.guests())))
    assert rig.running_at(guest) == ['source']
    rig.assert_intact(guest)


def test_a_destination_that_stands_still_is_told_from_one_that_answers(
    real_rig: LibvirtRig,
) -> None:
    rig = real_rig
    facts = rig.destination.host_facts()
    assert rig.source.alive(facts) == ''
    go_on = rig.freeze_daemon('destination')
    try:
        # The system takes connections for a daemon that stands still.
        assert rig.source.reachable(facts) == ''
        assert 'stands still' in rig.source.alive(facts)
    finally:
        go_on()
    assert rig.source.alive(facts) == ''


def test_disks_of_each_kind_come_complete(real_rig: LibvirtRig) -> None:
    """One over an image, of which only the layer above is copied; one that
    is a copy of it; and an empty one, all of one guest."""
    rig = real_rig
    data = random.Random(1).randbytes(4 * MIB)  # noqa: S311 - not secret
    image = rig.image('base.raw', data)
    rig.disks = (
        driver.DiskSpec('vda', 'qcow2', 8 * MIB, str(image)),
        driver.DiskSpec('vdb', 'raw', 6 * MIB, str(image)),
        driver.DiskSpec('vdc', 'qcow2', 4 * MIB),
    )
    guest = rig.spawn()
    before = rig.source.disks(guest)
    assert before[0].backing_fingerprint != ''
    plan = rig.begin(guest, block=True, bandwidth_mib_s=0)
    rig.wait_for_end(guest)
    rig.assert_moved(plan)
    after = rig.destination.disks(guest)
    assert [(d.device, d.format, d.virtual_size_bytes) for d in after] == [
        (d.device, d.format, d.virtual_size_bytes) for d in before
    ]
    assert [d.backing_file for d in after] == [str(image), '', '']
    # Over its image it holds nothing of its own.
    assert after[0].allocated_bytes < MIB
    raw = rig.disk(guest, 'destination', 'vdb.raw').read_bytes()
    assert raw == data + bytes(2 * MIB)
    over = rig.disk(guest, 'destination', 'vda.qcow2')
    words = ['compare', '-q', '-U', '-f', 'qcow2', '-F', 'raw']
    subprocess.run(['qemu-img', *words, over, image], check=True)
