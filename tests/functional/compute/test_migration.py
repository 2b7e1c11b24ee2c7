"""Whole migrations through all managers, each in milliseconds."""

from livemig.objects.migration_states import Status


def test_a_guest_moves(deployment):
    instance = deployment.boot('host1')
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED
    assert migration.completed_by == 'converged'
    assert migration.source_compute == 'host1'
    assert migration.dest_compute == 'host2'
    assert (instance.host, instance.node) == ('host2', 'host2')
    assert instance.task_state is None
    assert instance.vm_state == 'active'
    assert deployment.world.running(instance.uuid) == ('host2',)
    events = deployment.events(instance, migration.request_id)
    assert events == {
        'conductor_live_migrate_instance': ('Success', None),
        'compute_check_can_live_migrate_destination': ('Success', None),
        'compute_check_can_live_migrate_source': ('Success', None),
        'compute_live_migration': ('Success', None),
        'compute_pre_live_migration': ('Success', None),
        'compute_post_live_migration_at_destination': ('Success', None),
    }


# A guest that writes 80 MiB/s over 64 MiB never converges at 50 MiB/s.
BUSY = {'cmdline': 'ws=64 rate=20480', 'memory_mb': 128}
SLOW = [('libvirt', 'live_migration_bandwidth', 50)]
PERMIT_POST_COPY = [('libvirt', 'live_migration_permit_post_copy', True)]
NO_TIMEOUT = [('libvirt', 'live_migration_completion_timeout', 0)]


def at_source(deployment, instance, migration):
    """The roll-back left everything as it was before."""
    assert instance.host == 'host1'
    assert instance.task_state is None
    assert instance.vm_state == 'active'
    assert deployment.world.running(instance.uuid) == ('host1',)
    assert deployment.world.leftovers(instance.uuid) == []


def test_a_busy_guest_is_aborted_and_stays(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    asked = []
    deployment.clock.at(30, lambda: asked.append(deployment.abort(migration)))
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.CANCELLED
    assert migration.reason.startswith('Aborted on request of user operator.')
    at_source(deployment, instance, migration)
    assert deployment.events(instance, asked[0].request_id) == {
        'compute_live_migration_abort': ('Success', None)
    }
    result, details = deployment.events(instance, migration.request_id)[
        'compute_live_migration'
    ]
    assert (result, details) == ('Error', migration.reason)


def test_a_busy_guest_is_forced_by_pausing(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    asked = []
    deployment.clock.at(30, lambda: asked.append(deployment.force(migration)))
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED
    assert migration.completed_by == 'pause'
    assert migration.downtime_ms < 1000
    assert instance.host == 'host2'
    assert deployment.world.running(instance.uuid) == ('host2',)
    assert deployment.events(instance, asked[0].request_id) == {
        'compute_live_migration_force_complete': ('Success', None)
    }
    paused = [
        row
        for row in deployment.database.action_list(instance.uuid, {})
        if row['action'] == 'live-migration-paused-vm'
    ]
    assert len(paused) == 1
    (event,) = deployment.events(instance, paused[0]['request_id']).values()
    assert event[0] == 'Success'
    assert f'Migration {migration.id}:' in event[1]


def test_a_busy_guest_is_forced_by_post_copy(deploy):
    deployment = deploy(options=SLOW + PERMIT_POST_COPY)
    instance = deployment.boot(**BUSY)
    deployment.clock.at(30, lambda: deployment.force(migration))
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED
    assert migration.completed_by == 'post-copy'
    assert migration.downtime_ms is None
    assert instance.host == 'host2'


def test_force_end_pauses_where_post_copy_is_permitted(deploy):
    deployment = deploy(options=SLOW + PERMIT_POST_COPY)
    instance = deployment.boot(**BUSY)
    deployment.clock.at(30, lambda: deployment.force(migration, 'pause'))
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.completed_by == 'pause'


def test_post_copy_that_stays_refused_pauses(deploy):
    deployment = deploy(options=SLOW + PERMIT_POST_COPY)
    instance = deployment.boot(**BUSY)
    deployment.world.fail('post-copy-refused', 'host1')
    deployment.clock.at(30, lambda: deployment.force(migration))
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED
    assert migration.completed_by == 'pause'


def test_the_timeout_aborts(deploy):
    deployment = deploy(
        options=[*SLOW, ('libvirt', 'live_migration_completion_timeout', 20)]
    )
    instance = deployment.boot(**BUSY)
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    # 20 s per GiB, 2 GiB at the least.
    assert migration.timeout_s == 40
    assert migration.status == Status.CANCELLED
    assert 'completion timeout of 40 s' in migration.reason
    at_source(deployment, instance, migration)
    actions = deployment.database.action_list(instance.uuid, {})
    (cancel,) = [a for a in actions if a['action'] == 'live_migration_cancel']
    assert cancel['user_id'] is None
    assert cancel['request_id'] != migration.request_id
    assert deployment.events(instance, cancel['request_id']) == {
        'compute_live_migration_abort': ('Success', None)
    }


def test_the_timeout_forces(deploy):
    deployment = deploy(
        options=[
            *SLOW,
            ('libvirt', 'live_migration_completion_timeout', 20),
            ('libvirt', 'live_migration_timeout_action', 'force_complete'),
        ]
    )
    instance = deployment.boot(**BUSY)
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED
    assert migration.completed_by == 'pause'
    actions = deployment.database.action_list(instance.uuid, {})
    assert sorted(a['action'] for a in actions) == [
        'create',
        'live-migration',
        'live-migration-paused-vm',
        'live_migration_force_complete',
    ]


def test_a_timeout_of_0_never_comes(deploy):
    deployment = deploy(options=SLOW + NO_TIMEOUT)
    instance = deployment.boot(**BUSY)
    deployment.clock.at(10_000, lambda: deployment.abort(migration))
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.CANCELLED
    assert 'on request' in migration.reason
    assert migration.timeout_s == 0


def test_a_driver_that_cannot_abort_says_so(deploy):
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
    assert migration.status == Status.COMPLETED
    assert deployment.events(instance, asked[0].request_id) == {
        'compute_live_migration_abort': (
            'Error',
            'The driver of host host1 cannot abort a migration.',
        )
    }


def test_a_destination_that_cannot_be_reached_is_refused(deployment):
    deployment.world.fail('unreachable', 'host2')
    instance = deployment.boot()
    migration = deployment.migrate(instance, requested_host='host2')
    deployment.settled(instance, migration)
    assert migration.status == Status.ERROR
    assert 'host1: ' in migration.reason
    at_source(deployment, instance, migration)


def test_a_transfer_that_breaks_is_rolled_back(deployment):
    deployment.world.fail('transfer-breaks', 'host1', after_s=0.1)
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.FAILED
    assert 'The transfer from host1 to host2 failed' in migration.reason
    at_source(deployment, instance, migration)


def test_a_guest_that_shuts_itself_down_is_not_lost(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    deployment.clock.at(
        20, lambda: deployment.world.shut_down_guest(instance.uuid)
    )
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.FAILED
    assert instance.host == 'host1'
    assert instance.task_state is None
    assert instance.vm_state == 'stopped'
