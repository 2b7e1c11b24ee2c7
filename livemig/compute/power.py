"""What is done to an instance besides making, moving and deleting it.

One table: what the instance's task_state asks for, what the driver does
about it, and what the record says then. ``powering`` works by it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from livemig import exception
from livemig.objects import action as actions
from livemig.objects.instance_states import PowerState, TaskState, VmState
from livemig.virt import driver as virt
from livemig.virt import job as jobs


@dataclasses.dataclass(frozen=True)
class Work:
    """All of it that comes from the record and the options."""

    spec: virt.GuestSpec
    rescue: virt.RescueSpec | None
    shutdown_timeout_s: float

    @property
    def guest_id(self) -> str:
        return self.spec.guest_id


@dataclasses.dataclass(frozen=True)
class Operation:
    """A row of the table.

    :ivar message: its name on the bus.
    :ivar task_state: stands on the record from the request to the end.
    :ivar call: may be repeated after a crash half way.
    :ivar failed: the vm_state if it fails and the guest does not run; None
        leaves it as it was.
    :ivar launches: launched_at is set anew.
    :ivar displaces: it may have taken the place of one that got stuck.
    """

    message: str
    task_state: TaskState
    action: str
    notification: str
    call: Callable[[virt.Driver, Work], None]
    vm_state: VmState
    power_state: PowerState
    failed: VmState | None = None
    launches: bool = False
    displaces: bool = False

    @property
    def event(self) -> str:
        return f'compute_{self.message}'


def _start(driver: virt.Driver, work: Work) -> None:
    """Repeating must not reboot it."""
    state = driver.guest_state(work.guest_id)
    if state is None or state.power is not jobs.Power.RUNNING:
        driver.hard_reboot(work.spec)


def _stop(driver: virt.Driver, work: Work) -> None:
    if driver.guest_state(work.guest_id) is not None:
        driver.power_off(work.guest_id, work.shutdown_timeout_s)


def _rescue(driver: virt.Driver, work: Work) -> None:
    if work.rescue is None:
        raise exception.LivemigError(
            f'Instance {work.guest_id} cannot be rescued: its record names '
            'no image for it.'
        )
    _stop(driver, work)
    driver.rescue(work.spec, work.rescue)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        'pause_instance',
        TaskState.PAUSING,
        actions.PAUSE,
        'pause',
        lambda driver, work: driver.pause(work.guest_id),
        VmState.PAUSED,
        PowerState.PAUSED,
    ),
    Operation(
        'unpause_instance',
        TaskState.UNPAUSING,
        actions.UNPAUSE,
        'unpause',
        lambda driver, work: driver.resume(work.guest_id),
        VmState.ACTIVE,
        PowerState.RUNNING,
    ),
    Operation(
        'suspend_instance',
        TaskState.SUSPENDING,
        actions.SUSPEND,
        'suspend',
        lambda driver, work: driver.suspend(work.guest_id),
        VmState.SUSPENDED,
        PowerState.SHUTDOWN,
        failed=VmState.ERROR,
    ),
    Operation(
        'resume_instance',
        TaskState.RESUMING,
        actions.RESUME,
        'resume',
        lambda driver, work: driver.wake(work.guest_id),
        VmState.ACTIVE,
        PowerState.RUNNING,
        failed=VmState.ERROR,
    ),
    Operation(
        'start_instance',
        TaskState.POWERING_ON,
        actions.START,
        'power_on',
        _start,
        VmState.ACTIVE,
        PowerState.RUNNING,
    ),
    Operation(
        'stop_instance',
        TaskState.POWERING_OFF,
        actions.STOP,
        'power_off',
        _stop,
        VmState.STOPPED,
        PowerState.SHUTDOWN,
    ),
    Operation(
        'reboot_instance',
        TaskState.REBOOTING,
        actions.REBOOT,
        'reboot',
        lambda driver, work: driver.soft_reboot(
            work.spec, work.shutdown_timeout_s
        ),
        VmState.ACTIVE,
        PowerState.RUNNING,
        failed=VmState.ERROR,
    ),
    Operation(
        'reboot_instance',
        TaskState.REBOOTING_HARD,
        actions.REBOOT,
        'reboot',
        lambda driver, work: driver.hard_reboot(work.spec),
        VmState.ACTIVE,
        PowerState.RUNNING,
        failed=VmState.ERROR,
        displaces=True,
    ),
    Operation(
        'rescue_instance',
        TaskState.RESCUING,
        actions.RESCUE,
        'rescue',
        _rescue,
        VmState.RESCUED,
        PowerState.RUNNING,
        failed=VmState.ERROR,
        launches=True,
    ),
    Operation(
        'unrescue_instance',
        TaskState.UNRESCUING,
        actions.UNRESCUE,
        'unrescue',
        lambda driver, work: driver.hard_reboot(work.spec),
        VmState.ACTIVE,
        PowerState.RUNNING,
        failed=VmState.ERROR,
    ),
)

MESSAGES = tuple(dict.fromkeys(row.message for row in OPERATIONS))
_BY_TASK_STATE = {str(row.task_state): row for row in OPERATIONS}


def of(task_state: str | None) -> Operation | None:
    """What an instance with that task asks for; None: nothing of this."""
    return _BY_TASK_STATE.get(task_state or '')


#: All of their events.
EVENTS = frozenset(row.event for row in OPERATIONS)

#: The tasks that this table is about.
TASK_STATES = tuple(sorted(_BY_TASK_STATE))
