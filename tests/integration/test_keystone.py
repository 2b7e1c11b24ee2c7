"""Users of a real Keystone: who gets in with which token, and to what."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lab import Lab
from lab.client import wait_until
from lab.cloud import Cloud, User, image_id
from lab.keystone import Keystone
from lab.logins import account

ROOT = pathlib.Path(__file__).parents[2]
OVERRIDE = ROOT / 'etc/livemig/nova-manager-policy.yaml'
PERSONAS = ROOT / 'tests/functional/api/personas.yaml'

#: Keystone is asked each time, and once only.
OPTIONS = {
    'keystone_authtoken': {
        'token_cache_time': -1,
        'http_request_max_retries': 0,
    }
}


@pytest.fixture(scope='module')
def cloud() -> Iterator[Cloud]:
    """On simulated hosts: nothing here is about hypervisors."""
    with Lab(0) as lab:
        made = Cloud(
            lab,
            simulated=('host1', 'host2'),
            keystone=True,
            options=OPTIONS,
        )
        made.add_user('nobody', 'users', 'auditor')
        made.start()
        yield made
        made.stop()


@pytest.fixture
def keystone(cloud: Cloud) -> Keystone:
    return cloud.lab.keystone()


@pytest.fixture
def policy_file(cloud: Cloud) -> Iterator[pathlib.Path]:
    file = cloud.directory / 'policy.yaml'
    yield file
    file.unlink(missing_ok=True)


def token(cloud: Cloud, name: str, scope: Any = None) -> str:
    return cloud.lab.keystone().token(account(cloud.user(name)), scope)


def ask(
    cloud: Cloud, token: str, path: str = '/servers', **headers: str
) -> int:
    """The status that a request with that token gets."""
    sent = {'X-Auth-Token': token, **headers} if token else headers
    return cloud.rest('GET', path, headers=sent).status


def boot(cloud: Cloud, name: str, user: User) -> str:
    """A server of that user's project, ACTIVE."""
    answer = cloud.rest(
        'POST',
        '/servers',
        {
            'server': {
                'name': name,
                'imageRef': image_id('idle'),
                'flavorRef': 'proof',
                'networks': 'none',
            }
        },
        user=user,
    )
    assert answer.status == 202, answer.body
    made = answer.body['server']['id']
    cloud.wait_status(made, 'ACTIVE')
    return made


# -- tokens -----------------------------------------------------------------
def test_the_token_says_who_asks(cloud: Cloud, keystone: Keystone) -> None:
    member = cloud.user('member')
    made = boot(cloud, 'mine', member)
    shown = cloud.rest('GET', f'/servers/{made}', user=member).body['server']
    assert shown['tenant_id'] == keystone.project('users')
    assert shown['user_id'] == keystone.user_id('member')
    actions = cloud.rest(
        'GET', f'/servers/{made}/os-instance-actions', user=member
    ).body['instanceActions']
    assert actions[-1]['user_id'] == keystone.user_id('member')
    assert actions[-1]['project_id'] == keystone.project('users')
    # Another project has no such server; an administrator sees all.
    for name, code in (('other', 404), ('reader', 200), ('admin', 200)):
        answer = cloud.rest('GET', f'/servers/{made}', user=cloud.user(name))
        assert answer.status == code
    assert cloud.rest('DELETE', f'/servers/{made}', user=member).status == 204


def test_no_token_and_wrong_ones(cloud: Cloud, keystone: Keystone) -> None:
    good = token(cloud, 'admin')
    for wrong in ('', 'rubbish', good[:-8] + 'AAAAAAAA', 'A' * 4000):
        headers = {'X-Auth-Token': wrong} if wrong else {}
        answer = cloud.rest('GET', '/servers', headers=headers)
        assert answer.status == 401
        assert (
            answer.headers['WWW-Authenticate']
            == f'Keystone uri="{keystone.url}"'
        )
    # No password is a token.
    assert ask(cloud, '', Authorization='Basic YWRtaW46YWRtaW4=') == 401


def test_versions_need_none(cloud: Cloud) -> None:
    assert cloud.rest('GET', '', headers={}).status == 200
    assert cloud.rest('GET', '/', headers={}).status == 200
    assert cloud.rest('GET', '/versions/v2.1', headers={}).status == 401


def test_a_revoked_token(cloud: Cloud, keystone: Keystone) -> None:
    revoked, other = token(cloud, 'member'), token(cloud, 'member')
    assert ask(cloud, revoked) == 200
    keystone.revoke(revoked)
    assert ask(cloud, revoked) == 401
    assert ask(cloud, other) == 200


def test_a_role_that_is_taken_back(cloud: Cloud, keystone: Keystone) -> None:
    cloud.add_user('temporary', 'ops', 'admin', 'reader')
    where = (keystone.user_id('temporary'), keystone.project('ops'))
    theirs = token(cloud, 'temporary')
    assert ask(cloud, theirs, '/os-services') == 200
    # A fernet token has what roles there are when it is looked at.
    keystone.revoke_role('admin', *where)
    assert ask(cloud, theirs, '/os-services') == 403
    assert ask(cloud, theirs) == 200
    keystone.revoke_role('reader', *where)
    assert ask(cloud, theirs) == 401


@pytest.mark.parametrize(
    ('scope', 'said'),
    [
        ({'system': {'all': True}}, 'of the whole system'),
        ({'domain': {'id': 'default'}}, 'of a domain'),
        ({}, 'of no project'),
    ],
)
def test_a_token_of_no_project(
    cloud: Cloud, keystone: Keystone, scope: Any, said: str
) -> None:
    keystone.grant_on_domain('admin', keystone.user_id('admin'))
    other = token(cloud, 'admin', scope)
    # Not even what everybody may.
    for path in ('/servers', '/flavors', '/os-services'):
        answer = cloud.rest('GET', path, headers={'X-Auth-Token': other})
        assert answer.status == 403
        assert said in answer.body['forbidden']['message']


def test_the_project_of_the_url(cloud: Cloud, keystone: Keystone) -> None:
    own, foreign = keystone.project('users'), keystone.project('others')
    for name in ('member', 'admin'):
        mine = keystone.project('ops') if name == 'admin' else own
        theirs = token(cloud, name)
        assert ask(cloud, theirs, f'/{mine}/servers') == 200
        assert ask(cloud, theirs, f'/{foreign}/servers') == 400


def test_nobody_is_believed_who_says_it_himself(
    cloud: Cloud, keystone: Keystone
) -> None:
    claims = {
        'X-Identity-Status': 'Confirmed',
        'X-Roles': 'admin',
        'X-Role': 'admin',
        'X-Service-Roles': 'admin',
        'X-User-Id': keystone.user_id('admin'),
        'X-User': 'admin',
        'X-Project-Id': keystone.project('ops'),
        'X-Tenant-Id': keystone.project('ops'),
        'X-Tenant': 'ops',
        'X-Is-Admin-Project': 'True',
        'X-Domain-Id': 'default',
        'OpenStack-System-Scope': 'all',
    }
    assert ask(cloud, '', **claims) == 401
    reader = token(cloud, 'reader')
    assert ask(cloud, reader, '/servers', **claims) == 200
    assert ask(cloud, reader, '/os-services', **claims) == 403
    ops = keystone.project('ops')
    assert ask(cloud, reader, f'/{ops}/servers', **claims) == 400


def test_a_services_token_beside_it(cloud: Cloud, keystone: Keystone) -> None:
    service = keystone.token(
        keystone.account('helper', 'service', ('service',))
    )
    beside = {'X-Service-Token': service}
    theirs = token(cloud, 'member')
    assert ask(cloud, theirs, '/servers', **beside) == 200
    # It counts for nothing by itself, and a wrong one spoils the request.
    assert ask(cloud, '', '/servers', **beside) == 401
    assert ask(cloud, theirs, '/servers', **{'X-Service-Token': 'x'}) == 401
    assert ask(cloud, theirs, '/os-services', **beside) == 403


def test_expiry_and_keystone_away(cloud: Cloud, keystone: Keystone) -> None:
    theirs = token(cloud, 'member')
    keystone.stop()
    assert ask(cloud, theirs) == 503
    assert cloud.rest('GET', '', headers={}).status == 200
    keystone.configure({'token': {'expiration': 8}})
    keystone.start()
    try:
        # What was issued before stays as long as it says itself.
        assert ask(cloud, theirs) == 200
        short = token(cloud, 'member')
        assert ask(cloud, short) == 200
        wait_until(lambda: ask(cloud, short) == 401, 'the token expires', 40)
        assert ask(cloud, theirs) == 200
    finally:
        keystone.stop()
        keystone.configure({'token': {'expiration': 3600}})
        keystone.start()


# -- rights -----------------------------------------------------------------
def rows() -> list[dict[str, Any]]:
    """Those rows of the table of rights that need no names filled in."""
    table = yaml.safe_load(PERSONAS.read_text())
    found = []
    for row in table['rows']:
        if 'root' in row:
            continue  # another service's URL
        if '<' not in row['ask'] and row['ask'].startswith('GET '):
            codes = dict(zip(table['columns'], row['codes'], strict=True))
            found.append(
                {
                    'path': row['ask'].split()[1],
                    'codes': codes,
                    'version': row.get('version', '2.202'),
                }
            )
    return found


def test_keystones_roles_are_the_tables(cloud: Cloud) -> None:
    """A higher role brings the lower ones with it: Keystone says so."""
    told = {}
    wanted = {}
    for row in rows():
        if row['path'].startswith('/flavors/'):
            continue  # the table's own flavor
        for name, code in row['codes'].items():
            if name != 'nova':
                wanted[row['path'], name] = code
                told[row['path'], name] = cloud.rest(
                    'GET',
                    row['path'],
                    version=row['version'],
                    user=cloud.user(name),
                ).status
    assert len(wanted) > 6 * 6
    assert told == wanted


def test_policy_changes_without_a_restart(
    cloud: Cloud, policy_file: pathlib.Path
) -> None:
    pid = cloud.process('all').pid
    manager = cloud.user('manager')
    made = boot(cloud, 'managed', manager)
    path = f'/servers/{made}/migrations'

    def seen() -> int:
        return cloud.rest('GET', path, user=manager).status

    def write(text: str) -> None:
        new = policy_file.with_suffix('.new')
        new.write_text(text)
        new.rename(policy_file)

    assert seen() == 403
    write(OVERRIDE.read_text())
    assert seen() == 200
    write('{ broken')
    assert seen() == 200
    write('"os_compute_api:servers:migrations:index": "!"')
    assert seen() == 403
    policy_file.unlink()
    assert seen() == 403
    assert cloud.rest('GET', path).status == 200  # admin
    assert cloud.process('all').pid == pid
    assert cloud.process('all').poll() is None
    cloud.rest('DELETE', f'/servers/{made}', user=manager)


def test_a_manager_migrates(
    cloud: Cloud, keystone: Keystone, policy_file: pathlib.Path
) -> None:
    policy_file.write_text(OVERRIDE.read_text())
    manager = cloud.user('manager')
    made = boot(cloud, 'moving', manager)
    action = {'os-migrateLive': {'host': None, 'block_migration': 'auto'}}
    path = f'/servers/{made}/action'
    for name, code in (('member', 403), ('other', 404), ('manager', 202)):
        answer = cloud.rest('POST', path, action, user=cloud.user(name))
        assert answer.status == code, answer.body
    own = f'/os-migrations?project_id={keystone.project("users")}'
    (migration,) = (
        one
        for one in cloud.rest('GET', own, user=manager).body['migrations']
        if one['instance_uuid'] == made
    )
    assert migration['user_id'] == keystone.user_id('manager')
    assert migration['project_id'] == keystone.project('users')
    assert migration['source_compute'] is None
    ended = cloud.wait_migration(made, migration['id'])
    assert ended['status'] == 'completed'
    cloud.rest('DELETE', f'/servers/{made}', user=manager)


# -- clients ----------------------------------------------------------------
def run(
    program: str, *words: str, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith('OS_')}
    return subprocess.run(
        [pathlib.Path(sys.executable).with_name(program), *words],
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_openstacks_command_line(cloud: Cloud, keystone: Keystone) -> None:
    member = cloud.user('member')
    made = boot(cloud, 'listed', member)
    env = cloud.environment(member)
    done = run('openstack', 'token', 'issue', '-f', 'json', env=env)
    assert done.returncode == 0, done.stderr
    issued = json.loads(done.stdout)
    assert issued['project_id'] == keystone.project('users')
    assert issued['user_id'] == keystone.user_id('member')
    assert ask(cloud, issued['id']) == 200

    # The address comes from Keystone's catalogue.
    done = run('openstack', 'server', 'list', '-f', 'json', env=env)
    assert done.returncode == 0, done.stderr
    assert made in {one['ID'] for one in json.loads(done.stdout)}

    done = run('openstack', 'token', 'revoke', issued['id'], env=env)
    assert done.returncode == 0, done.stderr
    assert ask(cloud, issued['id']) == 401
    cloud.rest('DELETE', f'/servers/{made}', user=member)


def test_novas_command_line(cloud: Cloud) -> None:
    other = cloud.user('other')
    made = boot(cloud, 'elsewhere', other)
    done = run('nova', 'list', env=cloud.environment(other))
    assert done.returncode == 0, done.stderr
    assert made in done.stdout
    cloud.rest('DELETE', f'/servers/{made}', user=other)


def test_our_command_line_with_clouds_yaml(
    cloud: Cloud, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / 'clouds.yaml'
    file.write_text(json.dumps(cloud.clouds()))
    reader = cloud.user('reader')
    made = boot(cloud, 'read', cloud.user('member'))
    env = {'OS_CLIENT_CONFIG_FILE': str(file), 'OS_CLOUD': reader.name}
    done = run('livemig', 'server', 'list', '-f', 'json', env=env)
    assert done.returncode == 0, done.stderr
    assert made in done.stdout
    done = run('livemig', 'server', 'delete', made, env=env)
    assert done.returncode != 0
    assert 'os_compute_api:servers:delete' in done.stderr
    cloud.rest('DELETE', f'/servers/{made}')


def test_a_wrong_password(cloud: Cloud) -> None:
    env = {**cloud.environment(), 'OS_PASSWORD': 'wrong'}
    done = run('livemig', 'server', 'list', env=env)
    assert done.returncode != 0
    assert '401' in done.stderr
    assert 'Traceback' not in done.stderr
