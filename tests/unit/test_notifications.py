"""Payloads hold exactly what Nova's hold, and nothing more."""

import datetime
import types

import pytest

from livemig import context, exception, notifications
from livemig import notification_payloads as payloads
from livemig.notifications import Phase

TIME = datetime.datetime(2026, 3, 1, 12, 0, 5, 250000, tzinfo=datetime.UTC)
# Nova's keys, from its documentation.
ACTION = set(
    [
        'uuid',
        'user_id',
        'tenant_id',
        'reservation_id',
        'display_name',
        'display_description',
        'host_name',
        'host',
        'node',
        'os_type',
        'architecture',
        'availability_zone',
        'flavor',
        'image_uuid',
        'key_name',
        'kernel_id',
        'ramdisk_id',
        'created_at',
        'launched_at',
        'terminated_at',
        'deleted_at',
        'updated_at',
        'state',
        'power_state',
        'task_state',
        'progress',
        'ip_addresses',
        'block_devices',
        'metadata',
        'locked',
        'locked_reason',
        'auto_disk_config',
        'request_id',
        'action_initiator_user',
        'action_initiator_project',
        'shares',
        'fault',
    ]
)
FLAVOR = set(
    [
        'flavorid',
        'name',
        'memory_mb',
        'vcpus',
        'root_gb',
        'ephemeral_gb',
        'swap',
        'rxtx_factor',
        'vcpu_weight',
        'disabled',
        'is_public',
        'extra_specs',
        'projects',
        'description',
    ]
)
EXCEPTION = set(
    [
        'module_name',
        'function_name',
        'exception',
        'exception_message',
        'traceback',
    ]
)
LEGACY = set(
    [
        'tenant_id',
        'user_id',
        'instance_id',
        'display_name',
        'reservation_id',
        'hostname',
        'instance_type',
        'instance_type_id',
        'instance_flavor_id',
        'architecture',
        'memory_mb',
        'disk_gb',
        'vcpus',
        'root_gb',
        'ephemeral_gb',
        'host',
        'node',
        'availability_zone',
        'cell_name',
        'created_at',
        'terminated_at',
        'deleted_at',
        'launched_at',
        'image_ref_url',
        'os_type',
        'kernel_id',
        'ramdisk_id',
        'state',
        'state_description',
        'progress',
        'access_ip_v4',
        'access_ip_v6',
        'image_meta',
        'metadata',
        'fixed_ips',
    ]
)
ERROR = exception.LivemigError('It was refused.')


def record(**changes):
    """An instance's record."""
    return types.SimpleNamespace(
        **{
            'uuid': 'an-uuid',
            'user_id': 'owner',
            'project_id': 'project',
            'reservation_id': 'r-1',
            'display_name': 'web',
            'description': 'a server',
            'hostname': 'web.local',
            'host': 'host1',
            'node': 'host1',
            'availability_zone': 'nova',
            'flavor': {
                'id': '42',
                'name': 'm1.tiny',
                'ram': 512,
                'vcpus': 2,
                'disk': 3,
                'ephemeral': 4,
                'swap': 5,
                'extra_specs': {'hw:x': 'y'},
            },
            'image_ref': 'an-image',
            'image': {
                'id': 'an-image',
                'properties': {'os_type': 'linux', 'architecture': 'x86_64'},
            },
            'rescue': None,
            'key_name': None,
            'memory_mb': 512,
            'vcpus': 2,
            'root_gb': 3,
            'created_at': TIME,
            'launched_at': TIME,
            'terminated_at': None,
            'deleted_at': None,
            'updated_at': None,
            'vm_state': 'active',
            'task_state': None,
            'power_state': 1,
            'progress': 0,
            'metadata': {'a': 'b'},
            'locked': False,
            'locked_reason': None,
            **changes,
        }
    )


CTXT = context.RequestContext(
    user_id='jane', project_id='ops', request_id='req-1'
)


def made(operation='pause', error=None, **changes):
    return payloads.versioned(CTXT, operation, record(**changes), None, error)


@pytest.mark.parametrize(
    ('operation', 'name', 'version', 'more'),
    [
        ('pause', 'InstanceActionPayload', '1.9', set()),
        ('live_migration_pre', 'InstanceActionPayload', '1.9', set()),
        ('unrescue', 'InstanceActionPayload', '1.9', set()),
        (
            'rescue',
            'InstanceActionRescuePayload',
            '1.4',
            {'rescue_image_ref'},
        ),
        (
            'create',
            'InstanceCreatePayload',
            '1.12',
            {'keypairs', 'tags', 'trusted_image_certificates'},
        ),
    ],
)
def test_a_strict_consumer_finds_nova_s_object(operation, name, version, more):
    payload = made(operation)
    data = payload.pop('nova_object.data')
    assert payload == {
        'nova_object.name': name,
        'nova_object.namespace': 'nova',
        'nova_object.version': version,
    }
    assert set(data) == ACTION | more


def test_the_values_of_the_versioned_form():
    data = made(rescue={'id': 'other'})['nova_object.data']
    flavor = data.pop('flavor')
    assert data == {
        'uuid': 'an-uuid',
        'user_id': 'owner',
        'tenant_id': 'project',
        'reservation_id': 'r-1',
        'display_name': 'web',
        'display_description': 'a server',
        'host_name': 'web.local',
        'host': 'host1',
        'node': 'host1',
        'os_type': 'linux',
        'architecture': 'x86_64',
        'availability_zone': 'nova',
        'image_uuid': 'an-image',
        'key_name': None,
        'kernel_id': '',
        'ramdisk_id': '',
        'created_at': '2026-03-01T12:00:05Z',
        'launched_at': '2026-03-01T12:00:05Z',
        'terminated_at': None,
        'deleted_at': None,
        'updated_at': None,
        'state': 'active',
        'power_state': 'running',
        'task_state': None,
        'progress': 0,
        'ip_addresses': [],
        'block_devices': [],
        'shares': [],
        'metadata': {'a': 'b'},
        'locked': False,
        'locked_reason': None,
        'auto_disk_config': 'MANUAL',
        'request_id': 'req-1',
        'action_initiator_user': 'jane',
        'action_initiator_project': 'ops',
        'fault': None,
    }
    assert flavor['nova_object.name'] == 'FlavorPayload'
    assert flavor['nova_object.version'] == '1.4'
    assert set(flavor['nova_object.data']) == FLAVOR
    assert flavor['nova_object.data'] == {
        'flavorid': '42',
        'name': 'm1.tiny',
        'memory_mb': 512,
        'vcpus': 2,
        'root_gb': 3,
        'ephemeral_gb': 4,
        'swap': 5,
        'rxtx_factor': 1.0,
        'vcpu_weight': 0,
        'disabled': False,
        'is_public': True,
        'extra_specs': {'hw:x': 'y'},
        'projects': None,
        'description': None,
    }


def test_the_legacy_form_is_flat():
    payload = payloads.legacy('pause', record(task_state='pausing'))
    assert set(payload) == LEGACY
    assert payload['state_description'] == 'pausing'
    assert payload['disk_gb'] == 7
    assert (payload['instance_type'], payload['instance_type_id']) == (
        'm1.tiny',
        42,
    )
    assert payload['launched_at'] == '2026-03-01T12:00:05.250000'
    assert payload['deleted_at'] == ''
    assert payload['progress'] == ''
    assert payload['image_meta'] == {
        'os_type': 'linux',
        'architecture': 'x86_64',
        'base_image_ref': 'an-image',
    }
    more = set(payloads.legacy('pause', record(), None, ERROR)) - LEGACY
    assert more == {'exception', 'message', 'code'}


def test_where_an_error_came_from():
    def fails():
        raise exception.LivemigError('It was refused.')

    with pytest.raises(exception.LivemigError) as caught:
        fails()
    data = made(error=caught.value)['nova_object.data']['fault'][
        'nova_object.data'
    ]
    assert set(data) == EXCEPTION
    assert data['exception_message'] == 'It was refused.'
    assert (data['module_name'], data['function_name']) == (
        __name__,
        'fails',
    )
    assert 'fails()' in data['traceback']


def test_an_error_that_was_never_raised_has_no_place():
    data = payloads.exception_object(ERROR)['nova_object.data']
    assert (data['module_name'], data['traceback']) == ('unknown', '')


def test_nothing_is_told_of_other_people_s_texts():
    secret = ValueError('password=secret')
    told = [
        payloads.versioned(CTXT, 'pause', record(), None, secret),
        payloads.legacy('pause', record(), None, secret),
        payloads.legacy_compute_task(record(), secret),
        payloads.compute_task(record(), secret),
        payloads.legacy_exception(secret, {}),
        payloads.exception_object(secret),
    ]
    assert 'secret' not in str(told)
    assert all("'ValueError'" in str(one) for one in told)


@pytest.mark.parametrize(
    ('number', 'word'),
    [
        (0, 'pending'),
        (1, 'running'),
        (3, 'paused'),
        (4, 'shutdown'),
        (6, 'crashed'),
        (7, 'suspended'),
    ],
)
def test_the_power_state_is_a_word(number, word):
    data = made(power_state=number)['nova_object.data']
    assert data['power_state'] == word


class Kept:
    """An emitter that keeps what it gets."""

    def __init__(self):
        self.got = []

    def emit(self, ctxt, priority, event_type, payload):
        self.got.append((priority, event_type, payload))


def notifier(form):
    conf = types.SimpleNamespace(
        notifications=types.SimpleNamespace(notification_format=form)
    )
    legacy, versioned = Kept(), Kept()
    return notifications.Notifier(conf, legacy, versioned), legacy, versioned


def test_a_payload_that_cannot_be_made_ends_nothing(caplog):
    one, legacy, versioned = notifier('both')
    one.notify(CTXT, 'pause', Phase.END, types.SimpleNamespace())
    assert legacy.got == versioned.got == []
    assert 'Notification instance.pause.end was not made.' in caplog.text


def test_a_failed_message_is_told_and_still_fails():
    class Manager:
        def good(self, ctxt, number):
            return number + 1

        def bad(self, ctxt, number):
            raise ERROR

    one, legacy, versioned = notifier('both')
    watched = notifications.Watched(Manager(), ['good', 'bad'], one)
    assert watched.good(CTXT, number=1) == 2
    assert legacy.got == []
    with pytest.raises(exception.LivemigError):
        watched.bad(CTXT, number=2)
    assert legacy.got == [
        (
            'error',
            'bad',
            {'exception': 'It was refused.', 'args': {'number': 2}},
        )
    ]
    ((priority, event_type, _),) = versioned.got
    assert (priority, event_type) == ('error', 'compute.exception')


def test_a_polled_message_that_failed_is_told_to_its_caller_alone():
    class Manager:
        def asked(self, ctxt):
            raise ERROR

    one, legacy, versioned = notifier('both')
    watched = notifications.Watched(Manager(), ['asked'], one, {'asked'})
    with pytest.raises(exception.LivemigError):
        watched.asked(CTXT)
    assert legacy.got == versioned.got == []
