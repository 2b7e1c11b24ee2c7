"""Hosts, zones and limits as they change with the world."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from livemig.virt.driver import HostFacts
from tests.functional.api.world import (
    IMAGE,
    OTHER_SERVICE,
    SERVERS,
    SERVICE,
    World,
)


def get(world: World, path: str, version: str = '2.87') -> Any:
    answer = world.ask('GET', path, version)
    assert answer.status_int == 200, answer.text
    return answer.json_body


def facts_of(world: World, host: str, **changed: Any) -> None:
    """That host reports, with some facts changed."""
    [row] = world.store.service_list({'host': host})
    facts = dataclasses.replace(HostFacts.from_dict(row['facts']), **changed)
    world.report(host, facts=facts.to_dict())


# -- hypervisors ------------------------------------------------------------
def test_what_a_hosts_servers_take(world: World) -> None:
    path = f'/os-hypervisors/{OTHER_SERVICE}'
    before = get(world, path)['hypervisor']
    assert (before['running_vms'], before['vcpus_used']) == (24, 24)
    # All of 64 MiB, but for one of 512.
    assert before['memory_mb_used'] == 23 * 64 + 512
    world.store.instance_update(SERVERS['small'], {'host': 'host2'})
    world.instance('active').destroy()
    after = get(world, path)['hypervisor']
    assert after['running_vms'] == 22
    assert after['memory_mb_used'] == 22 * 64
    other = get(world, f'/os-hypervisors/{SERVICE}')['hypervisor']
    assert (other['running_vms'], other['memory_mb_used']) == (1, 512)
    assert other['free_ram_mb'] == 4096 - 512
    both = get(world, '/os-hypervisors/statistics')['hypervisor_statistics']
    assert both['running_vms'] == 23


def test_busy_is_what_has_a_task(world: World) -> None:
    path = f'/os-hypervisors/{SERVICE}'
    world.store.instance_update(SERVERS['active'], {'host': 'host2'})
    assert get(world, path)['hypervisor']['current_workload'] == 0
    world.store.instance_update(SERVERS['active'], {'task_state': 'pausing'})
    assert get(world, path)['hypervisor']['current_workload'] == 1


@pytest.mark.parametrize(
    ('address', 'shown'),
    [
        ('192.0.2.7', '192.0.2.7'),
        ('2001:db8::7', '2001:db8::7'),
        ('[2001:db8::7]', '2001:db8::7'),
        ('host2.example', None),
        (None, None),
    ],
)
def test_address(world: World, address: str | None, shown: Any) -> None:
    facts_of(world, 'host2', migration_address=address)
    found = get(world, f'/os-hypervisors/{SERVICE}')['hypervisor']
    assert found['host_ip'] == shown


def test_a_driver_that_does_not_tell_its_uptime(world: World) -> None:
    facts_of(world, 'host2', uptime='')
    answer = world.ask('GET', f'/os-hypervisors/{SERVICE}/uptime', '2.87')
    assert answer.status_int == 501
    assert answer.json_body['notImplemented']['code'] == 501
    newer = get(world, f'/os-hypervisors/{SERVICE}', '2.88')['hypervisor']
    assert newer['uptime'] is None


def test_a_host_that_has_told_nothing_is_no_hypervisor(world: World) -> None:
    world.report('host3', facts=None)
    assert len(get(world, '/os-hypervisors')['hypervisors']) == 2
    services = get(world, '/os-services?host=host3')['services']
    assert (
        world.ask('GET', f'/os-hypervisors/{services[0]["id"]}').status_int
        == 404
    )


def test_a_host_that_an_older_manager_reported(world: World) -> None:
    """Its facts lack what is newer."""
    [row] = world.store.service_list({'host': 'host2'})
    old = {k: v for k, v in row['facts'].items() if k != 'uptime'}
    world.report('host2', facts=old)
    found = get(world, f'/os-hypervisors/{SERVICE}', '2.88')['hypervisor']
    assert found['uptime'] is None


def test_a_deleted_host_is_none_any_more(world: World) -> None:
    world.report('host3')
    [service] = get(world, '/os-services?host=host3')['services']
    assert len(get(world, '/os-hypervisors')['hypervisors']) == 3
    assert (
        world.ask('DELETE', f'/os-services/{service["id"]}').status_int == 204
    )
    assert len(get(world, '/os-hypervisors')['hypervisors']) == 2
    # Its process is alive: it is back as a new one.
    world.report('host3')
    [again] = get(world, '/os-services?host=host3')['services']
    assert again['id'] != service['id']


# -- services ---------------------------------------------------------------
def test_a_host_whose_migrations_have_ended_can_be_deleted(
    world: World,
) -> None:
    world.report('host3')
    [service] = get(world, '/os-services?host=host3')['services']
    path = f'/os-services/{service["id"]}'
    migration = world.migration('running')
    world.store.migration_update(migration.id, {'dest_compute': 'host3'})
    answer = world.ask('DELETE', path)
    assert answer.status_int == 409
    assert f'migration {migration.id} ' in answer.text
    world.store.migration_update(migration.id, {'status': 'failed'})
    assert world.ask('DELETE', path).status_int == 204


def test_a_host_that_is_chosen_for_no_server_is_free(world: World) -> None:
    """Servers that a host lost to another are not its own."""
    world.report('host3')
    [service] = get(world, '/os-services?host=host3')['services']
    path = f'/os-services/{service["id"]}'
    world.store.instance_update(SERVERS['active'], {'host': 'host3'})
    answer = world.ask('DELETE', path)
    assert answer.status_int == 409
    assert SERVERS['active'] in answer.text
    world.store.instance_update(SERVERS['active'], {'host': 'host1'})
    assert world.ask('DELETE', path).status_int == 204


# -- zones ------------------------------------------------------------------
def test_a_zone_without_a_host_in_use(world: World) -> None:
    def available() -> bool:
        (zone,) = get(world, '/os-availability-zone')['availabilityZoneInfo']
        return zone['zoneState']['available']

    for service in (SERVICE, OTHER_SERVICE):
        assert available()
        body = {'status': 'disabled'}
        world.ask('PUT', f'/os-services/{service}', body=body)
    assert not available()
    zones = get(world, '/os-availability-zone/detail')
    state = zones['availabilityZoneInfo'][0]['hosts']['host1']
    assert state['nova-compute']['active'] is False


# -- limits -----------------------------------------------------------------
def test_the_limit_of_metadata_is_the_one_that_counts(world: World) -> None:
    limits = get(world, '/limits', '2.100')['limits']['absolute']
    for count, code in ((0, 202), (1, 400)):
        number = limits['maxServerMeta'] + count
        server = {
            'name': 'x',
            'flavorRef': '1',
            'imageRef': IMAGE,
            'networks': 'none',
            'metadata': {f'k{n}': 'v' for n in range(number)},
        }
        answer = world.ask('POST', '/servers', body={'server': server})
        assert answer.status_int == code
