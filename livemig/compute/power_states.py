"""What a hypervisor says of a guest -> the record's power state. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from livemig.objects.instance_states import PowerState
from livemig.virt.job import GuestState, Power

_OF: Mapping[Power, PowerState] = {
    Power.RUNNING: PowerState.RUNNING,
    Power.PAUSED: PowerState.PAUSED,
    Power.SHUTOFF: PowerState.SHUTDOWN,
    Power.CRASHED: PowerState.CRASHED,
}


def of(state: GuestState | None) -> PowerState:
    """None: not known to the hypervisor."""
    return PowerState.NOSTATE if state is None else _OF[state.power]
