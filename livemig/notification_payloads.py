"""What a notification says: the record as payload, both forms. Pure.

Names, versions and keys are Nova's; what livemig adds about a migration is
an object of its own namespace beside Nova's, so that a consumer that knows
Nova's payload exactly finds nothing else in it.
"""

from __future__ import annotations

import datetime
import traceback
from collections.abc import Mapping
from typing import Any

from livemig import context, exception
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration

Payload = dict[str, Any]

#: The key beside Nova's object under which livemig's is.
MIGRATION = 'livemig.migration'

#: operation -> name and version of its versioned payload; the others have
#: ``ACTION``.
ACTION = ('InstanceActionPayload', '1.9')
OBJECTS: Mapping[str, tuple[str, str]] = {
    'create': ('InstanceCreatePayload', '1.12'),
    'rescue': ('InstanceActionRescuePayload', '1.4'),
}

#: Operations that Nova has no notification of.
OWN = frozenset({'live_migration_end', 'live_migration_timeout'})
OWN_OBJECT = ('LiveMigrationPayload', '1.0')

#: objects.instance_states.PowerState -> Nova's word.
_POWER: Mapping[int, str] = {
    0: 'pending',
    1: 'running',
    3: 'paused',
    4: 'shutdown',
    6: 'crashed',
    7: 'suspended',
}

_MIGRATION_KEYS = (
    'id',
    'uuid',
    'status',
    'source_compute',
    'dest_compute',
    'request_id',
    'user_id',
    'project_id',
    'abort_request_id',
    'force_request_id',
    'reason',
    'completed_by',
    'timeout_s',
    'downtime_ms',
    'throughput_bytes_per_s',
)


# -- versioned --------------------------------------------------------------
def versioned(
    ctxt: context.RequestContext,
    operation: str,
    instance: Instance,
    migration: Migration | None = None,
    error: BaseException | None = None,
) -> Payload:
    """The versioned form of ``instance.*``."""
    data = _instance_data(instance) | {
        'request_id': ctxt.request_id,
        'action_initiator_user': ctxt.user_id,
        'action_initiator_project': ctxt.project_id,
        'fault': None if error is None else exception_object(error),
    }
    if operation == 'create':
        data |= {
            'keypairs': [],
            'tags': [],
            'trusted_image_certificates': None,
        }
    elif operation == 'rescue':
        data['rescue_image_ref'] = (instance.rescue or {}).get('id')
    if operation in OWN:
        payload = _object(*OWN_OBJECT, data, namespace='livemig')
    else:
        payload = _object(*OBJECTS.get(operation, ACTION), data)
    if migration is not None:
        payload[MIGRATION] = migration_object(migration)
    return payload


def migration_object(migration: Migration) -> Payload:
    """What livemig tells of a migration, in both forms."""
    data = {key: getattr(migration, key) for key in _MIGRATION_KEYS}
    data['started_at'] = _iso(migration.started_at)
    data['ended_at'] = _iso(migration.ended_at)
    return _object('MigrationPayload', '1.0', data, namespace='livemig')


def compute_task(instance: Instance, error: BaseException) -> Payload:
    """Nova's ``ComputeTaskPayload``: what a conductor could not do."""
    return _object(
        'ComputeTaskPayload',
        '1.0',
        {
            'instance_uuid': instance.uuid,
            # livemig has no such record; Nova leaves it out for old ones.
            'request_spec': None,
            'state': instance.vm_state,
            'reason': exception_object(error),
        },
    )


def exception_object(error: BaseException) -> Payload:
    """Nova's ``ExceptionPayload``; of other people's errors only the name
    is told: their texts may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    module = function = 'unknown'
    if error.__traceback__ is not None:
        last = list(traceback.walk_tb(error.__traceback__))[-1][0]
        module = last.f_globals.get('__name__', 'unknown')
        function = last.f_code.co_name
    return _object(
        'ExceptionPayload',
        '1.1',
        {
            'module_name': module,
            'function_name': function,
            'exception': type(error).__name__,
            'exception_message': text_of(error),
            'traceback': ''.join(traceback.format_list(frames)),
        },
    )


def text_of(error: BaseException) -> str:
    """What may be told of an error."""
    if isinstance(error, exception.LivemigError):
        return error.message
    return type(error).__name__


def _object(
    name: str, version: str, data: Payload, namespace: str = 'nova'
) -> Payload:
    return {
        'nova_object.name': name,
        'nova_object.namespace': namespace,
        'nova_object.version': version,
        'nova_object.data': data,
    }


def _instance_data(instance: Instance) -> Payload:
    image = _image(instance)
    return {
        'uuid': instance.uuid,
        'user_id': instance.user_id,
        'tenant_id': instance.project_id,
        'reservation_id': instance.reservation_id,
        'display_name': instance.display_name,
        'display_description': instance.description,
        'host_name': instance.hostname,
        'host': instance.host,
        'node': instance.node,
        'os_type': image.get('os_type'),
        'architecture': _architecture(image),
        'availability_zone': instance.availability_zone,
        'flavor': _flavor(instance),
        'image_uuid': instance.image_ref,
        'key_name': instance.key_name,
        'kernel_id': image.get('kernel_id', ''),
        'ramdisk_id': image.get('ramdisk_id', ''),
        'created_at': _iso(instance.created_at),
        'launched_at': _iso(instance.launched_at),
        'terminated_at': _iso(instance.terminated_at),
        'deleted_at': _iso(instance.deleted_at),
        'updated_at': _iso(instance.updated_at),
        'state': instance.vm_state,
        'power_state': _POWER[instance.power_state],
        'task_state': instance.task_state,
        'progress': instance.progress,
        # livemig gives no addresses, and has no volumes and no shares;
        # Nova's block devices are volumes.
        'ip_addresses': [],
        'block_devices': [],
        'shares': [],
        'metadata': dict(instance.metadata or {}),
        'locked': bool(instance.locked),
        'locked_reason': instance.locked_reason,
        'auto_disk_config': 'MANUAL',
    }


def _flavor(instance: Instance) -> Payload:
    """The flavor as it was when the instance was made."""
    flavor = instance.flavor or {}
    return _object(
        'FlavorPayload',
        '1.4',
        {
            'flavorid': flavor.get('id', ''),
            'name': flavor.get('name', ''),
            'memory_mb': instance.memory_mb,
            'vcpus': instance.vcpus,
            'root_gb': instance.root_gb,
            'ephemeral_gb': flavor.get('ephemeral', 0),
            'swap': flavor.get('swap', 0),
            'rxtx_factor': 1.0,
            'vcpu_weight': 0,
            'disabled': False,
            'is_public': flavor.get('is_public', True),
            'extra_specs': dict(flavor.get('extra_specs') or {}),
            'projects': None,
            'description': flavor.get('description'),
        },
    )


# -- legacy -----------------------------------------------------------------
def legacy(
    operation: str,
    instance: Instance,
    migration: Migration | None = None,
    error: BaseException | None = None,
) -> Payload:
    """The flat dictionary of ``compute.instance.*``."""
    payload = _flat(instance)
    if operation == 'rescue':
        payload['rescue_image_name'] = (instance.rescue or {}).get('name')
    if error is not None:
        payload |= {
            'exception': type(error).__name__,
            'message': text_of(error),
            'code': 500,
        }
    if migration is not None:
        payload[MIGRATION] = migration_object(migration)
    return payload


def legacy_compute_task(instance: Instance, error: BaseException) -> Payload:
    """The flat form of ``compute_task``."""
    return {
        'request_spec': {},
        'instance_properties': _flat(instance),
        'instance_id': instance.uuid,
        'state': instance.vm_state,
        'method': 'migrate_server',
        'reason': text_of(error),
    }


def legacy_exception(
    error: BaseException, arguments: Mapping[str, Any]
) -> Payload:
    """What failed in a message, and what the message had said."""
    return {'exception': text_of(error), 'args': dict(arguments)}


def _flat(instance: Instance) -> Payload:
    flavor = instance.flavor or {}
    flavor_id = str(flavor.get('id', ''))
    image = _image(instance)
    ephemeral_gb = flavor.get('ephemeral', 0)
    return {
        'tenant_id': instance.project_id,
        'user_id': instance.user_id,
        'instance_id': instance.uuid,
        'display_name': instance.display_name,
        'reservation_id': instance.reservation_id,
        'hostname': instance.hostname,
        'instance_type': flavor.get('name', ''),
        'instance_type_id': int(flavor_id) if flavor_id.isdecimal() else None,
        'instance_flavor_id': flavor_id,
        'architecture': _architecture(image),
        'memory_mb': instance.memory_mb,
        'disk_gb': instance.root_gb + ephemeral_gb,
        'vcpus': instance.vcpus,
        'root_gb': instance.root_gb,
        'ephemeral_gb': ephemeral_gb,
        'host': instance.host,
        'node': instance.node,
        'availability_zone': instance.availability_zone,
        'cell_name': '',
        'created_at': str(instance.created_at),
        'terminated_at': _strtime(instance.terminated_at),
        'deleted_at': _strtime(instance.deleted_at),
        'launched_at': _strtime(instance.launched_at),
        # There is no image service to point to.
        'image_ref_url': instance.image_ref,
        'os_type': image.get('os_type'),
        'kernel_id': image.get('kernel_id', ''),
        'ramdisk_id': image.get('ramdisk_id', ''),
        'state': instance.vm_state,
        'state_description': instance.task_state or '',
        'progress': instance.progress or '',
        'access_ip_v4': None,
        'access_ip_v6': None,
        'fixed_ips': [],
        'image_meta': image | {'base_image_ref': instance.image_ref},
        'metadata': dict(instance.metadata or {}),
    }


# -- helpers ----------------------------------------------------------------
def _image(instance: Instance) -> dict[str, Any]:
    """The properties of the image it was made from."""
    return dict((instance.image or {}).get('properties') or {})


def _architecture(image: Mapping[str, Any]) -> str | None:
    return image.get('architecture') or image.get('hw_architecture')


def _iso(time: datetime.datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ')


def _strtime(time: datetime.datetime | None) -> str:
    if time is None:
        return ''
    return time.astimezone(datetime.UTC).strftime('%Y-%m-%dT%H:%M:%S.%f')
