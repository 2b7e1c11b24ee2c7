"""What may be asked when; written from Nova's documented behaviour."""

from __future__ import annotations

import itertools

import pytest

from livemig.objects import action, orders

VM_STATES = [
    'active',
    'building',
    'paused',
    'suspended',
    'stopped',
    'rescued',
    'error',
    'deleted',
]
TASK_STATES = [
    None,
    *[
        'scheduling',
        'spawning',
        'migrating',
        'pausing',
        'unpausing',
        'suspending',
        'resuming',
        'powering-off',
        'powering-on',
        'rebooting',
        'rebooting_hard',
        'rescuing',
        'unrescuing',
        'deleting',
    ],
]

#: order -> (name, vm_states, task_state, interrupted task states)
EXPECTED = {
    'PAUSE': ('pause', 'active', 'pausing', ''),
    'UNPAUSE': ('unpause', 'paused', 'unpausing', ''),
    'SUSPEND': ('suspend', 'active', 'suspending', ''),
    'RESUME': ('resume', 'suspended', 'resuming', ''),
    'START': ('start', 'stopped', 'powering-on', ''),
    'STOP': ('stop', 'active error', 'powering-off', ''),
    'RESCUE': ('rescue', 'active stopped error', 'rescuing', ''),
    'UNRESCUE': ('unrescue', 'rescued', 'unrescuing', ''),
    'SOFT_REBOOT': ('reboot', 'active', 'rebooting', ''),
    'HARD_REBOOT': (
        'reboot',
        'active stopped paused suspended error',
        'rebooting_hard',
        'rebooting rebooting_hard pausing unpausing suspending resuming',
    ),
}
CASES = [
    (name, vm_state, task_state)
    for name in EXPECTED
    for vm_state, task_state in itertools.product(VM_STATES, TASK_STATES)
]


@pytest.mark.parametrize('name', EXPECTED)
def test_what_is_written(name: str) -> None:
    order = getattr(orders, name)
    said, _, task_state, _ = EXPECTED[name]
    assert (order.action, order.task_state) == (said, task_state)


@pytest.mark.parametrize(('name', 'vm_state', 'task_state'), CASES)
def test_obstacles(name, vm_state, task_state) -> None:
    _, vm_states, _, interrupted = EXPECTED[name]
    found = getattr(orders, name).obstacle(vm_state, task_state)
    if vm_state not in vm_states.split():
        assert found == ('vm_state', vm_state)
    elif task_state is not None and task_state not in interrupted.split():
        assert found == ('task_state', task_state)
    else:
        assert found is None


def test_the_names_are_those_of_the_actions() -> None:
    assert {EXPECTED[name][0] for name in EXPECTED} == {
        action.PAUSE,
        action.UNPAUSE,
        action.SUSPEND,
        action.RESUME,
        action.START,
        action.STOP,
        action.RESCUE,
        action.UNRESCUE,
        action.REBOOT,
    }


def test_nothing_interrupts_a_migration() -> None:
    for name in EXPECTED:
        assert 'migrating' not in getattr(orders, name).interrupts


def test_whose_metadata_may_change() -> None:
    assert {*orders.METADATA_STATES} == {
        'active',
        'paused',
        'suspended',
        'stopped',
    }
