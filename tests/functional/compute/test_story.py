"""One whole story per outcome: every notification and every action."""

from tests.functional.compute.stories import (
    ABORT,
    ABORTED,
    ARRIVED,
    BACK,
    BUSY,
    CAME_BACK,
    CREATE,
    CREATED,
    END,
    FORCE,
    FORCE_EVENT,
    FORCED,
    FORCES,
    MOVED,
    PAUSED,
    PLACED,
    POST_COPY,
    PRE,
    PREPARED,
    SLOW,
    TIMED_OUT,
    TIMEOUT,
    UNDONE,
    WORK,
    WORKED,
    actions_of,
    by_second,
    check,
    details,
    initiators,
)
from tests.functional.deployment import TOLD


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


def test_a_guest_that_is_lost(deploy):
    """Nobody can tell where it is: nothing is rolled back."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)

    def vanish():
        with deployment.world.present():
            source = deployment.world.hosts['host1']
            deployment.world.destroy(source, instance.uuid)

    deployment.clock.at(30, vanish)
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert (instance.vm_state, instance.task_state) == ('error', None)
    told = check(
        deployment,
        instance,
        {
            'host1': CREATED
            + END.format('error', 'host1').replace('active', 'error '),
            'host2': PREPARED,
        },
        migration,
    )
    end = told['live_migration.end']['livemig.migration']['nova_object.data']
    assert end['status'] == migration.status == 'error'
    assert 'gone from host1 and host2' in end['reason']
    assert actions_of(deployment, instance) == [
        CREATE,
        (
            'live-migration',
            'operator',
            [*PLACED, (WORK, 'host1', 'Error'), PRE],
        ),
    ]
    assert details(deployment, instance, 'live-migration')[0] == {
        WORK: migration.reason
    }


def test_aborted_in_the_queue(deploy):
    """Nothing was begun, so nothing is rolled back."""
    deployment = deploy(
        options=[*SLOW, ('DEFAULT', 'max_concurrent_live_migrations', 1)]
    )
    first, instance = deployment.boot(**BUSY), deployment.boot()
    before = deployment.migrate(first)
    migration = deployment.migrate(instance)
    migration.refresh()
    assert migration.status == 'queued'
    deployment.abort(migration)
    deployment.clock.at(10, lambda: deployment.abort(before))
    deployment.settled(instance, migration)
    check(
        deployment,
        instance,
        {
            'host1': CREATED
            + ABORT.replace('running', 'queued')
            + ABORTED
            + END.format('cancelled', 'host1')
        },
        migration,
    )
    assert actions_of(deployment, instance) == [
        CREATE,
        ('live-migration', 'operator', [*PLACED, (WORK, 'host1', 'Error')]),
        (
            'live_migration_cancel',
            'operator',
            [('compute_live_migration_abort', 'host1', 'Success')],
        ),
    ]


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
