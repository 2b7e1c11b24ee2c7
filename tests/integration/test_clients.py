"""Nova's clients, unchanged: clients.yaml is the matrix."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import openstack
import pytest
import yaml

from lab.cloud import Cloud, image_id
from tests.integration.acts import wait_gone
from tests.integration.conftest import OPTIONS, unchanged

pytestmark = [
    pytest.mark.libvirt,
    # The SDK's, of what it does itself.
    pytest.mark.filterwarnings('ignore::PendingDeprecationWarning'),
]

STORIES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    pathlib.Path(__file__).with_name('clients.yaml').read_text()
)
NAME = 'moved'
KEYS = {'guest', 'run', 'as', 'code', 'says', 'not', 'then', 'why'}


@pytest.fixture
def cloud(nova_cloud, request) -> Iterator[Cloud]:
    with unchanged(nova_cloud, request, OPTIONS):
        yield nova_cloud


class Story:
    """One server, and what is done with it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._server = ''

    def step(self, step: dict[str, Any]) -> None:
        assert step.keys() <= KEYS, step
        if 'guest' in step:
            self._server = self._cloud.boot(step['guest'], 'host1', NAME)
            return
        values = self._values()
        words = [word.format(**values) for word in shlex.split(step['run'])]
        done = self._run(words, step.get('as', 'admin'))
        said = f'{done.stdout}{done.stderr}'
        assert done.returncode == step.get('code', 0), f'{words}: {said}'
        assert 'Traceback' not in said
        # A server that this very command made is known only now.
        values = self._values()
        for text in step.get('says', ()):
            assert text.format(**values) in said, f'{words}: {said}'
        for text in step.get('not', ()):
            assert text not in said, f'{words}: {said}'
        for name, wanted in step.get('then', {}).items():
            CONDITIONS[name](self._cloud, self._server, wanted)

    def _run(
        self, words: list[str], user: str
    ) -> subprocess.CompletedProcess[str]:
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith('OS_')
        }
        return subprocess.run(
            [pathlib.Path(sys.executable).with_name(words[0]), *words[1:]],
            env={
                **clean,
                **self._cloud.environment(self._cloud.user(user)),
                'COLUMNS': '400',
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _values(self) -> dict[str, object]:
        if not self._server:
            named = self._cloud.rest('GET', f'/servers?name={NAME}').body
            self._server = next((s['id'] for s in named['servers']), '')
        path = '/os-services?host=host2&binary=nova-compute'
        service = self._cloud.rest('GET', path).body['services'][0]['id']
        values: dict[str, object] = {
            'server': self._server,
            'service': service,
        }
        path = f'/servers/{self._server}/os-instance-actions'
        actions = self._cloud.rest('GET', path)
        if self._server and actions.status == 200:
            values['request'] = actions.body['instanceActions'][0][
                'request_id'
            ]
            for migration in self._cloud.migrations(self._server)[:1]:
                values['migration'] = migration['id']
                values['uuid'] = migration['uuid']
        return values


def _migration(cloud: Cloud, server: str, wanted: str) -> None:
    """The newest ends, with that status."""
    newest = cloud.migrations(server)[0]['id']
    assert cloud.wait_migration(server, newest)['status'] == wanted


def _copies(cloud: Cloud, server: str, _wanted: object) -> None:
    cloud.wait_pass(server, cloud.migrations(server)[0]['id'])


def _host(cloud: Cloud, server: str, wanted: str) -> None:
    assert cloud.show(server)['OS-EXT-SRV-ATTR:host'] == wanted


def _status(cloud: Cloud, server: str, wanted: str) -> None:
    cloud.wait_status(server, wanted)
    assert cloud.show(server)['OS-EXT-STS:task_state'] is None


def _gone(cloud: Cloud, server: str, _wanted: object) -> None:
    wait_gone(cloud, server)


def _service(cloud: Cloud, _server: str, wanted: str) -> None:
    path = '/os-services?host=host2&binary=nova-compute'
    assert cloud.rest('GET', path).body['services'][0]['status'] == wanted


CONDITIONS: dict[str, Callable[[Cloud, str, Any], None]] = {
    'migration': _migration,
    'copies': _copies,
    'host': _host,
    'status': _status,
    'gone': _gone,
    'service': _service,
}


@pytest.mark.parametrize('title', STORIES)
def test_commands(cloud: Cloud, title: str) -> None:
    story = Story(cloud)
    for step in STORIES[title]:
        story.step(step)


# -- openstacksdk -------------------------------------------------------------
@pytest.fixture
def compute(cloud: Cloud, tmp_path) -> Iterator[Any]:
    file = tmp_path / 'clouds.yaml'
    file.write_text(yaml.safe_dump(cloud.clouds()))
    config = openstack.config.OpenStackConfig(
        config_files=[str(file)], load_envvars=False
    )
    connection = openstack.connection.Connection(
        config=config.get_one('admin')
    )
    yield connection.compute
    connection.close()


def test_sdk_makes_moves_and_deletes(cloud: Cloud, compute) -> None:
    made = compute.create_server(
        name=NAME,
        image_id=image_id('busy'),
        flavor_id='proof',
        networks='none',
    )
    server = compute.wait_for_server(made)
    source = server.compute_host
    compute.live_migrate_server(server)
    cloud.wait_pass(server.id, cloud.migrations(server.id)[0]['id'])
    (migration,) = compute.server_migrations(server)
    assert migration.status == 'running'
    shown = compute.get_server_migration(migration.id, server)
    assert shown.memory_total_bytes > 0
    compute.abort_server_migration(migration, server)
    ended = cloud.wait_migration(server.id, migration.id)
    assert ended['status'] == 'cancelled'
    assert compute.get_server(server).compute_host == source
    listed = compute.migrations(instance_uuid=server.id)
    assert [one.status for one in listed] == ['cancelled']

    compute.live_migrate_server(server, host=None)
    newest = cloud.migrations(server.id)[0]['id']
    cloud.wait_pass(server.id, newest)
    compute.force_complete_server_migration(newest, server)
    assert cloud.wait_migration(server.id, newest)['status'] == 'completed'
    server = compute.get_server(server)
    assert (server.status, server.task_state) == ('ACTIVE', None)
    assert server.compute_host != source
    actions = [one.action for one in compute.server_actions(server)]
    assert actions == [
        'live_migration_force_complete',
        'live-migration',
        'live_migration_cancel',
        'live-migration',
        'create',
    ]
    compute.delete_server(server)
    compute.wait_for_delete(server)


def test_sdk_rescues(cloud: Cloud, compute) -> None:
    server = compute.get_server(cloud.boot('idle', 'host1', NAME))
    compute.rescue_server(server)
    compute.wait_for_server(server, status='RESCUE')
    with pytest.raises(openstack.exceptions.ConflictException):
        compute.live_migrate_server(server)
    compute.unrescue_server(server)
    assert compute.wait_for_server(server).compute_host == 'host1'


def test_sdk_looks_at_hosts(cloud: Cloud, compute) -> None:
    names = {one.name for one in compute.hypervisors()}
    assert names == {'host1', 'host2'}
    host = compute.find_hypervisor('host1', ignore_missing=False)
    assert (host.state, host.status) == ('up', 'enabled')
    services = {
        (one.host, one.status)
        for one in compute.services(binary='nova-compute')
    }
    assert services == {('host1', 'enabled'), ('host2', 'enabled')}
    assert 'proof' in {one.name for one in compute.flavors()}
