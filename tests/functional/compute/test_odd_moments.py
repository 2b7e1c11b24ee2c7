"""Requests, restarts, deletions and clocks that come at odd moments."""

from __future__ import annotations

import datetime
import threading

import pytest

from livemig import exception
from livemig.objects import action as actions
from livemig.objects.instance import Instance
from livemig.objects.migration_states import Event, Status
from tests.functional.compute.test_faults import (
    BUSY,
    SLOW,
    go_on,
    hold,
    moved,
    plan,
    stayed,
)

DISK = {'device': 'vda', 'format': 'qcow2', 'size_bytes': 64 * 1024**2}
#: Long enough to see who does not wait; who waits is never disturbed.
LOOK_S = 0.2


def disks_on(deployment, host, instance):
    storage = deployment.world.hosts[host].storage
    return sorted(storage.directories.get(instance.uuid, ()))


def placed(deployment, instance, *events):
    """A migration that nobody began, at the status these events lead to."""
    migration = deployment.begin(instance)
    plan(deployment, migration)
    for event in events:
        migration.fire(event)
    return migration


# -- the destination --------------------------------------------------------
def test_a_roll_back_waits_for_what_is_still_being_prepared(deployment):
    """The source's manager was killed while the destination made the
    disks; the next one rolls back, and nothing is made after that."""
    instance = deployment.boot(disks=[DISK])
    migration = placed(deployment, instance, Event.ENQUEUE, Event.PREPARE)
    there = deployment.managers['host2']
    prepare = there._driver.prepare_destination
    began, may_end = threading.Event(), threading.Event()

    def slowly(its_plan):
        began.set()
        assert may_end.wait(20)
        prepare(its_plan)

    there._driver.prepare_destination = slowly
    ctxt = deployment.context()
    first = threading.Thread(
        target=there.pre_live_migration, args=(ctxt, migration.id)
    )
    second = threading.Thread(
        target=there.rollback_live_migration_at_destination,
        args=(ctxt, migration.id),
    )
    first.start()
    assert began.wait(20)
    second.start()
    second.join(LOOK_S)
    assert second.is_alive(), 'it did not wait for its turn'
    may_end.set()
    first.join(20)
    second.join(20)
    assert disks_on(deployment, 'host2', instance) == []
    assert there._driver.prepared() == []


def test_another_guest_is_prepared_meanwhile(deployment):
    there = deployment.managers['host2']
    turns = there._incoming._turns
    migration = placed(
        deployment, deployment.boot(), Event.ENQUEUE, Event.PREPARE
    )
    with turns.of('another guest'):
        there.pre_live_migration(deployment.context(), migration.id)
    assert there._driver.prepared()


# -- deletions --------------------------------------------------------------
def delete(deployment, instance):
    """What DELETE of a server does."""
    assert instance.swap({'task_state': 'deleting'}, {})
    deployment.compute_api.terminate_instance(
        deployment.context(), instance.host, instance.uuid
    )


def lost(deployment, instance):
    """A migration that ended in error; it has left its disks at host2."""
    migration = placed(deployment, instance, Event.ENQUEUE, Event.PREPARE)
    there = deployment.managers['host2']
    there.pre_live_migration(deployment.context(), migration.id)
    migration.fire(Event.START)
    migration.fire(
        Event.LOSE,
        {'reason': 'Nobody knows.'},
        {'task_state': None, 'vm_state': 'error'},
    )
    instance.refresh()
    assert disks_on(deployment, 'host2', instance) == ['vda']


def test_a_lost_guest_that_is_deleted_is_gone_on_both(deployment):
    instance = deployment.boot(disks=[DISK])
    lost(deployment, instance)
    delete(deployment, instance)
    for host in ('host1', 'host2'):
        assert disks_on(deployment, host, instance) == []
    assert deployment.world.living(instance.uuid) == ()
    assert deployment.managers['host2']._driver.prepared() == []


def test_what_a_lost_guest_left_goes_when_it_has_been_deleted(deployment):
    """The message that says so was lost."""
    instance = deployment.boot(disks=[DISK])
    lost(deployment, instance)
    there = deployment.managers['host2']
    there.tidy_up()
    assert disks_on(deployment, 'host2', instance) == ['vda']
    assert instance.destroy()
    there.tidy_up()
    assert disks_on(deployment, 'host2', instance) == []
    assert there._driver.prepared() == []


@pytest.mark.parametrize('strange', ['instance_uuid', 'dest_compute'])
def test_another_livemigs_migration_of_the_same_number(
    deployment, monkeypatch, strange
):
    """The database was restored from a backup and counts anew, or another
    livemig uses the same hypervisor: by its number alone, a migration that
    was cancelled looks like the one of a guest that is just arriving."""
    instance, other = deployment.boot(disks=[DISK]), deployment.boot()
    there = deployment.managers['host2']
    migration = placed(deployment, instance, Event.ENQUEUE, Event.PREPARE)
    there.pre_live_migration(deployment.context(), migration.id)
    row = deployment.database.migration_get(migration.id)
    row |= {
        'status': 'cancelled',
        strange: {'instance_uuid': other.uuid, 'dest_compute': 'host3'}[
            strange
        ],
    }
    monkeypatch.setattr(
        deployment.database, 'migration_get', lambda migration_id: row
    )
    there.tidy_up()
    assert disks_on(deployment, 'host2', instance) == ['vda']
    assert there._driver.prepared() == [(instance.uuid, migration.id)]


def test_a_guest_that_moved_into_an_error_leaves_nothing_at_its_source(
    deployment,
):
    """The work after its move failed: what was left at the source had
    stayed there."""
    instance = deployment.boot(disks=[DISK])

    def fails(guest_id, migration_id):
        raise exception.HypervisorError(host='host2', reason='no space left')

    deployment.managers['host2']._driver.finish_destination = fails
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert (migration.status, instance.host) == (Status.ERROR, 'host2')
    assert disks_on(deployment, 'host1', instance) == ['vda']
    delete(deployment, instance)
    assert Instance.get(deployment.ctxt, instance.uuid, deleted=True).deleted
    for host in ('host1', 'host2'):
        assert disks_on(deployment, host, instance) == []


# -- requests and restarts --------------------------------------------------
def test_a_request_that_meets_a_runner_in_the_making_is_not_lost(deploy):
    """The message found nobody; a moment later the migration was in the
    hands of a runner that had read the record before the request."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    registry = deployment.managers['host1'].registry
    get, not_yet = registry.get, [None]
    registry.get = lambda key: not_yet.pop() if not_yet else get(key)
    deployment.abort(migration)
    assert not not_yet
    go_on(deployment)
    stayed(deployment, instance, migration, Status.CANCELLED)
    assert migration.reason.startswith('Aborted on request')


def test_the_timeout_counts_from_the_start_across_a_restart(deploy):
    """20 s for each of 2 GiB; the manager is away in between."""
    deployment = deploy(
        options=[*SLOW, ('libvirt', 'live_migration_completion_timeout', 20)]
    )
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 30)
    deployment.stop_manager('host1')
    deployment.start_manager('host1')
    go_on(deployment)
    stayed(deployment, instance, migration, Status.CANCELLED)
    assert 'completion timeout of 40 s' in migration.reason
    assert 40 <= deployment.clock.monotonic_s() < 60


@pytest.mark.parametrize('how', ['reload', 'restart'])
def test_the_record_tells_the_timeout_that_holds(deploy, how):
    name = 'live_migration_completion_timeout'
    deployment = deploy(options=[*SLOW, ('libvirt', name, 100)])
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    assert migration.timeout_s == 200
    if how == 'reload':
        manager = deployment.managers['host1']
        manager._conf.set_override(name, 20, 'libvirt')
        manager.reload()
    else:
        deployment.stop_manager('host1')
        deployment.start_manager('host1', [('libvirt', name, 20)])
    go_on(deployment)
    stayed(deployment, instance, migration, Status.CANCELLED)
    assert migration.timeout_s == 40
    assert 'completion timeout of 40 s' in migration.reason


def ended_and_killed(deployment, instance):
    """A cancelled migration whose manager died before it said so."""
    migration = placed(
        deployment, instance, Event.ENQUEUE, Event.PREPARE, Event.START
    )
    ctxt = deployment.context()
    migration.request_abort(
        ctxt.user_id,
        ctxt.request_id,
        actions.values(ctxt, instance.uuid, actions.ABORT),
    )
    for request_id, event in (
        (migration.request_id, 'compute_live_migration'),
        (ctxt.request_id, 'compute_live_migration_abort'),
    ):
        deployment.database.event_start(
            instance.uuid, request_id, {'event': event, 'host': 'host1'}
        )
    migration.fire(Event.ABORT, {'reason': 'Aborted.'}, {'task_state': None})
    return migration, ctxt


def test_a_manager_killed_before_its_last_words_has_them_told(deployment):
    instance = deployment.boot()
    migration, asked = ended_and_killed(deployment, instance)
    for _ in range(2):
        deployment.stop_manager('host1')
        deployment.start_manager('host1')
        row = deployment.database.action_get(instance.uuid, asked.request_id)
        (abort,) = row['events']
        assert (abort['result'], abort['details']) == ('Success', None)
        work = deployment.events(instance, migration.request_id)
        assert work['compute_live_migration'] == ('Error', 'Aborted.')


# -- the conductor ----------------------------------------------------------
def test_a_claim_of_a_clock_that_was_put_back_is_as_old_as_any(deployment):
    instance = deployment.boot()
    migration = deployment.begin(instance)
    ahead = deployment.clock.now() + datetime.timedelta(hours=1)
    assert migration.claim('a conductor that died', ahead, 60)
    deployment.conductor.run_periodic_tasks()
    moved(deployment, instance, migration)


def test_a_migration_whose_source_has_gone_before_it_began_ends(deployment):
    """Placed, but nobody is there to begin it: the server is not busy for
    as long as its host is away."""
    instance = deployment.boot()
    migration = placed(deployment, instance)
    deployment.stop_manager('host1')
    deployment.clock._epoch = migration.created_at
    deployment.clock.advance(61)
    deployment.managers['host2'].report()
    with pytest.raises(exception.LivemigError):
        deployment.conductor.migrate_server(migration._context, migration.id)
    deployment.start_manager('host1')
    stayed(deployment, instance, migration, Status.ERROR)
    assert 'host1' in migration.reason
