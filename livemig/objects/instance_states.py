"""States of an instance, and what may be asked in which of them. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any


class VmState(enum.StrEnum):
    """The lasting state, Nova's words."""

    ACTIVE = 'active'
    BUILDING = 'building'
    PAUSED = 'paused'
    SUSPENDED = 'suspended'
    STOPPED = 'stopped'
    RESCUED = 'rescued'
    ERROR = 'error'
    DELETED = 'deleted'


class TaskState(enum.StrEnum):
    """The operation under way, Nova's words; none is None."""

    SCHEDULING = 'scheduling'
    SPAWNING = 'spawning'
    MIGRATING = 'migrating'
    PAUSING = 'pausing'
    UNPAUSING = 'unpausing'
    SUSPENDING = 'suspending'
    RESUMING = 'resuming'
    POWERING_OFF = 'powering-off'
    POWERING_ON = 'powering-on'
    REBOOTING = 'rebooting'
    REBOOTING_HARD = 'rebooting_hard'
    RESCUING = 'rescuing'
    UNRESCUING = 'unrescuing'
    DELETING = 'deleting'


class PowerState(enum.IntEnum):
    """What the hypervisor says, Nova's numbers."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7


#: Who may be migrated live.
MIGRATABLE = frozenset({VmState.ACTIVE, VmState.PAUSED})

#: The same from microversion 2.200 on.
MIGRATABLE_FROM_2_200 = MIGRATABLE | {VmState.RESCUED}

#: Whose migration may be forced to complete.
FORCEABLE = frozenset({VmState.ACTIVE, VmState.PAUSED, VmState.RESCUED})


def after_shut_down(vm_state: str) -> VmState:
    """What an instance is once its guest has shut itself down: a rescued
    one stays rescued, for its way back is unrescue, not start."""
    if vm_state == VmState.RESCUED:
        return VmState.RESCUED
    return VmState.STOPPED


def shut_down_values(vm_state: str) -> dict[str, Any]:
    """What a record says of a guest in ``vm_state`` that has shut down."""
    return {
        'vm_state': str(after_shut_down(vm_state)),
        'power_state': int(PowerState.SHUTDOWN),
    }


#: vm_state -> status on the wire; a pair (vm_state, task_state) wins.
_STATUS: Mapping[str, str] = {
    VmState.ACTIVE: 'ACTIVE',
    VmState.BUILDING: 'BUILD',
    VmState.PAUSED: 'PAUSED',
    VmState.SUSPENDED: 'SUSPENDED',
    VmState.STOPPED: 'SHUTOFF',
    VmState.RESCUED: 'RESCUE',
    VmState.ERROR: 'ERROR',
    VmState.DELETED: 'DELETED',
}
_STATUS_WITH_TASK: Mapping[tuple[str, str], str] = {
    (VmState.ACTIVE, TaskState.REBOOTING): 'REBOOT',
    (VmState.ACTIVE, TaskState.REBOOTING_HARD): 'HARD_REBOOT',
    (VmState.ACTIVE, TaskState.MIGRATING): 'MIGRATING',
    (VmState.PAUSED, TaskState.MIGRATING): 'MIGRATING',
    # livemig's own: Nova never migrates a rescued server.
    (VmState.RESCUED, TaskState.MIGRATING): 'MIGRATING',
}


def status_of(vm_state: str, task_state: str | None) -> str:
    """The server's ``status`` on the wire."""
    if task_state is not None:
        with_task = _STATUS_WITH_TASK.get((vm_state, task_state))
        if with_task:
            return str(with_task)
    return _STATUS.get(vm_state, 'UNKNOWN')


def states_of(status: str) -> list[tuple[str, str | None]]:
    """The (vm_state, task_state) pairs that show as ``status``.

    A task_state of None stands for any. Unknown words give an empty list.
    """
    wanted = status.upper()
    found: list[tuple[str, str | None]] = [
        (str(vm), None) for vm, word in _STATUS.items() if word == wanted
    ]
    found += [
        (str(vm), str(task))
        for (vm, task), word in _STATUS_WITH_TASK.items()
        if word == wanted
    ]
    return found
