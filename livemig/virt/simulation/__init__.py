"""A hypervisor simulated on a clock the caller owns; see ``world``."""

from livemig.virt.simulation.course import Job
from livemig.virt.simulation.guests import GuestsDriver
from livemig.virt.simulation.host import Fault, Host
from livemig.virt.simulation.terms import GIB, MIB, PAGE_BYTES, Load, Pace
from livemig.virt.simulation.transfer import Transfer
from livemig.virt.simulation.world import (
    Violation,
    World,
    forget_world,
    world,
)

__all__ = [
    'GIB',
    'MIB',
    'PAGE_BYTES',
    'Fault',
    'GuestsDriver',
    'Host',
    'Job',
    'Load',
    'Pace',
    'Transfer',
    'Violation',
    'World',
    'forget_world',
    'world',
]
