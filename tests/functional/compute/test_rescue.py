"""Rescued instances that migrate, and those that must not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from livemig.compute import rpcapi
from livemig.conductor.rpcapi import conductor_store
from livemig.objects.migration_states import Status
from tests.functional.compute.test_power import DISKS, RESCUE_IMAGE

SHARED = [('fake', 'shared_storage', 'san')]
SLOW = [('libvirt', 'live_migration_bandwidth', 50)]
#: It writes 80 MiB/s over 64 MiB: over 50 MiB/s it never converges.
BUSY = RESCUE_IMAGE | {'cmdline': 'ws=64 rate=20480'}


def boot_rescued(deployment, image=RESCUE_IMAGE):
    """A rescued instance on host1, with a disk of its own."""
    instance = deployment.boot(memory_mb=128, disks=DISKS)
    deployment.ask(instance, 'rescue', 'rescuing', rescue=image)
    deployment.worked(instance)
    assert (instance.vm_state, instance.host) == ('rescued', 'host1')
    return instance


def files(deployment, host, instance):
    storage = deployment.world.hosts[host].storage
    return sorted(storage.directories.get(instance.uuid, {}))


def is_rescued_at(deployment, instance, host):
    """As it was before, on that host and only there."""
    assert (instance.vm_state, instance.task_state) == ('rescued', None)
    assert instance.host == host
    assert instance.rescue is not None
    assert deployment.world.running(instance.uuid) == (host,)
    assert deployment.world.leftovers(instance.uuid) == []
    assert deployment.world.boots[instance.uuid] == 2
    machine = deployment.world.hosts[host].guests[instance.uuid].machine
    assert machine.disks == {'rescue': 'vda', 'vda': 'vdb'}


def unrescue(deployment, instance, host):
    ctxt = deployment.ask(instance, 'unrescue', 'unrescuing')
    deployment.worked(instance)
    assert (instance.vm_state, instance.task_state) == ('active', None)
    assert (instance.host, instance.rescue) == (host, None)
    assert deployment.world.running(instance.uuid) == (host,)
    assert files(deployment, host, instance) == ['vda']
    machine = deployment.world.hosts[host].guests[instance.uuid].machine
    assert machine.disks == {'vda': 'vda'}
    assert deployment.events(instance, ctxt.request_id) == {
        'compute_unrescue_instance': ('Success', None)
    }


@pytest.mark.parametrize('options', [[], SHARED], ids=['copied', 'shared'])
@pytest.mark.parametrize('named', [None, 'host2'])
def test_it_moves_and_is_unrescued_there(deploy, options, named):
    deployment = deploy(options=options)
    instance = boot_rescued(deployment)
    migration = deployment.migrate(instance, requested_host=named)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED, migration.reason
    assert migration.block_migration is (not options)
    is_rescued_at(deployment, instance, 'host2')
    assert files(deployment, 'host2', instance) == ['rescue', 'vda']
    unrescue(deployment, instance, 'host2')


def test_nothing_but_its_disks_is_needed_there(deploy):
    """The guest is gone from the hypervisor, and the rescue disk too."""
    deployment = deploy()
    instance = boot_rescued(deployment)
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    with deployment.world.present():
        host2 = deployment.world.hosts['host2']
        deployment.world.destroy(host2, instance.uuid)
        del host2.storage.directories[instance.uuid]['rescue']
    unrescue(deployment, instance, 'host2')


def test_while_it_migrates(deploy):
    deployment = deploy(options=SLOW)
    instance = boot_rescued(deployment, BUSY)
    migration = deployment.migrate(instance)
    deployment.clock.limit_s = 20
    deployment.clock.until(20)
    instance.refresh()
    migration.refresh()
    assert migration.status == Status.RUNNING
    assert instance.status == 'MIGRATING'
    assert (instance.vm_state, instance.task_state) == ('rescued', 'migrating')
    deployment.abort(migration)
    deployment.settled(instance, migration)
    assert migration.status == Status.CANCELLED
    is_rescued_at(deployment, instance, 'host1')
    unrescue(deployment, instance, 'host1')


def test_forced_by_pausing(deploy):
    deployment = deploy(options=SLOW)
    instance = boot_rescued(deployment, BUSY)
    deployment.clock.at(20, lambda: deployment.force(migration))
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert (migration.status, migration.completed_by) == ('completed', 'pause')
    is_rescued_at(deployment, instance, 'host2')


def test_rolled_back(deploy):
    deployment = deploy()
    instance = boot_rescued(deployment)
    deployment.world.fail('transfer-breaks', 'host1', after_s=0.1)
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.FAILED
    is_rescued_at(deployment, instance, 'host1')
    unrescue(deployment, instance, 'host1')


@pytest.mark.parametrize('fault', ['prepare-refused', 'incoming-refused'])
def test_a_destination_that_does_not_take_it(deploy, fault):
    deployment = deploy()
    instance = boot_rescued(deployment)
    deployment.world.fail(fault, 'host2')
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.FAILED
    is_rescued_at(deployment, instance, 'host1')


def test_it_shuts_down_on_the_way(deploy):
    """It stays rescued: unrescue is what gets it going."""
    deployment = deploy(options=SLOW)
    instance = boot_rescued(deployment, BUSY)
    deployment.clock.at(
        20, lambda: deployment.world.shut_down_guest(instance.uuid)
    )
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.FAILED
    assert (instance.vm_state, instance.power_state) == ('rescued', 4)
    unrescue(deployment, instance, 'host1')


def test_its_manager_is_restarted_on_the_way(deploy):
    deployment = deploy(options=SLOW)
    instance = boot_rescued(deployment, BUSY)
    migration = deployment.migrate(instance)
    deployment.clock.limit_s = 20
    deployment.clock.until(20)
    deployment.stop_manager('host1')
    deployment.start_manager('host1')
    deployment.force(migration)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED
    is_rescued_at(deployment, instance, 'host2')
    unrescue(deployment, instance, 'host2')


# -- hosts that cannot --------------------------------------------------------
def unable(deployment, host):
    deployment.stop_manager(host)
    deployment.start_manager(
        host, [('fake', 'without', ['supports_live_migrate_rescued'])]
    )


def too_old(deployment, host):
    """In its place one of the version before has reported, over the bus; it
    knows nothing of rescued instances that move."""
    deployment.stop_manager(host)
    store = conductor_store(deployment.rpc.client('conductor'))
    [row] = store.service_list({'host': host})
    facts = {**row['facts'], 'rpc_version': '1.2'}
    facts['capabilities'] = dict(facts['capabilities'])
    del facts['capabilities']['supports_live_migrate_rescued']
    store.service_report(
        {
            'host': host,
            'binary': 'nova-compute',
            'topic': 'compute',
            'version': 1,
            'last_seen_at': deployment.clock.now(),
            'facts': facts,
        }
    )


HOW = [(unable, 'driver cannot'), (too_old, 'too old')]


@pytest.mark.parametrize(('make', 'why'), HOW)
@pytest.mark.parametrize('forced', [False, True])
def test_a_named_destination_that_cannot(deploy, make, why, forced):
    deployment = deploy()
    instance = boot_rescued(deployment)
    make(deployment, 'host2')
    migration = deployment.migrate(
        instance, requested_host='host2', forced=forced
    )
    deployment.settled(instance, migration)
    assert migration.status == Status.ERROR
    assert 'host2: (destination) its ' in migration.reason
    assert why in migration.reason
    is_rescued_at(deployment, instance, 'host1')


@pytest.mark.parametrize(('make', 'why'), HOW)
def test_a_source_that_cannot(deploy, make, why):
    deployment = deploy()
    instance = boot_rescued(deployment)
    make(deployment, 'host1')
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.ERROR
    assert 'host1: (source) its ' in migration.reason
    assert why in migration.reason
    is_rescued_at(deployment, instance, 'host1')


def test_of_several_hosts_one_that_can_is_chosen(deploy):
    """Though the others have more room."""
    deployment = deploy(hosts=('host1', 'host2', 'host3', 'host4'))
    instance = boot_rescued(deployment)
    unable(deployment, 'host2')
    too_old(deployment, 'host3')
    deployment.world.add_host('host4', memory_mib=1024)
    deployment.managers['host4'].report()
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED
    is_rescued_at(deployment, instance, 'host4')


def test_no_host_that_can_all_reasons(deploy):
    deployment = deploy(hosts=('host1', 'host2', 'host3'))
    instance = boot_rescued(deployment)
    unable(deployment, 'host2')
    too_old(deployment, 'host3')
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.ERROR
    assert 'host2: (destination) its driver' in migration.reason
    assert 'host3: (destination) its compute manager' in migration.reason
    is_rescued_at(deployment, instance, 'host1')


@pytest.mark.parametrize('host', ['host1', 'host2'])
def test_a_report_that_was_out_of_date(deploy, host):
    """The driver itself has the last word, in the pre-check."""
    deployment = deploy()
    instance = boot_rescued(deployment)
    able = deployment.world.hosts[host].capabilities
    deployment.world.add_host(
        host,
        capabilities=dataclasses.replace(
            able, supports_live_migrate_rescued=False
        ),
    )
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.ERROR
    assert f'{host}: its driver cannot move a rescued' in migration.reason
    is_rescued_at(deployment, instance, 'host1')


def test_others_move_between_hosts_that_cannot(deploy):
    deployment = deploy(
        options=[('fake', 'without', ['supports_live_migrate_rescued'])]
    )
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.COMPLETED


# -- versions of the messages -------------------------------------------------
class Bus:
    """Keeps what is sent; pinned to a version, or not."""

    def __init__(self, cap: str = '1.3') -> None:
        self.sent: list[tuple[str, str]] = []
        self._cap = cap

    def cast(self, ctxt: Any, method: str, *, version='1.0', **_: Any) -> None:
        self.sent.append((method, version))

    def can_send(self, version: str) -> bool:
        return version <= self._cap


def test_a_rescued_one_s_message_has_a_version_of_its_own():
    bus = Bus()
    api = rpcapi.ComputeAPI(bus)
    api.live_migration(None, 'host1', 7)
    api.live_migration(None, 'host1', 7, rescued=True)
    assert bus.sent == [('live_migration', '1.0'), ('live_migration', '1.3')]


def test_pinned_below_it_nothing_is_placed(deploy):
    deployment = deploy()
    instance = boot_rescued(deployment)
    conductor = deployment.conductor
    before = conductor._compute_api
    conductor._compute_api = rpcapi.ComputeAPI(
        deployment.rpc.client('compute', version_cap='1.2'), '1.2'
    )
    migration = deployment.migrate(instance)
    conductor._compute_api = before
    deployment.settled(instance, migration)
    assert migration.status == Status.ERROR
    assert migration.reason == (
        'Host host1 (source) cannot migrate a rescued instance: its compute '
        'manager is limited to RPC version 1.2, 1.3 is needed.'
    )
    is_rescued_at(deployment, instance, 'host1')


# -- interfaces ---------------------------------------------------------------
def test_the_address_is_the_record_s(deploy):
    """Given once, kept by each rebuilding and by each host."""
    networks = [('libvirt', 'guest_network', 'bridge:br0')]
    deployment = deploy(options=networks)
    instance = boot_rescued(deployment)
    assert instance.mac_address.startswith('52:54:00:')
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    is_rescued_at(deployment, instance, 'host2')
    unrescue(deployment, instance, 'host2')
    spec = deployment.world.hosts['host2'].guests[instance.uuid].machine.spec
    [interface] = spec.interfaces
    assert interface.mac == instance.mac_address
    assert interface.network == 'bridge:br0'


def test_without_a_network_there_is_no_address(deploy):
    deployment = deploy()
    instance = deployment.boot()
    assert instance.mac_address is None
