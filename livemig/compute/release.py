"""Undoes what livemig did to a guest at its source: pause and limits."""

from __future__ import annotations

from collections.abc import Callable

from oslo_log import log

from livemig import exception
from livemig.compute.convergence import Seen
from livemig.compute.patience import Patience
from livemig.virt import driver as virt
from livemig.virt import job as jobs

LOG = log.getLogger(__name__)

#: Looks, a while apart, until the job of an aborted migration is gone.
LOOKS = 20
LOOK_S = 0.5


def release(
    driver: virt.Driver,
    guest_id: str,
    patience: Patience,
    seen: Seen,
    first: virt.TransferOptions,
    *,
    lifted: bool,
) -> jobs.GuestState | None:
    """Let the guest run at the source as it did before.

    libvirt lets a guest go on by itself when its migration is cancelled;
    resume is called only where it did not, and never while a job is
    active (it would block) or for a guest that its user had paused.

    :param first: the limits before they were lifted.
    :param lifted: they were.
    :raises Stopped:
    """
    state = _when_its_job_is_gone(driver, guest_id, patience, seen)
    if state is not None and not state.job and _held(state, seen):
        _quietly(lambda: driver.resume(guest_id))
        state = driver.guest_state(guest_id)
    if state is not None and lifted:
        # They outlive the job in that QEMU (libvirt 9.0).
        _quietly(lambda: driver.restore_limits(guest_id, first))
    return state


def _when_its_job_is_gone(
    driver: virt.Driver, guest_id: str, patience: Patience, seen: Seen
) -> jobs.GuestState | None:
    """The state then; a guest that runs is waited for a few seconds only,
    one that stands still as long as nobody could let it go on."""
    looks = 0
    while (state := driver.guest_state(guest_id)) is not None and state.job:
        if looks >= LOOKS and not _held(state, seen):
            break
        looks += 1
        if looks == LOOKS:
            LOG.warning(
                'The job of guest %s does not end although its migration '
                'was aborted; if the guest stands still, it is let go on '
                'as soon as the job is gone.',
                guest_id,
            )
        patience.wait(LOOK_S)
    return state


def _quietly(call: Callable[[], object]) -> None:
    """What a guest does not take keeps its migration from nothing: it has
    just ended, sleeps, or has a reason of its own to stand still."""
    try:
        call()
    except exception.HypervisorUnavailable:
        raise
    except exception.HypervisorError as exc:
        LOG.warning('%s', exc.message)


def _held(state: jobs.GuestState, seen: Seen) -> bool:
    """It stands still, and not because its user or it itself wants to."""
    return (
        state.power is jobs.Power.PAUSED
        and state.reason not in (jobs.Reason.USER, jobs.Reason.ASLEEP)
        and not seen.user_paused
    )
