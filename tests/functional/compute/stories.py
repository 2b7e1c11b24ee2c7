"""What is told of a migration: tables of events, and how to compare them."""

from __future__ import annotations

import datetime
from unittest.mock import ANY

from tests.functional.deployment import TOLD

# A guest that writes 80 MiB/s over 64 MiB never converges at 50 MiB/s.
BUSY = {'cmdline': 'ws=64 rate=20480', 'memory_mb': 128}
SLOW = [*TOLD, ('libvirt', 'live_migration_bandwidth', 50)]
TIMEOUT = [*SLOW, ('libvirt', 'live_migration_completion_timeout', 20)]
FORCES = ('libvirt', 'live_migration_timeout_action', 'force_complete')
POST_COPY = ('libvirt', 'live_migration_permit_post_copy', True)

#: versioned name -> unversioned name, where they are not the same (Nova's).
LEGACY = {
    'live_migration_pre': 'live_migration.pre',
    'live_migration_post': 'live_migration._post',
    'live_migration_post_dest': 'live_migration.post.dest',
    'live_migration_rollback': 'live_migration._rollback',
    'live_migration_rollback_dest': 'live_migration.rollback.dest',
    'live_migration_abort': 'live.migration.abort',
    'live_migration_force_complete': 'live.migration.force.complete',
    'live_migration_timeout': 'live_migration.timeout',
}

# What each publisher tells, in its order: the event, vm_state, task_state
# and host of the instance, status of the migration; - is none.
CREATED = """
create.start                  building spawning  host1 -
create.end                    active   -         host1 -
"""
PREPARED = """
live_migration_pre.start      active   migrating host1 preparing
live_migration_pre.end        active   migrating host1 preparing
"""
ARRIVED = """
live_migration_post_dest.start active  migrating host2 post-migrating
live_migration_post_dest.end  active   migrating host2 post-migrating
"""
UNDONE = """
live_migration_rollback_dest.start active migrating host1 running
live_migration_rollback_dest.end   active migrating host1 running
"""
MOVED = """
live_migration_post.start     active   migrating host2 post-migrating
live_migration_post.end       active   -         host2 completed
"""
BACK = """
live_migration_rollback.start active   migrating host1 running
live_migration_rollback.end   active   -         host1 {0}
"""
ABORT = """
live_migration_abort.start    active   migrating host1 running
"""
FORCE = """
live_migration_force_complete.start active migrating host1 running
"""
TIMED_OUT = """
live_migration_timeout.start  active   migrating host1 running
"""
FORCED = """
live_migration_force_complete.end active -       host2 completed
"""
ABORTED = """
live_migration_abort.end      active   -         host1 cancelled
"""
END = """
live_migration.end            active   -         {1} {0}
"""

# -- what was told ----------------------------------------------------------
PLACED = [
    ('conductor_live_migrate_instance', 'conductor1', 'Success'),
    ('compute_check_can_live_migrate_destination', 'host2', 'Success'),
    ('compute_check_can_live_migrate_source', 'host1', 'Success'),
]
PRE = ('compute_pre_live_migration', 'host2', 'Success')
POST = ('compute_post_live_migration_at_destination', 'host2', 'Success')
UNDO = ('compute_rollback_live_migration_at_destination', 'host2', 'Success')
WORK = 'compute_live_migration'
WORKED = [*PLACED, (WORK, 'host1', 'Success'), PRE, POST]
CAME_BACK = [*PLACED, (WORK, 'host1', 'Error'), PRE, UNDO]
CREATE = (
    'create',
    'operator',
    [('compute_build_instance', 'host1', 'Success')],
)

PAUSED = [('compute_live_migration_paused_vm', 'host1', 'Success')]
FORCE_EVENT = [('compute_live_migration_force_complete', 'host1', 'Success')]


def rows(text, *values):
    return [line.split() for line in text.format(*values).split('\n') if line]


def row_of(message, instance, legacy):
    """One notification as a line of the tables above."""
    payload = message['payload']
    about = payload.get('livemig.migration')
    status = about['nova_object.data']['status'] if about else '-'
    if legacy:
        state = payload['state_description'] or '-'
    else:
        payload = payload['nova_object.data']
        state = payload['task_state'] or '-'
    name = message['event_type'].removeprefix('compute.')
    return [
        name.removeprefix('instance.'),
        payload['state'],
        state,
        payload['host'],
        status,
    ]


def by_publisher(messages, prefix):
    found = {}
    for message in messages:
        host = message['publisher_id'].removeprefix(prefix)
        assert host != message['publisher_id']
        found.setdefault(host, []).append(message)
    return found


def split(deployment, instance):
    """Versioned and unversioned notifications about the instance itself."""
    told = deployment.told(instance)
    return (
        [m for m in told if m['event_type'].startswith('instance.')],
        [m for m in told if m['event_type'].startswith('compute.instance.')],
    )


def check(deployment, instance, expected, migration=None):
    """Exactly this was told, in both forms; gives the versioned ones."""
    versioned, legacy = split(deployment, instance)
    for messages, prefix in (
        (versioned, 'nova-compute:'),
        (legacy, 'compute.'),
    ):
        in_hosts = [m for m in messages if 'host' in m['publisher_id']]
        found = {
            host: [row_of(m, instance, messages is legacy) for m in of_host]
            for host, of_host in by_publisher(in_hosts, prefix).items()
        }
        wanted = {host: rows(text) for host, text in expected.items()}
        if messages is legacy:
            for row in [row for of_host in wanted.values() for row in of_host]:
                name, _, phase = row[0].rpartition('.')
                row[0] = f'{LEGACY.get(name, name)}.{phase}'
        assert found == wanted
    for message in versioned:
        check_versioned(message, instance, migration)
    for message in legacy:
        check_legacy(message, instance)
    if migration is not None:
        # When all is over: the whole record, and nothing else.
        assert last_of(versioned)['nova_object.data'] == {
            **versioned_record(instance),
            **REQUEST,
        }
        told = dict(last_of(legacy))
        told.pop('livemig.migration', None)
        assert told == legacy_record(instance)
    return {
        m['event_type'].removeprefix('instance.'): m['payload']
        for m in versioned
    }


OBJECTS = {
    'create': ('nova', 'InstanceCreatePayload', '1.12'),
    'rescue': ('nova', 'InstanceActionRescuePayload', '1.4'),
    'live_migration': ('livemig', 'LiveMigrationPayload', '1.0'),
    'live_migration_timeout': ('livemig', 'LiveMigrationPayload', '1.0'),
}


def iso(time):
    return time and time.astimezone(datetime.UTC).strftime(
        '%Y-%m-%dT%H:%M:%SZ'
    )


def check_versioned(message, instance, migration):
    payload = message['payload']
    _, name, phase = message['event_type'].split('.')
    assert (
        payload['nova_object.namespace'],
        payload['nova_object.name'],
        payload['nova_object.version'],
    ) == OBJECTS.get(name, ('nova', 'InstanceActionPayload', '1.9'))
    assert message['priority'] == ('ERROR' if phase == 'error' else 'INFO')
    data = payload['nova_object.data']
    assert (data['fault'] is not None) == (phase == 'error')
    for key, value in {
        'uuid': instance.uuid,
        'user_id': instance.user_id,
        'tenant_id': instance.project_id,
        'display_name': instance.display_name,
        'created_at': iso(instance.created_at),
        'image_uuid': instance.image_ref,
        'metadata': instance.metadata,
        'locked': False,
        'locked_reason': None,
    }.items():
        assert data[key] == value, key
    flavor = data['flavor']['nova_object.data']
    assert flavor['flavorid'] == instance.flavor['id']
    assert flavor['memory_mb'] == instance.memory_mb
    about = payload.get('livemig.migration')
    assert (about is not None) == name.startswith('live_migration')
    if about is None or migration is None:
        return
    assert about['nova_object.namespace'] == 'livemig'
    told = about['nova_object.data']
    assert (told['id'], told['uuid']) == (migration.id, migration.uuid)
    assert told['source_compute'] == 'host1'
    assert told['dest_compute'] == 'host2'
    if told['status'] == migration.status:
        # It has ended: all is as it stays on the record.
        for key in (
            'reason',
            'completed_by',
            'downtime_ms',
            'throughput_bytes_per_s',
            'timeout_s',
            'abort_request_id',
            'force_request_id',
        ):
            assert told[key] == getattr(migration, key), key
        assert told['ended_at'] == iso(migration.ended_at)


def last_of(messages):
    """The payload of what was told last."""
    ends = {
        m['event_type'].removeprefix('compute.'): m['payload']
        for m in messages
    }
    for name in ('unrescue.end', 'live_migration.end'):
        if f'instance.{name}' in ends:
            return ends[f'instance.{name}']
    raise AssertionError(f'it has no end: {sorted(ends)}')


#: Of the request that asked for it all.
REQUEST = {
    'request_id': ANY,
    'action_initiator_user': 'operator',
    'action_initiator_project': 'project',
    'fault': None,
}
POWER = {0: 'pending', 1: 'running', 3: 'paused', 4: 'shutdown'}


def versioned_record(instance):
    """The record as Nova's payload shows it."""
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
        'availability_zone': instance.availability_zone,
        'image_uuid': instance.image_ref,
        'key_name': instance.key_name,
        'state': instance.vm_state,
        'task_state': instance.task_state,
        'power_state': POWER[instance.power_state],
        'progress': instance.progress,
        'metadata': instance.metadata,
        'locked': instance.locked,
        'locked_reason': instance.locked_reason,
        'created_at': iso(instance.created_at),
        'launched_at': iso(instance.launched_at),
        'updated_at': iso(instance.updated_at),
        'terminated_at': None,
        'deleted_at': None,
        # The image has no properties.
        'os_type': None,
        'architecture': None,
        'kernel_id': '',
        'ramdisk_id': '',
        # What livemig does not have.
        'auto_disk_config': 'MANUAL',
        'ip_addresses': [],
        'block_devices': [],
        'shares': [],
        'flavor': {
            'nova_object.name': 'FlavorPayload',
            'nova_object.namespace': 'nova',
            'nova_object.version': '1.4',
            'nova_object.data': {
                'flavorid': instance.flavor['id'],
                'name': instance.flavor['name'],
                'memory_mb': instance.memory_mb,
                'vcpus': instance.vcpus,
                'root_gb': instance.root_gb,
                'ephemeral_gb': 0,
                'swap': 0,
                'rxtx_factor': 1.0,
                'vcpu_weight': 0,
                'disabled': False,
                'is_public': True,
                'extra_specs': {},
                'projects': None,
                'description': None,
            },
        },
    }


def legacy_record(instance):
    """The same as the unversioned form has it."""
    launched = instance.launched_at.astimezone(datetime.UTC)
    return {
        'tenant_id': instance.project_id,
        'user_id': instance.user_id,
        'instance_id': instance.uuid,
        'display_name': instance.display_name,
        'reservation_id': instance.reservation_id,
        'hostname': instance.hostname,
        'instance_type': instance.flavor['name'],
        'instance_type_id': int(instance.flavor['id']),
        'instance_flavor_id': instance.flavor['id'],
        'architecture': None,
        'memory_mb': instance.memory_mb,
        'disk_gb': instance.root_gb,
        'vcpus': instance.vcpus,
        'root_gb': instance.root_gb,
        'ephemeral_gb': 0,
        'host': instance.host,
        'node': instance.node,
        'availability_zone': instance.availability_zone,
        'cell_name': '',
        'created_at': str(instance.created_at),
        'terminated_at': '',
        'deleted_at': '',
        'launched_at': launched.strftime('%Y-%m-%dT%H:%M:%S.%f'),
        'image_ref_url': instance.image_ref,
        'os_type': None,
        'kernel_id': '',
        'ramdisk_id': '',
        'state': instance.vm_state,
        'state_description': instance.task_state or '',
        'progress': instance.progress or '',
        'access_ip_v4': None,
        'access_ip_v6': None,
        'fixed_ips': [],
        'image_meta': {'base_image_ref': instance.image_ref},
        'metadata': instance.metadata,
    }


def check_legacy(message, instance):
    payload = message['payload']
    assert payload['instance_id'] == instance.uuid
    assert payload['tenant_id'] == instance.project_id
    assert payload['instance_flavor_id'] == instance.flavor['id']
    assert payload['memory_mb'] == instance.memory_mb
    assert payload['created_at'] == str(instance.created_at)
    failed = message['event_type'].endswith('error')
    assert ('exception' in payload) == failed
    assert message['priority'] == ('ERROR' if failed else 'INFO')


def initiators(told, name):
    """Whose request the notifications of that name say they are of."""
    return {
        (data['request_id'], data['action_initiator_user'])
        for event, payload in told.items()
        if event.startswith(f'{name}.')
        for data in [payload['nova_object.data']]
    }


def actions_of(deployment, instance):
    """(action, user, events in their order), the oldest action first."""
    database = deployment.database
    found = []
    for row in reversed(database.action_list(instance.uuid, {})):
        whole = database.action_get(instance.uuid, row['request_id'])
        events = [
            (e['event'], e['host'], e['result'])
            for e in reversed(whole['events'])
        ]
        assert all(e['finish_time'] is not None for e in whole['events'])
        failed = any(result == 'Error' for _, _, result in events)
        assert row['message'] == ('Error' if failed else None)
        found.append((row['action'], row['user_id'], events))
    return found


def details(deployment, instance, action):
    """The details of that action's events that have some."""
    (row,) = [
        row
        for row in deployment.database.action_list(instance.uuid, {})
        if row['action'] == action
    ]
    return {
        name: text
        for name, (_, text) in deployment.events(
            instance, row['request_id']
        ).items()
        if text
    }, row['request_id']


def by_second(deployment):
    """From now on it is another user who asks."""
    deployment.ctxt.user_id = 'second'
    return deployment
