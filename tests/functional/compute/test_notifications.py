"""Stories beside the migration's own way, and notifications nobody takes."""

import re

import pytest

from tests.functional.compute.stories import (
    ARRIVED,
    BACK,
    BUSY,
    CAME_BACK,
    CREATE,
    CREATED,
    END,
    MOVED,
    PLACED,
    PRE,
    PREPARED,
    SLOW,
    UNDO,
    UNDONE,
    WORK,
    WORKED,
    actions_of,
    check,
    details,
    iso,
    split,
)
from tests.functional.compute.test_power import DISKS, RESCUE_IMAGE
from tests.functional.compute.test_review import delete
from tests.functional.deployment import TOLD
from tests.unit.test_rpc_notifier import Stuck


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


def test_deleted_while_it_migrates(deploy):
    """It comes back, then it goes; nobody has asked for an abort."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    deployment.clock.at(30, lambda: delete(deployment, instance))
    migration = deployment.migrate(instance)
    deployment.settled(migration)
    assert migration.status == 'cancelled'
    check(
        deployment,
        instance,
        {
            'host1': CREATED
            + (BACK.format('cancelled') + END.format('cancelled', 'host1'))
            .replace('migrating', 'deleting')
            .replace(' - ', ' deleting ')
            + """
delete.start                  active   deleting  host1 -
delete.end                    deleted  -         host1 -
""",
            'host2': PREPARED + UNDONE.replace('migrating', 'deleting'),
        },
    )
    assert actions_of(deployment, instance)[1:] == [
        ('live-migration', 'operator', CAME_BACK)
    ]
    assert details(deployment, instance, 'live-migration')[0] == {
        WORK: migration.reason
    }


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
