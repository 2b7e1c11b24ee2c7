"""The commands that livemig brings to `openstack`."""

import importlib.metadata
import json
import pathlib
import warnings

import pytest

from tests.functional.client.conftest import Outcome, Run, quietly
from tests.functional.client.standin import StandIn

GROUP = 'openstack.livemig.v2'


@pytest.fixture
def client(bare: Run, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run openstackclient, knowing nothing of any service."""

    def run(*words: str) -> Outcome:
        # It warns of itself.
        with quietly(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            from openstackclient import shell

            code = shell.OpenStackShell().run([*words])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def openstack(client: Run, address: str) -> Run:
    """Run openstackclient against the stand-in."""

    def run(*words: str) -> Outcome:
        return client(
            '--os-auth-type=none', f'--os-endpoint={address}/v2.1', *words
        )

    return run


def test_no_name_is_one_of_the_clients_own() -> None:
    taken = {
        entry.name
        for group in ('openstack.compute.v2', 'openstack.common')
        for entry in importlib.metadata.entry_points(group=group)
    }
    ours = {e.name for e in importlib.metadata.entry_points(group=GROUP)}
    assert 'server_migration_show' in taken
    assert len(ours) == 3
    assert not ours & taken


def test_watch(openstack: Run, standin: StandIn) -> None:
    server = standin.server('web')
    standin.migration(server, 'completed', completed_by='pause')
    words = ('server', 'migration', 'watch', 'web', '1')
    outcome = openstack(*words)
    assert (outcome.code, outcome.out, outcome.err) == (
        0,
        'migration 1  completed (pause) after 0:00\n',
        '',
    )
    told = json.loads(openstack(*words, '-f', 'json').out)
    assert (told['migration_id'], told['completed_by']) == (1, 'pause')


def test_watch_ends_with_the_exit_codes_of_livemig(
    openstack: Run, standin: StandIn
) -> None:
    server = standin.server('web')
    standin.migration(server, 'failed', reason='No space left.')
    outcome = openstack('server', 'migration', 'watch', server, '1')
    assert outcome.code == 5
    assert outcome.err == (
        'Migration 1 did not complete (failed): No space left.\n'
    )
    outcome = openstack('server', 'migration', 'watch', 'nobody')
    assert (outcome.code, outcome.err) == (
        3,
        'No server is named "nobody".\n',
    )
    standin.migration(server, 'running')
    words = ('server', 'migration', 'watch', server)
    outcome = openstack(*words, '--timeout', '0.01')
    assert outcome.code == 124
    assert f'"openstack server migration abort {server} 2"' in outcome.err


def test_force_end(openstack: Run, standin: StandIn) -> None:
    server = standin.server('web')
    words = ('server', 'migration', 'force', 'end', 'web')
    assert openstack(*words).code == 0
    assert standin.asked('POST') == [
        (f'/v2.1/servers/{server}/action', {'live-migrate-force-end': None})
    ]
    standin.refuse('POST', '/action', 409, 'It is not being migrated.')
    outcome = openstack(*words)
    assert outcome.code == 4
    assert outcome.err.startswith('It is not being migrated. (HTTP 409')


def test_history(openstack: Run, standin: StandIn) -> None:
    server = standin.server('web')
    standin.migration(server, 'cancelled', reason='Too slow.')
    standin.migration(server, 'running')
    words = ('server', 'migration', 'history', '--server', 'web')
    rows = json.loads(openstack(*words, '-f', 'json').out)
    assert [row['Reason'] for row in rows] == [None, 'Too slow.']
    rows = json.loads(openstack(*words, '--in-progress', '-f', 'json').out)
    assert [row['Status'] for row in rows] == ['running']


@pytest.mark.parametrize(
    ('asked', 'spoken'), [('', '2.202'), ('2', '2.202'), ('2.80', '2.80')]
)
def test_the_microversion_of_the_compute_api(
    openstack: Run, standin: StandIn, asked: str, spoken: str
) -> None:
    words = ('server', 'migration', 'history')
    more = [f'--os-compute-api-version={asked}'] if asked else []
    assert openstack(*words, *more).code == 0
    assert standin.requests[-1][3] == spoken


def test_needs_more_than_nova_has(openstack: Run, standin: StandIn) -> None:
    standin.highest = '2.96'
    standin.server('web')
    outcome = openstack('server', 'migration', 'force', 'end', 'web')
    assert outcome.code == 1
    assert 'needs compute API 2.201 or later; 2.96 is' in outcome.err
    assert standin.requests == []


def test_http_basic(client: Run, standin: StandIn, address: str) -> None:
    standin.credentials = 'admin:secret'
    words = (
        *('--os-auth-type=http_basic', f'--os-endpoint={address}/v2.1'),
        *('--os-username=admin', 'server', 'migration', 'history'),
    )
    outcome = client(*words, '--os-password=secret')
    assert outcome.code == 0, outcome.err
    outcome = client(*words, '--os-password=wrong')
    assert outcome.code == 2
    assert 'HTTP 401' in outcome.err


def test_with_keystone_and_a_cloud_of_clouds_yaml(
    client: Run,
    standin: StandIn,
    address: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    standin.credentials = 'a-token'
    standin.migration(standin.server('web'), 'completed')
    clouds = tmp_path / 'clouds.yaml'
    clouds.write_text(
        f"""
clouds:
  mine:
    region_name: one
    auth:
      auth_url: {address}/identity/v3
      username: u
      password: p
      project_name: p
      user_domain_name: d
      project_domain_name: d
"""
    )
    monkeypatch.setenv('OS_CLIENT_CONFIG_FILE', str(clouds))
    words = ['server', 'migration', 'history', '-f', 'value', '-c', 'Status']
    outcome = client('--os-cloud', 'mine', *words)
    assert (outcome.code, outcome.out) == (0, 'completed\n'), outcome.err
