"""Managers that die, messages that get lost, requests at odd moments."""

import pytest

from livemig import exception
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event, Status
from livemig.virt.job import Power
from livemig.virt.simulation.host import Limits

BUSY = {'cmdline': 'ws=64 rate=20480', 'memory_mb': 128}
SLOW = [('libvirt', 'live_migration_bandwidth', 50)]
CONVERGES = {'cmdline': 'ws=64 rate=5120', 'memory_mb': 128}


def moved(deployment, instance, migration):
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED
    assert (instance.host, instance.task_state) == ('host2', None)
    assert deployment.world.running(instance.uuid) == ('host2',)
    assert deployment.world.leftovers(instance.uuid) == []


def stayed(deployment, instance, migration, status):
    deployment.settled(instance, migration)
    assert migration.status == status
    assert (instance.host, instance.task_state) == ('host1', None)
    assert deployment.world.running(instance.uuid) == ('host1',)
    assert deployment.world.leftovers(instance.uuid) == []


def hold(deployment, instance, at_s, **values):
    """A migration that stands still at a moment of virtual time."""
    migration = deployment.migrate(instance, **values)
    deployment.clock.limit_s = at_s
    deployment.clock.until(at_s)
    migration.refresh()
    return migration


def go_on(deployment):
    deployment.clock.limit_s = float('inf')


def test_a_restarted_manager_takes_a_running_transfer_up_again(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    assert migration.status == Status.RUNNING
    deployment.stop_manager('host1')
    deployment.start_manager('host1')
    deployment.force(migration)
    go_on(deployment)
    moved(deployment, instance, migration)


def test_a_transfer_that_ended_while_the_manager_was_away(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**CONVERGES)
    migration = hold(deployment, instance, 1)
    assert migration.status == Status.RUNNING
    deployment.stop_manager('host1')
    go_on(deployment)
    deployment.clock.advance(60)
    assert deployment.world.running(instance.uuid) == ('host2',)
    deployment.start_manager('host1')
    moved(deployment, instance, migration)


def test_a_transfer_that_broke_while_the_manager_was_away(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    deployment.world.fail('transfer-breaks', 'host1', after_s=15)
    migration = hold(deployment, instance, 10)
    deployment.stop_manager('host1')
    go_on(deployment)
    deployment.clock.advance(60)
    deployment.start_manager('host1')
    stayed(deployment, instance, migration, Status.FAILED)


@pytest.mark.parametrize(
    ('way', 'end'),
    [
        ([], Status.COMPLETED),
        ([Event.ENQUEUE], Status.COMPLETED),
        ([Event.ENQUEUE, Event.PREPARE], Status.COMPLETED),
        # It died before it told the hypervisor: nothing was begun.
        ([Event.ENQUEUE, Event.PREPARE, Event.START], Status.FAILED),
    ],
    ids=['accepted', 'queued', 'preparing', 'running'],
)
def test_a_manager_that_died_in_a_status_goes_on_there(deploy, way, end):
    """The record as a manager leaves it that dies right after writing."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**CONVERGES)
    migration = deployment.begin(instance)
    plan(deployment, migration)
    deployment.stop_manager('host1')
    for event in way:
        migration.fire(event)
    deployment.start_manager('host1')
    if end is Status.COMPLETED:
        moved(deployment, instance, migration)
    else:
        stayed(deployment, instance, migration, end)


def plan(deployment, migration):
    """Place the migration as the conductor does, but cast nothing."""
    from livemig.conductor.live_migrate import Placement

    Placement(
        deployment.conf,
        deployment.conductor._compute_api,
        deployment.clock,
        migration._context,
        migration,
    ).place()


def test_a_manager_that_died_in_post_migrating(deployment):
    instance = deployment.boot()
    migration = hold(deployment, instance, 0.5)
    deployment.stop_manager('host1')
    deployment.clock.limit_s = 60
    deployment.clock.advance(59)
    assert deployment.world.running(instance.uuid) == ('host2',)
    migration.fire(
        Event.MEMORY_COPIED, None, {'host': 'host2', 'node': 'host2'}
    )
    deployment.start_manager('host1')
    moved(deployment, instance, migration)


def test_an_accepted_migration_nobody_placed_is_placed_again(deployment):
    instance = deployment.boot()
    migration = deployment.begin(instance)
    deployment.clock._epoch = migration.created_at
    deployment.conductor.run_periodic_tasks()
    migration.refresh()
    assert migration.status == Status.ACCEPTED
    deployment.clock.advance(61)
    for manager in deployment.managers.values():
        manager.report()
    deployment.conductor.run_periodic_tasks()
    moved(deployment, instance, migration)


def test_a_lost_abort_is_found_on_the_record(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    migration.request_abort('operator', 'req-lost')
    deployment.managers['host1'].look_for_work()
    go_on(deployment)
    stayed(deployment, instance, migration, Status.CANCELLED)


def test_one_runs_and_the_next_waits_for_its_turn(deploy):
    deployment = deploy(
        options=[*SLOW, ('DEFAULT', 'max_concurrent_live_migrations', 1)]
    )
    first = deployment.boot(**CONVERGES)
    second = deployment.boot(**CONVERGES)
    one = hold(deployment, first, 1)
    two = deployment.migrate(second)
    two.refresh()
    assert (one.status, two.status) == (Status.RUNNING, Status.QUEUED)
    go_on(deployment)
    moved(deployment, first, one)
    moved(deployment, second, two)


def test_a_queued_migration_is_aborted_at_once(deploy):
    deployment = deploy(
        options=[*SLOW, ('DEFAULT', 'max_concurrent_live_migrations', 1)]
    )
    first = deployment.boot(**CONVERGES)
    second = deployment.boot(**CONVERGES)
    one = hold(deployment, first, 1)
    two = deployment.migrate(second)
    asked = deployment.abort(two)
    deployment.until(
        lambda: Migration.get(two._context, two.id).status == 'cancelled'
    )
    go_on(deployment)
    moved(deployment, first, one)
    stayed(deployment, second, two, Status.CANCELLED)
    assert deployment.events(second, asked.request_id) == {
        'compute_live_migration_abort': ('Success', None)
    }


def test_a_second_abort_names_the_first(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    first = deployment.abort(migration)
    with pytest.raises(exception.AbortUnderWay, match=first.request_id):
        deployment.abort(migration)
    with pytest.raises(exception.AbortUnderWay):
        deployment.force(migration)
    go_on(deployment)
    stayed(deployment, instance, migration, Status.CANCELLED)


def test_a_second_force_changes_nothing(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    deployment.force(migration)
    deployment.force(migration)
    go_on(deployment)
    moved(deployment, instance, migration)
    rows = deployment.database.action_list(instance.uuid, {})
    assert [r['action'] for r in rows].count(
        'live_migration_force_complete'
    ) == 1


def test_a_paused_guest_moves_paused_and_is_not_paused_again(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    deployment.managers['host1']._driver.pause(instance.uuid)
    migration = hold(deployment, instance, 2)
    deployment.force(migration)
    go_on(deployment)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED
    state = deployment.managers['host2']._driver.guest_state(instance.uuid)
    assert (state.power, state.reason) == ('paused', 'user')
    rows = deployment.database.action_list(instance.uuid, {})
    assert 'live-migration-paused-vm' not in [r['action'] for r in rows]


def test_a_server_deleted_while_it_migrates_is_gone_on_both(deploy):
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    assert instance.swap({'task_state': 'deleting'}, {})
    api = deployment.managers['host1']._compute_api
    api.terminate_instance(deployment.context(), 'host1', instance.uuid)
    go_on(deployment)
    deployment.settled(migration)
    assert migration.status == Status.CANCELLED
    assert 'deleted' in migration.reason
    deployment.until(
        lambda: (
            Instance.get(deployment.ctxt, instance.uuid, deleted=True).deleted
        )
    )
    assert deployment.world.running(instance.uuid) == ()
    assert deployment.world.leftovers(instance.uuid) == []


def test_a_late_message_does_nothing(deployment):
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    moved(deployment, instance, migration)
    ctxt = deployment.context()
    api = deployment.conductor._compute_api
    api.live_migration(ctxt, 'host1', migration.id)
    api.live_migration_abort(ctxt, 'host1', migration.id)
    api.live_migration_force_complete(ctxt, 'host1', migration.id)
    with pytest.raises(exception.StateConflict):
        api.pre_live_migration(ctxt, 'host2', migration.id)
    with pytest.raises(exception.HypervisorError):
        api.rollback_live_migration_at_destination(ctxt, 'host2', migration.id)
    moved(deployment, instance, migration)


def test_all_reasons_are_told_when_no_host_will_do(deploy):
    deployment = deploy(hosts=('host1', 'host2', 'host3'))
    deployment.world.fail('unreachable', 'host2')
    instance = deployment.boot(memory_mb=64)
    deployment.database.service_update(
        [
            s['uuid']
            for s in deployment.database.service_list({'host': 'host3'})
        ][0],
        {'disabled': True, 'disabled_reason': 'a new fan'},
    )
    migration = deployment.migrate(instance)
    stayed(deployment, instance, migration, Status.ERROR)
    assert 'a new fan' in migration.reason
    assert 'host1: ' in migration.reason


def test_the_source_itself_is_no_destination(deployment):
    instance = deployment.boot()
    migration = deployment.migrate(instance, requested_host='host1')
    stayed(deployment, instance, migration, Status.ERROR)
    assert 'host1: the instance runs there already.' in migration.reason


@pytest.mark.parametrize('restarted', [False, True])
def test_a_forced_pause_that_does_not_arrive_is_rolled_back(deploy, restarted):
    """The link is cut after the pause: the guest must not stay paused, nor
    keep the limits that were lifted for it."""
    deployment = deploy(
        options=[*SLOW, ('libvirt', 'live_migration_forced_pause_limit', 3)]
    )
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    deployment.world.cut('host1', 'host2')
    deployment.force(migration)
    guest = deployment.world.hosts['host1'].guests[instance.uuid]
    if restarted:
        deployment.clock.limit_s = 22
        deployment.until(lambda: guest.power is Power.PAUSED)
        deployment.stop_manager('host1')
        deployment.start_manager('host1')
    go_on(deployment)
    stayed(deployment, instance, migration, Status.CANCELLED)
    assert 'forced pause had not arrived after 3 s' in migration.reason
    # 50 ms is the first step to the 500 ms of the options.
    assert guest.limits == Limits(bandwidth_mib_s=50, max_downtime_ms=50)


def test_disks_are_copied_where_hosts_share_none(deployment):
    disk = {
        'device': 'vda',
        'format': 'qcow2',
        'size_bytes': 64 * 1024**2,
        'image_file': '/images/base',
    }
    instance = deployment.boot(disks=[disk])
    migration = deployment.migrate(instance)
    moved(deployment, instance, migration)
    assert migration.block_migration is True


def test_an_abort_in_post_copy_is_refused(deploy):
    deployment = deploy(
        options=[*SLOW, ('libvirt', 'live_migration_permit_post_copy', True)]
    )
    instance = deployment.boot(**BUSY)
    deployment.world.hosts['host1'].pace = deployment.world.hosts[
        'host1'
    ].pace.__class__(link_bytes_per_s=4.0 * 1024**2)
    migration = hold(deployment, instance, 60)
    deployment.force(migration)
    deployment.clock.limit_s = 63
    deployment.until(
        lambda: (
            Migration.get(migration._context, migration.id).status
            == Status.POST_COPY
        )
    )
    with pytest.raises(exception.InvalidMigrationState):
        deployment.abort(migration)
    go_on(deployment)
    moved(deployment, instance, migration)
