"""Status of a server from its states: Nova's table, written out again."""

import pytest

from livemig.objects import instance_states as states

#: (vm_state, task_state) -> status; "Server status mapping" of Nova.
STATUS = {
    ('active', None): 'ACTIVE',
    ('active', 'migrating'): 'MIGRATING',
    ('active', 'pausing'): 'ACTIVE',
    ('active', 'rebooting'): 'REBOOT',
    ('active', 'rebooting_hard'): 'HARD_REBOOT',
    ('active', 'suspending'): 'ACTIVE',
    ('active', 'powering-off'): 'ACTIVE',
    ('active', 'rescuing'): 'ACTIVE',
    ('stopped', 'powering-on'): 'SHUTOFF',
    ('stopped', 'rebooting_hard'): 'SHUTOFF',
    ('suspended', 'resuming'): 'SUSPENDED',
    ('paused', 'rebooting_hard'): 'PAUSED',
    ('rescued', 'unrescuing'): 'RESCUE',
    ('error', 'rebooting_hard'): 'ERROR',
    ('active', 'deleting'): 'ACTIVE',
    ('building', None): 'BUILD',
    ('building', 'scheduling'): 'BUILD',
    ('building', 'spawning'): 'BUILD',
    ('building', 'deleting'): 'BUILD',
    ('paused', None): 'PAUSED',
    ('paused', 'migrating'): 'MIGRATING',
    ('paused', 'unpausing'): 'PAUSED',
    ('suspended', None): 'SUSPENDED',
    ('suspended', 'migrating'): 'SUSPENDED',
    ('stopped', None): 'SHUTOFF',
    ('stopped', 'migrating'): 'SHUTOFF',
    ('rescued', None): 'RESCUE',
    # livemig's own, from the specification live-migrate-rescued-instances.
    ('rescued', 'migrating'): 'MIGRATING',
    ('error', None): 'ERROR',
    ('error', 'migrating'): 'ERROR',
    ('deleted', None): 'DELETED',
    ('deleted', 'migrating'): 'DELETED',
    ('something', None): 'UNKNOWN',
    ('something', 'migrating'): 'UNKNOWN',
}


@pytest.mark.parametrize(('states_', 'status'), STATUS.items())
def test_status(states_, status):
    found = states.status_of(*states_)
    assert found == status
    assert type(found) is str


@pytest.mark.parametrize(
    ('status', 'pairs'),
    [
        # A default entry leaves the task state open, as Nova's filter does.
        ('ACTIVE', {('active', None)}),
        ('active', {('active', None)}),
        ('REBOOT', {('active', 'rebooting')}),
        ('hard_reboot', {('active', 'rebooting_hard')}),
        ('BUILD', {('building', None)}),
        ('PAUSED', {('paused', None)}),
        ('SUSPENDED', {('suspended', None)}),
        ('SHUTOFF', {('stopped', None)}),
        ('RESCUE', {('rescued', None)}),
        ('ERROR', {('error', None)}),
        ('DELETED', {('deleted', None)}),
        (
            'migrating',
            {
                ('active', 'migrating'),
                ('paused', 'migrating'),
                ('rescued', 'migrating'),
            },
        ),
        ('VERIFY_RESIZE', set()),
        ('', set()),
    ],
)
def test_the_filter_is_the_same_table_read_backwards(status, pairs):
    found = states.states_of(status)
    assert len(found) == len(pairs)
    assert set(found) == pairs


def test_the_words_and_numbers_are_novas():
    assert {str(s) for s in states.VmState} == {
        'active',
        'building',
        'paused',
        'suspended',
        'stopped',
        'rescued',
        'error',
        'deleted',
    }
    assert {p.name: int(p) for p in states.PowerState} == {
        'NOSTATE': 0,
        'RUNNING': 1,
        'PAUSED': 3,
        'SHUTDOWN': 4,
        'CRASHED': 6,
        'SUSPENDED': 7,
    }
    assert {str(s) for s in states.TaskState} == {
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
    }


def test_who_may_migrate_and_be_forced():
    assert set(states.MIGRATABLE) == {'active', 'paused'}
    assert set(states.MIGRATABLE_FROM_2_200) == {
        'active',
        'paused',
        'rescued',
    }
    # Nova: active alone.
    assert set(states.FORCEABLE) == {'active', 'paused', 'rescued'}
