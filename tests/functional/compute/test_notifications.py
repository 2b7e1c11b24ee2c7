"""Stories beside the migration's own way, and notifications nobody takes."""

import re

import pytest

from livemig import exception
from livemig.objects import action as actions
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
    by_second,
    check,
    details,
    initiators,
    iso,
    split,
)
from tests.functional.compute.test_power import DISKS, RESCUE_IMAGE
from tests.functional.compute.test_review import a_minute_later
from tests.functional.deployment import TOLD
from tests.functional.test_rpc_notifier import Stuck


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


def delete(deployment, instance, nudge=True):
    """What DELETE does; by another user than made it."""
    ctxt = by_second(deployment).context()
    actions.start(ctxt, instance.uuid, 'delete')
    assert instance.swap({'task_state': 'deleting'}, {})
    if nudge:
        deployment.compute_api.terminate_instance(ctxt, 'host1', instance.uuid)
    return ctxt.request_id


DELETE = (
    'delete',
    'second',
    [('compute_terminate_instance', 'host1', 'Success')],
)


@pytest.mark.parametrize('nudge', [True, False])
def test_deleted(deploy, nudge):
    """It is the request of who asked, also if its message is lost."""
    deployment = deploy(options=TOLD)
    instance = deployment.boot()
    ctxt = deployment.context()
    asked = delete(deployment, instance, nudge)
    if not nudge:
        deployment.stop_manager('host1')
        deployment.start_manager('host1')
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
    assert actions_of(deployment, instance) == [CREATE, DELETE]
    assert initiators(told, 'delete') == {(asked, 'second')}
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
    asked = []
    deployment.clock.at(30, lambda: asked.append(delete(deployment, instance)))
    migration = deployment.migrate(instance)
    deployment.settled(migration)
    assert migration.status == 'cancelled'
    told = check(
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
        ('live-migration', 'operator', CAME_BACK),
        DELETE,
    ]
    assert initiators(told, 'delete') == {(asked[0], 'second')}
    assert details(deployment, instance, 'live-migration')[0] == {
        WORK: migration.reason
    }


class AwayFirst:
    """A hypervisor that is away for so many calls of one method."""

    def __init__(self, manager, method, times=2):
        self._call = getattr(manager._driver, method)
        self._host = manager.host
        self.left = times
        setattr(manager._driver, method, self)

    def __call__(self, *args):
        if self.left:
            self.left -= 1
            raise exception.HypervisorUnavailable(
                host=self._host, reason='its daemon is restarted'
            )
        return self._call(*args)


def test_made_when_the_hypervisor_is_back(deploy):
    """The event lasts until then, and is the request's of who asked."""
    deployment = deploy(options=TOLD)
    away = AwayFirst(deployment.managers['host1'], 'spawn', times=1)
    instance = deployment.create()
    assert (instance.vm_state, away.left) == ('building', 0)
    assert deployment.events(instance, instance.request_id) == {
        'compute_build_instance': (None, None)
    }
    deployment.managers['host1'].run_periodic_tasks()
    instance.refresh()
    assert instance.vm_state == 'active'
    assert actions_of(deployment, instance) == [CREATE]
    told = check(
        deployment,
        instance,
        {'host1': CREATED.split('create.end')[0] + CREATED},
    )
    assert initiators(told, 'create') == {(instance.request_id, 'operator')}


def test_deleted_when_the_hypervisor_is_back(deploy):
    deployment = deploy(options=TOLD)
    instance = deployment.boot()
    manager = deployment.managers['host1']
    away = AwayFirst(manager, 'destroy', times=1)
    delete(deployment, instance)
    assert away.left == 0
    manager.run_periodic_tasks()
    assert actions_of(deployment, instance) == [CREATE, DELETE]


def test_finished_when_the_destinations_hypervisor_is_back(deploy):
    """The source asks again and again; it is told once."""
    deployment = deploy(options=TOLD)
    away = AwayFirst(deployment.managers['host2'], 'finish_destination')
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert (migration.status, away.left) == ('completed', 0)
    check(
        deployment,
        instance,
        {
            'host1': CREATED + MOVED + END.format('completed', 'host2'),
            'host2': PREPARED + ARRIVED,
        },
        migration,
    )
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', WORKED),
    ]


def test_placed_when_the_broker_is_back(deploy):
    """It goes on being looked for; nothing has failed."""
    deployment = deploy()
    instance = deployment.boot()
    api = deployment.conductor._compute_api
    ask = api.check_can_live_migrate_destination
    answers = [exception.BrokerUnreachable(limit_s='10')]

    def away_first(*args):
        if answers:
            raise answers.pop()
        return ask(*args)

    api.check_can_live_migrate_destination = away_first
    migration = deployment.migrate(instance)
    migration.refresh()
    assert (migration.status, answers) == ('accepted', [])
    assert deployment.events(instance, migration.request_id) == {
        PLACED[0][0]: (None, None)
    }
    a_minute_later(deployment, migration.created_at)
    deployment.settled(instance, migration)
    assert migration.status == 'completed'
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', WORKED),
    ]


def test_no_host_can_make_it(deploy):
    deployment = deploy(options=TOLD)
    instance = deployment.create(memory_mb=10**9)
    assert actions_of(deployment, instance) == [
        (
            'create',
            'operator',
            [('conductor_build_instance', 'conductor1', 'Error')],
        )
    ]
    said, request_id = details(deployment, instance, 'create')
    assert 'host1: ' in said['conductor_build_instance']
    [fault] = deployment.database.instance_faults([instance.uuid])
    assert fault['message'] == 'No valid host was found.'
    assert fault['details'] == said['conductor_build_instance']
    old, new = deployment.told(instance)
    for message, publisher, event_type in (
        (old, 'compute_task.conductor1', 'compute.instance.create.error'),
        (new, 'nova-conductor:conductor1', 'instance.create.error'),
    ):
        assert message['publisher_id'] == publisher
        assert message['event_type'] == event_type
        assert message['priority'] == 'ERROR'
    data = new['payload']['nova_object.data']
    assert (data['state'], data['host']) == ('error', 'host1')
    assert data['request_id'] == request_id
    fault = data['fault']['nova_object.data']
    assert fault['exception'] == 'NoValidHost'
    assert fault['exception_message'] == said['conductor_build_instance']


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
