"""OpenStack's own SDK, unchanged, over a real connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cheroot import wsgi

from livemig import concurrency
from tests.functional.api.world import IMAGE, MIGRATIONS, SERVERS, World

RUNNING = SERVERS['running']

# The SDK's own business.
pytestmark = [
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
    pytest.mark.filterwarnings('ignore::PendingDeprecationWarning'),
]


@pytest.fixture
def cloud(world: World) -> Iterator:
    import openstack

    server = wsgi.Server(('127.0.0.1', 0), world.app, numthreads=2)
    server.prepare()
    thread = concurrency.spawn(server.serve)
    url = f'http://127.0.0.1:{server.bind_addr[1]}'
    connection = openstack.connect(
        auth_type='none',
        endpoint=f'{url}/v2.1',
        image_endpoint_override=f'{url}/image',
        load_yaml_config=False,
        load_envvars=False,
    )
    yield connection
    connection.close()
    server.stop()
    assert thread.join(10)


@pytest.fixture
def compute(cloud):
    return cloud.compute


def test_migrations(world: World, compute) -> None:
    server = compute.find_server('active')
    assert (server.status, server.compute_host) == ('ACTIVE', 'host1')
    compute.live_migrate_server(server, host='host2', block_migration='auto')
    assert compute.get_server(server).status == 'MIGRATING'
    # The SDK sends it at 2.30, where the answer waits for the conductor.
    assert [m.method for m in world.messages] == ['migrate_server']
    (migration,) = compute.server_migrations(RUNNING)
    assert (migration.id, migration.status) == (
        MIGRATIONS['running'], 'running',
    )  # fmt: skip
    compute.force_complete_server_migration(migration, RUNNING)
    compute.abort_server_migration(migration, RUNNING)
    assert [a.action for a in compute.server_actions(RUNNING)] == [
        'live_migration_cancel',
        'live_migration_force_complete',
        'live-migration',
        'create',
    ]
    assert len(list(compute.migrations())) == len(MIGRATIONS) + 1


def test_servers(compute) -> None:
    made = compute.create_server(
        name='new', flavor_id='1', image_id=IMAGE, networks='none'
    )
    assert compute.get_server(made).status == 'BUILD'
    compute.delete_server(made)
    assert compute.find_server('new') is None
    # Page after page, by the links.
    assert len(list(compute.servers(limit=5))) == 24
    assert {s.state for s in compute.services()} == {'up'}
    assert [f.name for f in compute.flavors()] == ['tiny', 'small', 'secret',
        'made by hand',
    ]  # fmt: skip


def test_hosts(compute) -> None:
    host = compute.find_hypervisor('host1')
    assert (host.state, host.service_details['host']) == ('up', 'host1')
    assert host.uptime.startswith('12:00:00 up 3 days')
    assert [h.name for h in compute.hypervisors(details=True)] == [
        'host1',
        'host2',
    ]
    service = compute.find_service('nova-compute', host='host2')
    service = compute.disable_service(service, disabled_reason='a fan')
    assert (service.status, service.disabled_reason) == ('disabled', 'a fan')
    assert compute.enable_service(service).status == 'enabled'
    assert compute.update_service_forced_down(service).state == 'down'


def test_flavors(compute) -> None:
    made = compute.create_flavor(name='new', ram=64, vcpus=1, disk=0)
    compute.create_flavor_extra_specs(made, {'colour': 'red'})
    assert compute.find_flavor('new', get_extra_specs=True).extra_specs == {
        'colour': 'red'
    }
    compute.update_flavor(made.id, description='tried')
    assert compute.get_flavor(made).description == 'tried'
    compute.delete_flavor(made)
    assert compute.find_flavor('new') is None


def test_images(cloud) -> None:
    image = cloud.image.find_image('proof')
    assert (image.id, image.status) == (IMAGE, 'active')
    assert image.properties == {'os': 'none'}
    assert cloud.image.find_image('none such') is None
    assert len(list(cloud.image.images(limit=1))) == 2
