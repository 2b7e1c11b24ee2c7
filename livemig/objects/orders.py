"""What may be asked of an instance in which state, and its task then. Pure.

The API asks this table before it writes, and writes only if the instance
still is as it was asked about (compare-and-swap).
"""

from __future__ import annotations

import dataclasses

from livemig.objects.instance_states import TaskState, VmState


@dataclasses.dataclass(frozen=True)
class Order:
    """Something that is asked of an instance, and done by its host.

    :ivar action: the name of the instance action; with ``_instance``, that
        of the message to the host.
    :ivar vm_states: in which lasting states it may be asked.
    :ivar task_state: what is under way from then on.
    :ivar interrupts: the tasks whose place it may take; an instance with
        no task may always be asked.
    """

    action: str
    vm_states: frozenset[VmState]
    task_state: TaskState
    interrupts: frozenset[TaskState] = frozenset()

    def obstacle(
        self, vm_state: str, task_state: str | None
    ) -> tuple[str, str] | None:
        """What stands in its way: the attribute and its value, or None."""
        if vm_state not in self.vm_states:
            return 'vm_state', vm_state
        if task_state is not None and task_state not in self.interrupts:
            return 'task_state', task_state
        return None


def _order(name: str, task_state: TaskState, *vm_states: VmState) -> Order:
    return Order(name, frozenset(vm_states), task_state)


_VM = VmState
_TASK = TaskState

# Nova's table. A migration is a task that nothing here interrupts.
PAUSE = _order('pause', _TASK.PAUSING, _VM.ACTIVE)
UNPAUSE = _order('unpause', _TASK.UNPAUSING, _VM.PAUSED)
SUSPEND = _order('suspend', _TASK.SUSPENDING, _VM.ACTIVE)
RESUME = _order('resume', _TASK.RESUMING, _VM.SUSPENDED)
START = _order('start', _TASK.POWERING_ON, _VM.STOPPED)
STOP = _order('stop', _TASK.POWERING_OFF, _VM.ACTIVE, _VM.ERROR)
RESCUE = _order('rescue', _TASK.RESCUING, _VM.ACTIVE, _VM.STOPPED, _VM.ERROR)
UNRESCUE = _order('unrescue', _TASK.UNRESCUING, _VM.RESCUED)
SOFT_REBOOT = _order('reboot', _TASK.REBOOTING, _VM.ACTIVE)
#: The way out when something else got stuck.
HARD_REBOOT = Order(
    'reboot',
    frozenset({_VM.ACTIVE, _VM.STOPPED, _VM.PAUSED, _VM.SUSPENDED, _VM.ERROR}),
    _TASK.REBOOTING_HARD,
    interrupts=frozenset(
        {
            _TASK.REBOOTING,
            _TASK.REBOOTING_HARD,
            _TASK.PAUSING,
            _TASK.UNPAUSING,
            _TASK.SUSPENDING,
            _TASK.RESUMING,
        }
    ),
)

#: In which states the metadata of an instance may be changed.
METADATA_STATES = frozenset(
    {_VM.ACTIVE, _VM.PAUSED, _VM.SUSPENDED, _VM.STOPPED}
)
