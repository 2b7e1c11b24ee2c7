"""What the libvirt driver promises of a guest that does not answer.

Only a real process can be stopped like that, so there is no simulated
variant.
"""

from __future__ import annotations

import pytest

from livemig import exception
from livemig.virt import job
from livemig.virt.libvirt import connection
from tests.contract.libvirt_rig import LibvirtRig

pytestmark = pytest.mark.libvirt


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

    def answers() -> bool:
        try:
            return rig.job(frozen).state is job.JobState.ACTIVE
        except exception.HypervisorUnavailable:
            return False

    rig.wait_until(answers)
    rig.abort(frozen)
    rig.wait_for_end(frozen)
    rig.assert_rolled_back(plan)
