"""One whole story per outcome: every notification and every action."""

from __future__ import annotations

import datetime
import re

import pytest

from tests.functional.compute.test_power import DISKS, RESCUE_IMAGE
from tests.functional.deployment import TOLD
from tests.unit.test_rpc_notifier import Stuck

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


# -- the outcomes -----------------------------------------------------------
def test_completed(deploy):
    deployment = deploy(options=TOLD)
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED + MOVED + END.format('completed', 'host2'),
            'host2': PREPARED + ARRIVED,
        },
        migration,
    )
    end = told['live_migration.end']['livemig.migration']['nova_object.data']
    assert end['completed_by'] == 'converged'
    assert end['reason'] is None
    assert end['downtime_ms'] == migration.downtime_ms
    assert initiators(told, 'live_migration_pre') == {
        (migration.request_id, 'operator')
    }
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', WORKED),
    ]


def test_aborted(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    asked = []
    deployment.clock.at(
        30, lambda: asked.append(by_second(deployment).abort(migration))
    )
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + ABORT
            + BACK.format('cancelled')
            + ABORTED
            + END.format('cancelled', 'host1'),
            'host2': PREPARED + UNDONE,
        },
        migration,
    )
    end = told['live_migration.end']['livemig.migration']['nova_object.data']
    assert end['reason'].startswith('Aborted on request of user second.')
    assert initiators(told, 'live_migration_abort') == {
        (asked[0].request_id, 'second')
    }
    assert initiators(told, 'live_migration_rollback') == {
        (migration.request_id, 'operator')
    }
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', CAME_BACK),
        (
            'live_migration_cancel',
            'second',
            [('compute_live_migration_abort', 'host1', 'Success')],
        ),
    ]
    assert details(deployment, instance, 'live-migration')[0] == {
        WORK: migration.reason
    }


def test_the_timeout_aborted(deploy):
    deployment = deploy(options=TIMEOUT)
    instance = deployment.boot(**BUSY)
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + TIMED_OUT
            + ABORT
            + BACK.format('cancelled')
            + ABORTED
            + END.format('cancelled', 'host1'),
            'host2': PREPARED + UNDONE,
        },
        migration,
    )
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', CAME_BACK),
        (
            'live_migration_cancel',
            None,
            [('compute_live_migration_abort', 'host1', 'Success')],
        ),
    ]
    said, work_request = details(deployment, instance, 'live-migration')
    assert 'completion timeout of 40 s' in said[WORK]
    _, request_id = details(deployment, instance, 'live_migration_cancel')
    assert request_id != work_request
    for name in ('live_migration_timeout', 'live_migration_abort'):
        assert initiators(told, name) == {(request_id, None)}
    timeout = told['live_migration_timeout.start']['livemig.migration']
    assert timeout['nova_object.data']['abort_request_id'] == request_id
    assert timeout['nova_object.data']['timeout_s'] == 40


PAUSED = [('compute_live_migration_paused_vm', 'host1', 'Success')]
FORCE_EVENT = [('compute_live_migration_force_complete', 'host1', 'Success')]


def test_the_timeout_forced(deploy):
    deployment = deploy(options=[*TIMEOUT, FORCES])
    instance = deployment.boot(**BUSY)
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + TIMED_OUT
            + FORCE
            + MOVED
            + FORCED
            + END.format('completed', 'host2'),
            'host2': PREPARED + ARRIVED,
        },
        migration,
    )
    end = told['live_migration.end']['livemig.migration']['nova_object.data']
    assert (end['completed_by'], end['reason']) == ('pause', None)
    assert end['downtime_ms'] == migration.downtime_ms > 0
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', WORKED),
        ('live_migration_force_complete', None, FORCE_EVENT),
        ('live-migration-paused-vm', None, PAUSED),
    ]
    _, request_id = details(
        deployment, instance, 'live_migration_force_complete'
    )
    assert initiators(told, 'live_migration_force_complete') == {
        (request_id, None)
    }


def test_forced_by_a_pause(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    asked = []
    deployment.clock.at(
        30, lambda: asked.append(by_second(deployment).force(migration))
    )
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + FORCE
            + MOVED
            + FORCED
            + END.format('completed', 'host2'),
            'host2': PREPARED + ARRIVED,
        },
        migration,
    )
    assert initiators(told, 'live_migration_force_complete') == {
        (asked[0].request_id, 'second')
    }
    # The pause is the second user's, not the first one's who migrates.
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', WORKED),
        ('live_migration_force_complete', 'second', FORCE_EVENT),
        ('live-migration-paused-vm', 'second', PAUSED),
    ]
    said, request_id = details(
        deployment, instance, 'live-migration-paused-vm'
    )
    assert f'Migration {migration.id}:' in said[PAUSED[0][0]]
    assert request_id not in (migration.request_id, asked[0].request_id)


def test_the_pause_after_a_restart_is_of_who_asked_for_it(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = deployment.migrate(instance)
    deployment.clock.limit_s = 20
    deployment.clock.until(20)
    deployment.stop_manager('host1')
    ctxt = by_second(deployment).context()
    migration.refresh()
    assert migration.request_force('second', ctxt.request_id, 'pause')
    deployment.start_manager('host1')
    deployment.settled(instance, migration)
    assert migration.completed_by == 'pause'
    pauses = [
        user
        for action, user, _ in actions_of(deployment, instance)
        if action == 'live-migration-paused-vm'
    ]
    assert pauses == ['second']


def test_forced_by_post_copy(deploy):
    deployment = deploy(options=[*SLOW, POST_COPY])
    instance = deployment.boot(**BUSY)
    deployment.clock.at(30, lambda: deployment.force(migration))
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + FORCE
            + MOVED
            + FORCED
            + END.format('completed', 'host2'),
            'host2': PREPARED + ARRIVED,
        },
        migration,
    )
    end = told['live_migration.end']['livemig.migration']['nova_object.data']
    assert end['completed_by'] == 'post-copy'
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', WORKED),
        ('live_migration_force_complete', 'operator', FORCE_EVENT),
    ]


def test_a_transfer_that_failed(deploy):
    deployment = deploy(options=TOLD)
    deployment.world.fail('transfer-breaks', 'host1', after_s=0.1)
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + BACK.format('failed')
            + END.format('failed', 'host1'),
            'host2': PREPARED + UNDONE,
        },
        migration,
    )
    end = told['live_migration.end']['livemig.migration']['nova_object.data']
    assert 'from host1 to host2 failed' in end['reason']
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', CAME_BACK),
    ]
    assert details(deployment, instance, 'live-migration')[0] == {
        WORK: migration.reason
    }


def test_a_destination_that_cannot_prepare(deploy):
    deployment = deploy(options=TOLD)
    deployment.world.fail('prepare-refused', 'host2')
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + BACK.format('failed').replace('running', 'preparing')
            + END.format('failed', 'host1'),
            'host2': PREPARED.replace('pre.end', 'pre.error')
            + UNDONE.replace('running', 'preparing'),
        },
        migration,
    )
    data = told['live_migration_pre.error']['nova_object.data']
    fault = data['fault']['nova_object.data']
    assert fault['exception'] == 'DestinationNotPrepared'
    assert fault['exception_message'] in migration.reason
    assert fault['function_name'] == 'prepare_destination'
    assert fault['module_name'] == 'livemig.virt.fake'
    assert 'prepare_destination' in fault['traceback']
    assert actions_of(deployment, instance)[1:] == [
        (
            'live-migration',
            'operator',
            [
                *PLACED,
                (WORK, 'host1', 'Error'),
                (PRE[0], 'host2', 'Error'),
                UNDO,
            ],
        )
    ]
    failed = [
        (m['publisher_id'], m['event_type'], m['priority'], m['payload'])
        for m in deployment.all_told()
        if 'prepare' in str(m['payload'])
        and 'instance.' not in m['event_type']
    ]
    (old, new) = failed
    assert old[:3] == ('compute.host2', 'pre_live_migration', 'ERROR')
    assert old[3]['args'] == {'migration_id': migration.id}
    assert new[:3] == ('nova-compute:host2', 'compute.exception', 'ERROR')
    assert new[3]['nova_object.name'] == 'ExceptionPayload'
    assert new[3]['nova_object.version'] == '1.1'
    assert new[3]['nova_object.data']['exception'] == 'DestinationNotPrepared'


def test_a_pre_check_that_refused(deploy):
    deployment = deploy(options=TOLD)
    deployment.world.fail('unreachable', 'host2')
    instance = deployment.boot()
    migration = deployment.migrate(instance, requested_host='host2')
    deployment.settled(instance, migration)
    check(deployment, instance, {'host1': CREATED})
    assert [
        (m['publisher_id'], m['event_type'], m['priority'])
        for m in deployment.told(instance)
        if 'conductor1' in m['publisher_id']
    ] == [
        (
            'compute_task.conductor1',
            'compute_task.migrate_server',
            'ERROR',
        ),
        (
            'nova-conductor:conductor1',
            'compute_task.migrate_server.error',
            'ERROR',
        ),
        (
            'compute_task.conductor1',
            'compute.instance.live_migration.end',
            'INFO',
        ),
        (
            'nova-conductor:conductor1',
            'instance.live_migration.end',
            'INFO',
        ),
    ]
    old, new, _, end = (
        m['payload']
        for m in deployment.told(instance)
        if 'conductor1' in m['publisher_id']
    )
    assert (old['method'], old['state']) == ('migrate_server', 'active')
    assert old['reason'] == migration.reason
    assert new['nova_object.name'] == 'ComputeTaskPayload'
    reason = new['nova_object.data']['reason']['nova_object.data']
    assert reason['exception'] == 'MigrationPreCheckError'
    assert reason['exception_message'] == migration.reason
    about = end['livemig.migration']['nova_object.data']
    assert about['status'] == migration.status == 'error'
    assert about['reason'] == migration.reason
    assert end['nova_object.data']['task_state'] is None
    placing = [(name, host, 'Error') for name, host, _ in PLACED]
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', placing),
    ]
    conductor, destination, source = (name for name, _, _ in PLACED)
    assert migration.reason.endswith('failed: host1: Connection refused')
    assert details(deployment, instance, 'live-migration')[0] == {
        conductor: migration.reason,
        destination: 'host1: Connection refused',
        source: 'host1: Connection refused',
    }


def test_a_driver_that_cannot_abort(deploy):
    deployment = deploy(options=[*SLOW, ('fake', 'without', ['abort'])])
    instance = deployment.boot(**BUSY)
    asked = []
    deployment.clock.at(10, lambda: asked.append(deployment.abort(migration)))

    def force_when_the_abort_is_forgotten():
        def forgotten():
            migration.refresh()
            return migration.abort_requested_at is None

        deployment.until(forgotten)
        deployment.force(migration)

    deployment.clock.at(20, force_when_the_abort_is_forgotten)
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + ABORT
            + ABORT.replace('start', 'error')
            + FORCE
            + MOVED
            + FORCED
            + END.format('completed', 'host2'),
            'host2': PREPARED + ARRIVED,
        },
        migration,
    )
    fault = told['live_migration_abort.error']['nova_object.data']['fault']
    refusal = 'The driver of host host1 cannot abort a migration.'
    assert fault['nova_object.data']['exception_message'] == refusal
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', WORKED),
        (
            'live_migration_cancel',
            'operator',
            [('compute_live_migration_abort', 'host1', 'Error')],
        ),
        ('live_migration_force_complete', 'operator', FORCE_EVENT),
        ('live-migration-paused-vm', 'operator', PAUSED),
    ]
    assert details(deployment, instance, 'live_migration_cancel')[0] == {
        'compute_live_migration_abort': refusal
    }


RESCUE = RESCUE_IMAGE | {'id': 'rescue-id', 'name': 'rescue name'}


def test_a_rescued_instance(deploy):
    deployment = deploy(options=TOLD)
    instance = deployment.boot(memory_mb=128, disks=DISKS)
    deployment.ask(instance, 'rescue', 'rescuing', rescue=RESCUE)
    deployment.worked(instance)
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    deployment.ask(instance, 'unrescue', 'unrescuing')
    deployment.worked(instance)
    story = MOVED + END.format('completed', 'host2')
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + """
rescue.start                  active   rescuing  host1 -
rescue.end                    rescued  -         host1 -
"""
            + story.replace(' active', ' rescued'),
            'host2': (PREPARED + ARRIVED).replace(' active', ' rescued')
            + """
unrescue.start                rescued  unrescuing host2 -
unrescue.end                  active   -          host2 -
""",
        },
        migration,
    )
    for phase in ('start', 'end'):
        data = told[f'rescue.{phase}']['nova_object.data']
        assert data['rescue_image_ref'] == 'rescue-id'
    names = {
        m['payload'].get('rescue_image_name')
        for m in split(deployment, instance)[1]
        if '.rescue.' in m['event_type']
    }
    assert names == {'rescue name'}
    assert actions_of(deployment, instance) == [
        CREATE,
        (
            'rescue',
            'operator',
            [('compute_rescue_instance', 'host1', 'Success')],
        ),
        ('live-migration', 'operator', WORKED),
        (
            'unrescue',
            'operator',
            [('compute_unrescue_instance', 'host2', 'Success')],
        ),
    ]


def test_deleted(deploy):
    deployment = deploy(options=TOLD)
    instance = deployment.boot()
    ctxt = deployment.context()
    assert instance.swap({'task_state': 'deleting'}, {'task_state': None})
    deployment.compute_api.terminate_instance(ctxt, 'host1', instance.uuid)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + """
delete.start                  active   deleting  host1 -
delete.end                    deleted  -         host1 -
"""
        },
    )
    data = told['delete.end']['nova_object.data']
    gone = type(instance).get(ctxt, instance.uuid, deleted=True)
    assert data['deleted_at'] == iso(gone.deleted_at) is not None
    assert data['terminated_at'] == data['deleted_at']
    assert told['create.end']['nova_object.data']['launched_at'] == iso(
        gone.launched_at
    )
    assert told['create.end']['nova_object.data']['power_state'] == 'running'
    assert told['create.start']['nova_object.data']['power_state'] == 'pending'


def test_a_broker_that_is_stuck_delays_nothing(deploy):
    deployment = deploy(
        options=[
            ('notifications', 'notification_format', 'both'),
            ('oslo_messaging_notifications', 'driver', ['messagingv2']),
        ]
    )
    stuck = {}
    for name, way in deployment.ways().items():
        transport = way._outbox._transport
        stuck[name] = transport._driver = Stuck(transport._driver)
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == 'completed'
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', WORKED),
    ]
    assert stuck['host1'].began.is_set()
    assert [one.sent for one in stuck.values()] == [[], [], []]
    for one in stuck.values():
        one.go_on.set()
    deployment.flush()
    first, *_, last = stuck['host1'].sent
    assert first == 'compute.instance.create.start'
    assert last == 'instance.live_migration.end'
    assert len(stuck['host1'].sent) == 2 * 5


@pytest.mark.parametrize(
    ('form', 'wanted'),
    [
        ('unversioned', {'compute.instance'}),
        ('versioned', {'instance'}),
        ('both', {'compute.instance', 'instance'}),
    ],
)
def test_the_forms_that_are_wanted(deploy, form, wanted):
    deployment = deploy(
        options=[*TOLD, ('notifications', 'notification_format', form)]
    )
    instance = deployment.boot()
    found = {
        re.match(r'(compute\.)?instance', m['event_type'])[0]
        for m in deployment.told(instance)
    }
    assert found == wanted
