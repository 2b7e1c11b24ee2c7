"""Pause to unrescue through the managers, also when one dies in the middle.

What is expected of each operation is written out here again.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from livemig.compute import power, specs
from livemig.virt import driver, job

RESCUE_IMAGE = {
    'id': 'rescue-image',
    'kernel': '/rescue',
    'cmdline': 'ws=16 rate=0',
    'disks': [{'device': 'vda', 'format': 'raw', 'size_bytes': 4 * 2**20}],
}
DISKS = [{'device': 'vda', 'format': 'qcow2', 'size_bytes': 8 * 2**20}]


@dataclasses.dataclass(frozen=True)
class Case:
    """An operation: asked in which states, and what comes of it."""

    verb: str
    task_state: str
    before: str
    after: str
    power_state: int
    #: The driver's part of it, as a manager that died had done it.
    done: Callable[[driver.Driver, driver.GuestSpec], object]
    notification: str
    #: vm_state if the hypervisor cannot start the guest.
    failed: str | None = None
    message: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f'{self.verb}-{self.task_state}-{self.before}'


def _rescue(one: driver.Driver, spec: driver.GuestSpec) -> None:
    disk = driver.DiskSpec('vda', 'raw', 4 * 2**20)
    one.rescue(spec, driver.RescueSpec('/rescue', disk=disk))


def _hard(one: driver.Driver, spec: driver.GuestSpec) -> None:
    one.hard_reboot(spec)


SOFT, HARD = {'reboot_type': 'SOFT'}, {'reboot_type': 'HARD'}
CASES = [
    Case('pause', 'pausing', 'active', 'paused', 3,
         lambda d, s: d.pause(s.guest_id), 'pause'),
    Case('unpause', 'unpausing', 'paused', 'active', 1,
         lambda d, s: d.resume(s.guest_id), 'unpause'),
    Case('suspend', 'suspending', 'active', 'suspended', 4,
         lambda d, s: d.suspend(s.guest_id), 'suspend'),
    Case('resume', 'resuming', 'suspended', 'active', 1,
         lambda d, s: d.wake(s.guest_id), 'resume', 'error'),
    Case('stop', 'powering-off', 'active', 'stopped', 4,
         lambda d, s: d.power_off(s.guest_id, 0), 'power_off'),
    Case('start', 'powering-on', 'stopped', 'active', 1,
         _hard, 'power_on', 'stopped'),
    Case('reboot', 'rebooting', 'active', 'active', 1,
         _hard, 'reboot', 'error', SOFT),
    Case('reboot', 'rebooting_hard', 'active', 'active', 1,
         _hard, 'reboot', 'error', HARD),
    Case('reboot', 'rebooting_hard', 'paused', 'active', 1,
         _hard, 'reboot', 'error', HARD),
    Case('reboot', 'rebooting_hard', 'suspended', 'active', 1,
         _hard, 'reboot', 'error', HARD),
    Case('reboot', 'rebooting_hard', 'stopped', 'active', 1,
         _hard, 'reboot', 'error', HARD),
    Case('rescue', 'rescuing', 'active', 'rescued', 1,
         _rescue, 'rescue', 'error'),
    Case('rescue', 'rescuing', 'stopped', 'rescued', 1,
         _rescue, 'rescue', 'error'),
    Case('unrescue', 'unrescuing', 'rescued', 'active', 1,
         _hard, 'unrescue', 'error'),
]  # fmt: skip
FAILING = [case for case in CASES if case.failed]
#: How to get from active to the state a case begins in.
WAY_TO = {
    'paused': ('pause', 'pausing'),
    'suspended': ('suspend', 'suspending'),
    'stopped': ('stop', 'powering-off'),
    'rescued': ('rescue', 'rescuing'),
}
#: (vm_state, power at the hypervisor, reason if it matters)
GUEST = {
    'active': job.Power.RUNNING,
    'rescued': job.Power.RUNNING,
    'paused': job.Power.PAUSED,
    'suspended': job.Power.SHUTOFF,
    'stopped': job.Power.SHUTOFF,
}


def ask(deployment, instance, case, **more):
    values = {'rescue': RESCUE_IMAGE} if case.verb == 'rescue' else {}
    return deployment.ask(
        instance,
        case.verb,
        case.task_state,
        message=case.message,
        **values,
        **more,
    )


def boot(deployment, vm_state):
    """An instance in that state, with a disk, on host1."""
    instance = deployment.boot(disks=DISKS)
    if vm_state != 'active':
        verb, task_state = WAY_TO[vm_state]
        values = {'rescue': RESCUE_IMAGE} if verb == 'rescue' else {}
        deployment.ask(instance, verb, task_state, **values)
        deployment.worked(instance)
    assert instance.vm_state == vm_state
    return instance


def guest(deployment, instance):
    return deployment.managers['host1']._driver.guest_state(instance.uuid)


def check(deployment, instance, case, ctxt):
    """The end of it, as everybody may see it."""
    deployment.worked(instance)
    assert instance.vm_state == case.after
    assert instance.task_state is None
    assert instance.power_state == case.power_state
    assert guest(deployment, instance).power is GUEST[case.after]
    assert (instance.rescue is not None) == (case.after == 'rescued')
    world = deployment.world
    files = world.hosts['host1'].storage.directories[instance.uuid]
    assert ('rescue' in files) == (case.after == 'rescued')
    assert deployment.events(instance, ctxt.request_id) == {
        f'compute_{case.verb}_instance': ('Success', None)
    }
    assert world.leftovers(instance.uuid) == []


def test_every_row_of_the_table_has_a_case():
    assert {(c.verb, c.task_state) for c in CASES} == {
        (row.action, str(row.task_state)) for row in power.OPERATIONS
    }
    assert set(power.MESSAGES) == {f'{c.verb}_instance' for c in CASES}


@pytest.mark.parametrize('case', CASES, ids=str)
def test_an_operation(deployment, case):
    instance = boot(deployment, case.before)
    ctxt = ask(deployment, instance, case)
    check(deployment, instance, case, ctxt)


@pytest.mark.parametrize('case', CASES, ids=str)
def test_a_message_that_got_lost(deployment, case):
    instance = boot(deployment, case.before)
    ctxt = ask(deployment, instance, case, send=False)
    deployment.managers['host1'].look_for_work()
    check(deployment, instance, case, ctxt)


@pytest.mark.parametrize('how_far', ['nothing', 'all of it'])
@pytest.mark.parametrize('case', CASES, ids=str)
def test_a_manager_that_dies_in_the_middle(deployment, case, how_far):
    """It had begun the event, and the hypervisor had done nothing of it,
    or all."""
    instance = boot(deployment, case.before)
    deployment.stop_manager('host1')
    ctxt = ask(deployment, instance, case, send=False)
    deployment.database.event_start(
        instance.uuid,
        ctxt.request_id,
        {'event': f'compute_{case.verb}_instance', 'host': 'host1'},
    )
    if how_far == 'all of it':
        case.done(deployment.second_driver('host1'), specs.spec_of(instance))
    deployment.start_manager('host1')
    check(deployment, instance, case, ctxt)


@pytest.mark.parametrize('case', CASES, ids=str)
def test_a_hypervisor_that_is_away(deployment, case):
    """Nothing is lost, nothing fails: it is done when it is back."""
    instance = boot(deployment, case.before)
    deployment.world.restart_daemon('host1', away_s=30)
    ctxt = ask(deployment, instance, case)
    deployment.worked(instance)
    assert instance.task_state == case.task_state
    assert deployment.events(instance, ctxt.request_id) == {
        f'compute_{case.verb}_instance': (None, None)
    }
    deployment.clock.limit_s = 100
    deployment.clock.advance(30)
    deployment.managers['host1'].look_for_work()
    check(deployment, instance, case, ctxt)


@pytest.mark.parametrize('case', FAILING, ids=str)
def test_a_guest_that_cannot_be_started(deployment, case):
    """The record says so, and the next hard reboot gets it going."""
    instance = boot(deployment, case.before)
    deployment.world.fail('spawn-fails', 'host1', times=1)
    ctxt = ask(deployment, instance, case)
    deployment.worked(instance)
    assert (instance.vm_state, instance.task_state) == (case.failed, None)
    assert instance.rescue is None
    [fault] = deployment.database.instance_faults([instance.uuid])
    assert fault['code'] == 500
    assert fault['message'] == f'The action {case.verb} failed.'
    assert 'host1' in fault['details']
    result, details = deployment.events(instance, ctxt.request_id)[
        f'compute_{case.verb}_instance'
    ]
    assert (result, details) == ('Error', fault['details'])
    hard = CASES[7]
    again = ask(deployment, instance, hard)
    check(deployment, instance, hard, again)


@pytest.mark.parametrize('verb', ['pause', 'suspend'])
def test_a_guest_that_is_off_by_itself(deployment, verb):
    instance = boot(deployment, 'active')
    deployment.world.shut_down_guest(instance.uuid)
    task_state = {'pause': 'pausing', 'suspend': 'suspending'}[verb]
    ctxt = deployment.ask(instance, verb, task_state)
    deployment.worked(instance)
    assert instance.task_state is None
    assert instance.power_state == 4
    # Nova: a pause that fails changes nothing, a suspend is an error.
    assert instance.vm_state == {'pause': 'active', 'suspend': 'error'}[verb]
    ((result, _),) = deployment.events(instance, ctxt.request_id).values()
    assert result == 'Error'


def test_a_message_that_comes_too_late(deployment):
    """Hours later it changes nothing."""
    instance = boot(deployment, 'active')
    deployment.compute_api.operate_instance(
        deployment.context(), 'host1', 'stop_instance', instance.uuid
    )
    deployment.worked(instance)
    assert instance.vm_state == 'active'
    assert deployment.world.running(instance.uuid) == ('host1',)


def test_a_message_about_something_else(deployment):
    """The record says pausing: that is not what stop_instance is for."""
    instance = boot(deployment, 'active')
    deployment.ask(instance, 'pause', 'pausing', send=False)
    deployment.compute_api.operate_instance(
        deployment.context(), 'host1', 'stop_instance', instance.uuid
    )
    deployment.worked(instance)
    assert (instance.vm_state, instance.task_state) == ('active', 'pausing')


def test_a_message_to_a_host_where_it_is_not(deployment):
    instance = boot(deployment, 'active')
    deployment.ask(instance, 'stop', 'powering-off', send=False)
    deployment.compute_api.operate_instance(
        deployment.context(), 'host2', 'stop_instance', instance.uuid
    )
    deployment.worked(instance)
    assert instance.task_state == 'powering-off'
    assert deployment.world.running(instance.uuid) == ('host1',)


def test_deleted_while_it_was_worked_at(deployment):
    """The record says deleting by the time the work is over."""
    instance = boot(deployment, 'active')
    deployment.world.restart_daemon('host1', away_s=30)
    deployment.ask(instance, 'reboot', 'rebooting_hard')
    deployment.worked(instance)
    deployment.ask(instance, 'delete', 'deleting', send=False)
    deployment.clock.limit_s = 100
    deployment.clock.advance(30)
    deployment.managers['host1'].look_for_work()
    deployment.worked()
    assert deployment.database.instance_get(instance.uuid) is None
    assert deployment.world.living(instance.uuid) == ()


def test_a_hard_reboot_takes_the_place_of_what_got_stuck(deployment):
    instance = boot(deployment, 'active')
    deployment.world.restart_daemon('host1', away_s=30)
    pause = deployment.ask(instance, 'pause', 'pausing')
    deployment.worked(instance)
    hard = deployment.ask(
        instance, 'reboot', 'rebooting_hard', message=HARD, send=False
    )
    deployment.clock.limit_s = 100
    deployment.clock.advance(30)
    deployment.managers['host1'].look_for_work()
    check(deployment, instance, CASES[7], hard)
    assert deployment.events(instance, pause.request_id) == {
        'compute_pause_instance': ('Error', 'A hard reboot took its place.')
    }


class Held:
    """A driver that takes its time to pause a guest."""

    def __init__(self, one: driver.Driver) -> None:
        self._driver = one
        self.began = threading.Event()
        self.go_on = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def pause(self, guest_id: str) -> None:
        self.began.set()
        assert self.go_on.wait(20)
        self._driver.pause(guest_id)


@pytest.fixture
def held(deployment):
    """A pause on host1 that is under way."""
    instance = boot(deployment, 'active')
    powering = deployment.managers['host1'].powering
    powering._driver = held = Held(powering._driver)
    ctxt = ask(deployment, instance, CASES[0])
    assert held.began.wait(20)
    yield held, instance, ctxt
    held.go_on.set()


def test_messages_while_it_is_worked_at_change_nothing(deployment, held):
    gate, instance, ctxt = held
    for _ in range(3):
        deployment.compute_api.operate_instance(
            ctxt, 'host1', 'pause_instance', instance.uuid
        )
        deployment.managers['host1'].look_for_work()
    gate.go_on.set()
    check(deployment, instance, CASES[0], ctxt)
    actions = deployment.database.action_get(instance.uuid, ctxt.request_id)
    assert len(actions['events']) == 1


def test_a_hard_reboot_follows_what_it_took_the_place_of(deployment, held):
    gate, instance, pause = held
    hard = ask(deployment, instance, CASES[7])
    assert not deployment.managers['host1'].powering.wait_idle(0)
    gate.go_on.set()
    check(deployment, instance, CASES[7], hard)
    assert deployment.events(instance, pause.request_id) == {
        'compute_pause_instance': ('Success', None)
    }
    assert deployment.world.boots[instance.uuid] == 2


def test_a_deletion_follows_what_is_under_way(deployment, held):
    gate, instance, _ = held
    ctxt = deployment.ask(instance, 'delete', 'deleting', send=False)
    deployment.compute_api.terminate_instance(ctxt, 'host1', instance.uuid)
    assert deployment.world.living(instance.uuid) == ('host1',)
    gate.go_on.set()
    deployment.worked()
    assert deployment.database.instance_get(instance.uuid) is None
    assert deployment.world.living(instance.uuid) == ()


def test_a_manager_that_stops_does_not_wait_for_ever(deploy):
    """What it could not end is done by the next one."""
    deployment = deploy(options=[('DEFAULT', 'graceful_shutdown_timeout', 1)])
    instance = boot(deployment, 'active')
    powering = deployment.managers['host1'].powering
    powering._driver = gate = Held(powering._driver)
    ctxt = ask(deployment, instance, CASES[0])
    assert gate.began.wait(20)
    deployment.stop_manager('host1')
    deployment.start_manager('host1')
    check(deployment, instance, CASES[0], ctxt)
    gate.go_on.set()
    assert powering.wait_idle(20)
    check(deployment, instance, CASES[0], ctxt)


def test_a_rescued_guest_that_shuts_down_stays_rescued(deployment):
    instance = boot(deployment, 'rescued')
    deployment.world.shut_down_guest(instance.uuid)
    for _ in range(2):
        deployment.managers['host1'].run_periodic_tasks()
        instance.refresh()
        assert (instance.vm_state, instance.power_state) == ('rescued', 4)
    ctxt = deployment.ask(instance, 'unrescue', 'unrescuing')
    check(deployment, instance, CASES[13], ctxt)


@pytest.mark.parametrize('vm_state', ['paused', 'suspended', 'stopped'])
def test_the_look_at_the_guests_leaves_these_alone(deployment, vm_state):
    instance = boot(deployment, vm_state)
    before = instance.updated_at
    deployment.managers['host1'].run_periodic_tasks()
    instance.refresh()
    assert (instance.vm_state, instance.updated_at) == (vm_state, before)


def test_notifications(deploy):
    deployment = deploy()
    told = []
    manager = deployment.managers['host1']
    manager.powering._notifier = _Told(told)
    for case in (CASES[0], CASES[1], CASES[4], CASES[5], CASES[11]):
        instance = boot(deployment, case.before)
        told.clear()
        ask(deployment, instance, case)
        deployment.worked(instance)
        assert told == [
            (case.notification, 'start', case.before, case.task_state, None),
            (case.notification, 'end', case.after, None, None),
        ]
    instance = boot(deployment, 'stopped')
    told.clear()
    deployment.world.fail('spawn-fails', 'host1', times=1)
    ask(deployment, instance, CASES[5])
    deployment.worked(instance)
    [_, (name, phase, vm_state, task_state, error)] = told
    assert (name, phase) == ('power_on', 'error')
    assert (vm_state, task_state) == ('stopped', None)
    assert 'process exited' in str(error)


class _Told:
    """A notifier whose notifications stay here."""

    def __init__(self, told: list[Any]) -> None:
        self._told = told

    def notify(self, ctxt, operation, phase, instance, migration, error):
        self._told.append(
            (
                operation,
                str(phase),
                instance.vm_state,
                instance.task_state,
                error,
            )
        )
