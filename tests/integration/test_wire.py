"""The API's shapes and codes, from the running service on real hosts.

Expected names and codes are written out from Nova's API and the specs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from lab.cloud import Cloud, image_id
from tests.integration.acts import abort, begin, force, queued, stays

pytestmark = pytest.mark.libvirt

UNKNOWN = 'deadbeef-dead-4ead-8ead-deadbeefdead'

_COUNTERS = {
    f'{kind}_{what}_bytes'
    for kind in ('memory', 'disk')
    for what in ('total', 'processed', 'remaining')
}
_HOSTS = {
    *('source_compute', 'source_node'),
    *('dest_compute', 'dest_node', 'dest_host'),
}
_OWN = {
    *('old_flavor_id', 'new_flavor_id', 'reason', 'completed_by'),
    *('downtime_ms', 'throughput_bytes_per_s', 'pass_number'),
    *('dirty_rate_bytes_per_s', 'elapsed_s', 'timeout_s'),
}
_LATER = (
    ('2.59', {'uuid'}),
    ('2.80', {'user_id', 'project_id'}),
    ('2.202', _OWN),
)
_SERVER_MIGRATION = {
    *('id', 'server_uuid', 'status', 'created_at', 'updated_at'),
    *_HOSTS,
    *_COUNTERS,
}
_MIGRATION = {
    *('id', 'instance_uuid', 'status', 'created_at', 'updated_at'),
    *('old_instance_type_id', 'new_instance_type_id'),
    *_HOSTS,
}
VERSIONS = ('2.23', '2.59', '2.80', '2.100', '2.150', '2.202')


def number(version: str) -> int:
    return int(version.split('.')[1])


def keys(at_first: set[str], version: str) -> set[str]:
    """What an object has at that version."""
    return at_first.union(
        *(more for first, more in _LATER if number(first) <= number(version))
    )


def fault(answer) -> str:
    """The only key of a refusal, which has a code and words."""
    ((name, body),) = answer.body.items()
    assert body['code'] == answer.status
    assert body['message']
    return str(name)


# -- os-migrateLive ---------------------------------------------------------
#: version, what is sent, where it then runs.
SHAPES = [
    (
        '2.1',
        {'host': 'host2', 'block_migration': False, 'disk_over_commit': False},
        'host2',
    ),
    ('2.25', {'host': 'host1', 'block_migration': 'auto'}, 'host1'),
    (
        '2.30',
        {'host': 'host2', 'block_migration': 'auto', 'force': True},
        'host2',
    ),
    ('2.34', {'host': None, 'block_migration': 'False'}, 'host1'),
    ('2.68', {'host': 'host2', 'block_migration': 'auto'}, 'host2'),
]
#: version, what is sent and does not fit it.
MISFITS = [
    ('2.1', {'host': 'host2', 'block_migration': False}),
    (
        '2.24',
        {
            'host': 'host2',
            'block_migration': 'auto',
            'disk_over_commit': False,
        },
    ),
    (
        '2.25',
        {'host': None, 'block_migration': False, 'disk_over_commit': False},
    ),
    ('2.29', {'host': 'host2', 'block_migration': 'auto', 'force': True}),
    ('2.30', {'host': None, 'block_migration': 'auto', 'force': True}),
    ('2.68', {'host': 'host2', 'block_migration': 'auto', 'force': True}),
    ('2.202', {'host': 'host2', 'block_migration': 'auto', 'force': False}),
    ('2.202', {'host': '', 'block_migration': 'auto'}),
    ('2.202', {'host': 'host2'}),
]


def migrate(cloud, server, version, body):
    return cloud.rest(
        'POST',
        f'/servers/{server}/action',
        {'os-migrateLive': body},
        version=version,
    )


def test_every_shape_of_the_request_moves_the_guest(cloud, guest):
    server, watcher = guest('idle')
    for version, body, host in SHAPES:
        answer = migrate(cloud, server, version, body)
        assert (answer.status, answer.body) == (202, None), (version, answer)
        newest = cloud.migrations(server)[0]
        ended = cloud.wait_migration(server, newest['id'])
        assert ended['status'] == 'completed', (version, ended)
        shown = cloud.show(server)
        assert shown['OS-EXT-SRV-ATTR:host'] == host, version
    assert len(cloud.migrations(server)) == len(SHAPES)
    watcher.wait_swept()
    assert watcher.proof().intact, watcher.proof().faults


def test_requests_of_another_shape_are_refused(cloud, guest):
    server, _ = guest('idle')
    for version, body in MISFITS:
        answer = migrate(cloud, server, version, body)
        assert answer.status == 400, (version, body, answer)
        assert fault(answer) == 'badRequest'
    nowhere = {'host': 'nowhere', 'block_migration': 'auto'}
    for version in ('2.30', '2.202'):
        assert migrate(cloud, server, version, nowhere).status == 400
    assert cloud.migrations(server) == []
    assert cloud.show(server)['status'] == 'ACTIVE'


# -- what is told of a migration --------------------------------------------
def both(cloud, server, version):
    """The server's migrations, and all of that server's."""
    own = cloud.rest('GET', f'/servers/{server}/migrations', version=version)
    every = cloud.rest(
        'GET', f'/os-migrations?instance_uuid={server}', version=version
    )
    assert (own.status, every.status) == (200, 200), version
    return own.body['migrations'], every.body['migrations']


@contextlib.contextmanager
def running(cloud: Cloud, guest) -> Iterator[tuple[str, int]]:
    """A migration whose memory flows; at the end it is aborted."""
    server, watcher, migration = begin(cloud, guest)
    yield server, migration
    assert abort(cloud, server, migration).status == 202
    stays(cloud, server, watcher, migration)


def test_a_running_and_an_ended_migration_at_each_version(cloud, guest):
    with running(cloud, guest) as (server, migration):
        path = f'/servers/{server}/migrations/{migration}'
        for version in VERSIONS:
            (own,), (one,) = both(cloud, server, version)
            assert set(own) == keys(_SERVER_MIGRATION, version), version
            shown = cloud.rest('GET', path, version=version).body
            assert list(shown) == ['migration']
            assert set(shown['migration']) == set(own)
            assert set(one) == {
                *keys(_MIGRATION, version),
                *('migration_type', 'links'),
            }
            assert [link['rel'] for link in one['links']] == [
                *('self', 'bookmark')
            ]
            assert one['links'][0]['href'].endswith(f'/v2.1{path}')
            assert own['status'] == one['status'] == 'running'
            assert own['memory_total_bytes'] > 0
            assert own['dest_host'] is None
        assert one['migration_type'] == 'live-migration'
        first = cloud.rest(
            'GET', f'/os-migrations?instance_uuid={server}', version='2.1'
        )
        assert set(first.body['migrations'][0]) == _MIGRATION
    for version in VERSIONS:
        own, (one,) = both(cloud, server, version)
        assert own == [], version
        assert set(one) == {*keys(_MIGRATION, version), 'migration_type'}
        assert one['status'] == 'cancelled'


def test_the_list_of_all_is_paged(cloud, guest):
    server, _ = guest('idle')
    for host in ('host2', 'host1'):
        cloud.wait_migration(server, cloud.migrate(server, host))
    newest, oldest = cloud.migrations(server)
    assert newest['id'] > oldest['id']
    query = f'/os-migrations?instance_uuid={server}&limit=1'
    page = cloud.rest('GET', query, version='2.59').body
    assert [m['id'] for m in page['migrations']] == [newest['id']]
    (link,) = page['migrations_links']
    assert link['rel'] == 'next'
    assert f'marker={newest["uuid"]}' in link['href']
    rest = cloud.rest(
        'GET', f'{query}&marker={newest["uuid"]}', version='2.59'
    ).body
    assert [m['id'] for m in rest['migrations']] == [oldest['id']]
    for wrong in (f'marker={UNKNOWN}', 'limit=-1', 'colour=red'):
        answer = cloud.rest('GET', f'/os-migrations?{wrong}', version='2.59')
        assert answer.status == 400, wrong
    # Below 2.59 nobody minds.
    answer = cloud.rest('GET', '/os-migrations?colour=red', version='2.58')
    assert answer.status == 200


# -- who may ----------------------------------------------------------------
def requests(server, migration):
    """Everything one can ask of a migration: method, path, body."""
    path = f'/servers/{server}/migrations'
    action = f'/servers/{server}/action'
    live = {'host': None, 'block_migration': 'auto'}
    return [
        ('GET', path, None),
        ('GET', f'{path}/{migration}', None),
        ('DELETE', f'{path}/{migration}', None),
        ('POST', f'{path}/{migration}/action', {'force_complete': None}),
        ('POST', action, {'os-migrateLive': live}),
        ('POST', action, {'live-migrate-force-end': None}),
    ]


def test_members_may_not_and_others_do_not_see_it(cloud):
    member, other = (
        next(user for user in cloud.users if user.name == name)
        for name in ('member', 'other')
    )
    made = cloud.rest(
        'POST',
        '/servers',
        {
            'server': {
                'name': 'mine',
                'imageRef': image_id('busy'),
                'flavorRef': 'proof',
                'networks': 'none',
            }
        },
        version='2.100',
        user=member,
    )
    assert made.status == 202, made
    server = made.body['server']['id']
    source = cloud.wait_status(server, 'ACTIVE')['OS-EXT-SRV-ATTR:host']
    migration = cloud.migrate(
        server, 'host2' if source == 'host1' else 'host1'
    )
    cloud.wait_pass(server, migration)
    for method, path, body in requests(server, migration):
        answer = cloud.rest(method, path, body, user=member)
        assert (answer.status, fault(answer)) == (403, 'forbidden'), path
        answer = cloud.rest(method, path, body, user=other)
        assert (answer.status, fault(answer)) == (404, 'itemNotFound'), path
    for user in (member, other):
        answer = cloud.rest('GET', '/os-migrations', user=user)
        assert answer.status == 403, answer
    assert cloud.migration(server, migration)['status'] == 'running'
    assert abort(cloud, server, migration).status == 202
    cloud.wait_migration(server, migration)


# -- codes ------------------------------------------------------------------
def codes(cloud, server, migration):
    """Of list, show, abort and force complete."""
    return [
        cloud.rest(method, path, body).status
        for method, path, body in requests(server, migration)[:4]
    ]


def test_codes_where_nothing_migrates(cloud, guest):
    server, _ = guest('idle')
    for method, path, body in requests(UNKNOWN, 1):
        assert cloud.rest(method, path, body).status == 404, path
    assert codes(cloud, server, 999999) == [200, 404, 404, 400]
    answer = cloud.rest('GET', f'/servers/{server}/migrations')
    assert answer.body == {'migrations': []}
    migration = cloud.migrate(server, 'host2')
    cloud.wait_migration(server, migration)
    assert codes(cloud, server, migration) == [200, 404, 400, 400]
    end = {'live-migrate-force-end': None}
    action = f'/servers/{server}/action'
    assert cloud.rest('POST', action, end).status == 409
    assert cloud.rest('POST', action, end, version='2.200').status == 404
    # A migration of another server is none of this one.
    second, _ = guest('idle', 'host2')
    assert codes(cloud, second, migration)[1:4] == [404, 404, 400]


def test_codes_while_it_runs(cloud, guest):
    with running(cloud, guest) as (server, migration):
        path = f'/servers/{server}/migrations/{migration}'
        action = f'/servers/{server}/action'
        for version, method, where, body, status in (
            # Before they came.
            ('2.21', 'POST', f'{path}/action', {'force_complete': None}, 404),
            ('2.22', 'GET', path, None, 404),
            ('2.23', 'DELETE', path, None, 404),
            # By schema.
            ('2.22', 'POST', f'{path}/action', {'force_complete': {}}, 400),
            ('2.22', 'POST', f'{path}/action', {'hurry': None}, 400),
            ('2.22', 'POST', f'{path}/action', [1], 400),
            ('2.22', 'POST', f'{path}/action', 'now', 400),
            # A schema's refusal comes before the server's absence.
            (
                *('2.22', 'POST'),
                f'/servers/{UNKNOWN}/migrations/1/action',
                *({'force_complete': 1}, 400),
            ),
            # It migrates already.
            (
                *('2.202', 'POST', action),
                {'os-migrateLive': {'host': None, 'block_migration': 'auto'}},
                409,
            ),
            ('2.202', 'POST', action, {'os-resetState': {'state': 'active'}},
             409),
            ('2.203', 'GET', path, None, 406),
            ('3.0', 'GET', path, None, 406),
            ('two', 'GET', path, None, 400),
        ):  # fmt: skip
            answer = cloud.rest(method, where, body, version=version)
            assert answer.status == status, (version, method, body, answer)
        assert cloud.migration(server, migration)['status'] == 'running'


def test_a_queued_migration_is_aborted_from_2_65_on(cloud, guest):
    server, watcher = guest('idle')
    with queued(cloud, guest, server) as migration:
        path = f'/servers/{server}/migrations/{migration}'
        answer = cloud.rest('DELETE', path, version='2.64')
        assert answer.status == 400, answer
        assert force(cloud, server, migration).status == 400
        answer = cloud.rest('DELETE', path, version='2.65')
        assert answer.status == 202, answer
    stays(cloud, server, watcher, migration)
