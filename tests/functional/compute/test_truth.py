"""Records that are older than the world, hosts that are gone for good, and
what a lost guest must not come back from."""

from __future__ import annotations

import datetime
import time

import pytest

from livemig import exception
from livemig.compute import rpcapi, runner
from livemig.objects.service import Service
from livemig.virt.job import GuestState, Power, Reason

DISK = {'device': 'vda', 'format': 'qcow2', 'size_bytes': 2**20}
LATER = datetime.datetime(2136, 1, 1, tzinfo=datetime.UTC)
PATIENCE_S = 20


def state_at(deployment, host, instance):
    return deployment.managers[host]._driver.guest_state(instance.uuid)


def disks_at(deployment, host, instance):
    directories = deployment.world.hosts[host].storage.directories
    return sorted(directories.get(instance.uuid, ()))


def died_over_there(deployment, instance):
    """The source's manager is away while the guest arrives at host2, works
    there, and crashes."""
    deployment.clock.limit_s = 0.0
    migration = deployment.migrate(instance)
    deployment.until(
        lambda: (
            deployment.database.migration_get(migration.id)['status']
            == 'running'
        )
    )
    deployment.stop_manager('host1')
    deployment.clock.limit_s = deployment.clock.monotonic_s() + 600
    deployment.clock.advance(600)
    assert state_at(deployment, 'host2', instance).power is Power.RUNNING
    guest = deployment.world.hosts['host2'].guests[instance.uuid]
    guest.set(Power.SHUTOFF, Reason.CRASHED)
    deployment.start_manager('host1')
    deployment.settled(migration, instance)
    assert migration.status == 'error'
    return migration


def delete(deployment, instance):
    instance.update_values(task_state='deleting')
    deployment.compute_api.terminate_instance(
        deployment.context(), instance.host, instance.uuid
    )
    for manager in deployment.managers.values():
        manager.run_periodic_tasks()


# -- a lost guest -----------------------------------------------------------
def test_who_starts_a_lost_guest_starts_what_is_newest(deployment):
    """At its source there still are its disks of before the move."""
    instance = deployment.boot(disks=[DISK])
    migration = died_over_there(deployment, instance)
    assert disks_at(deployment, 'host1', instance) == ['vda']
    assert (instance.host, instance.vm_state) == ('host2', 'error')
    assert 'gone' in migration.reason
    deployment.ask(
        instance, 'reboot', 'rebooting_hard', message={'reboot_type': 'HARD'}
    )
    deployment.worked(instance)
    assert (instance.vm_state, instance.host) == ('active', 'host2')
    assert state_at(deployment, 'host2', instance).power is Power.RUNNING
    assert state_at(deployment, 'host1', instance) is None


@pytest.mark.parametrize('purged', [False, True])
def test_a_lost_guest_is_removed_from_both_ends(deployment, purged):
    """The record of its migration says where something of it is."""
    instance = deployment.boot(disks=[DISK])
    died_over_there(deployment, instance)
    if purged:
        assert 'migrations' not in deployment.database.purge(LATER)
    delete(deployment, instance)
    for host in ('host1', 'host2'):
        assert disks_at(deployment, host, instance) == []
        assert state_at(deployment, host, instance) is None
    row = deployment.database.instance_get(instance.uuid, deleted=True)
    assert row['deleted']
    assert deployment.database.purge(LATER)['migrations'] == 1


def test_a_deletion_begins_again_if_the_other_end_was_not_told(
    deployment, monkeypatch
):
    instance = deployment.boot(disks=[DISK])
    died_over_there(deployment, instance)
    there = deployment.managers['host2']
    tell = there._compute_api.terminate_instance

    def broken(ctxt, host, instance_uuid):
        raise exception.BrokerUnreachable(limit_s=1)

    monkeypatch.setattr(there._compute_api, 'terminate_instance', broken)
    instance.update_values(task_state='deleting')
    with pytest.raises(exception.BrokerUnreachable):
        there.run_periodic_tasks()
    assert disks_at(deployment, 'host1', instance) == ['vda']
    assert deployment.database.instance_get(instance.uuid) is not None
    monkeypatch.setattr(there._compute_api, 'terminate_instance', tell)
    there.run_periodic_tasks()
    for host in ('host1', 'host2'):
        assert disks_at(deployment, host, instance) == []
    assert deployment.database.instance_get(instance.uuid) is None


# -- guests that are not as they seem ---------------------------------------
def test_a_guest_that_sleeps_is_not_woken(deployment):
    """A resume of it is refused; its migration ends all the same."""
    instance = deployment.boot()
    driver = deployment.managers['host1']._driver
    driver.guest_state = lambda guest_id: GuestState(
        Power.PAUSED, Reason.ASLEEP
    )

    def refused(guest_id):
        raise exception.HypervisorError(host='host1', reason='pmsuspended')

    def no_room(plan):
        raise exception.DestinationNotPrepared(
            host='host2', guest_id=plan.guest_id, reason='no room'
        )

    driver.resume = refused
    deployment.managers['host2']._driver.prepare_destination = no_room
    migration = deployment.migrate(instance)
    deployment.settled(migration, instance)
    assert migration.status == 'failed'
    assert 'no room' in migration.reason
    assert (instance.host, instance.task_state) == ('host1', None)
    del driver.guest_state, driver.resume


@pytest.mark.parametrize('status', ['queued', 'preparing', 'running'])
def test_a_record_of_before_the_move_is_put_right(deployment, status):
    """A database that was restored, or lost its last seconds."""
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    deployment.settled(migration, instance)
    assert (migration.status, instance.host) == ('completed', 'host2')
    deployment.database.migration_update(
        migration.id, {'status': status, 'ended_at': None, 'started_at': None}
    )
    deployment.database.instance_update(
        instance.uuid,
        {'host': 'host1', 'node': 'host1', 'task_state': 'migrating'},
    )
    deployment.managers['host1'].run_periodic_tasks()
    deployment.settled(migration, instance)
    assert (migration.status, instance.host) == ('completed', 'host2')
    assert state_at(deployment, 'host2', instance).power is Power.RUNNING


# -- a destination that is gone for good ------------------------------------
def test_who_waits_for_a_dead_host_is_in_nobodys_way(deploy, monkeypatch):
    """It waits as long as the guest might be there; the others go on. When
    an administrator says that the host is down, it ends."""
    monkeypatch.setattr(rpcapi, 'SHORT_CALL_S', 1)
    monkeypatch.setattr(runner, 'SILENT_S', 1)
    hosts = ('host1', 'host2', 'host3')
    one_at_a_time = [('DEFAULT', 'max_concurrent_live_migrations', 1)]
    deployment = deploy(hosts, options=one_at_a_time)
    first, second = deployment.boot(), deployment.boot()
    deployment.clock.limit_s = 0.0
    stuck = deployment.migrate(first, requested_host='host2')
    row = deployment.database.migration_get
    deployment.until(lambda: row(stuck.id)['status'] == 'running')
    deployment.stop_manager('host2')
    deployment.world.hosts['host2'].guests.pop(first.uuid, None)
    deployment.abort(stuck)
    deployment.clock.limit_s = float('inf')
    deployment.until(
        lambda: 'never comes back' in (row(stuck.id)['reason'] or '')
    )
    other = deployment.migrate(second, requested_host='host3')
    until_s = time.monotonic() + PATIENCE_S
    while row(other.id)['status'] != 'completed':
        assert time.monotonic() < until_s, row(other.id)
        deployment.managers['host1'].run_periodic_tasks()
    assert row(stuck.id)['status'] == 'running'
    service = Service.compute_of(deployment.context(), 'host2')
    service.update_values(forced_down=True)
    deployment.until(lambda: row(stuck.id)['status'] == 'cancelled')
    first.refresh()
    assert (first.host, first.task_state) == ('host1', None)
    assert state_at(deployment, 'host1', first).power is Power.RUNNING
