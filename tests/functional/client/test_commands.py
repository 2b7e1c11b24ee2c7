"""Each command against the wire: what it sends and what it shows."""

import uuid
from typing import Any

import pytest

from tests.functional.client.conftest import Clock, Run
from tests.functional.client.standin import IMAGE, StandIn


def test_create_server(livemig: Run, standin: StandIn) -> None:
    outcome = livemig(
        *('server', 'create', 'web', '--flavor', 'tiny', '--image', 'img'),
        *('--host', 'host2', '-f', 'json'),
    )
    assert outcome.code == 0, outcome.err
    (sent,) = standin.asked('POST')
    assert sent == (
        '/v2.1/servers',
        {
            'server': {
                'name': 'web',
                'flavorRef': '1',
                'imageRef': IMAGE,
                'networks': 'none',
                'host': 'host2',
            }
        },
    )
    assert outcome.json()['status'] == 'BUILD'
    assert outcome.json()['id'] in standin.servers


def test_create_server_waits_until_it_runs(
    livemig: Run, standin: StandIn, clock: Clock
) -> None:
    standin.on['create'] = lambda server: clock.at(
        5, lambda: standin.servers[server].update(status='ACTIVE')
    )
    words = (
        'server create web --flavor 1 --image img --wait -f value -c status'
    )
    outcome = livemig(*words.split())
    assert (outcome.code, outcome.out) == (0, 'ACTIVE\n')
    assert clock.monotonic_s() == 5


def test_create_server_that_fails(livemig: Run, standin: StandIn) -> None:
    standin.on['create'] = lambda server: standin.servers[server].update(
        status='ERROR', fault={'message': 'No valid host was found.'}
    )
    words = 'server create web --flavor 1 --image img --wait'
    outcome = livemig(*words.split())
    assert outcome.code == 5
    assert 'No valid host was found.' in outcome.err


def test_list_servers(livemig: Run, standin: StandIn) -> None:
    one = standin.server('one')
    standin.server('two', **{'OS-EXT-SRV-ATTR:host': 'host2'})
    outcome = livemig(
        'server', 'list', '--host', 'host1', '--all-projects', '-f', 'json'
    )
    assert outcome.code == 0
    assert [row['ID'] for row in outcome.json()] == [one]
    method, path, query, version, _ = standin.requests[-1]
    assert (method, path, version) == ('GET', '/v2.1/servers/detail', '2.202')
    assert query == {'host': 'host1', 'all_tenants': 'True'}


def test_a_long_list_is_read_to_its_end(
    livemig: Run, standin: StandIn
) -> None:
    standin.page_size = 2
    names = [f's{number}' for number in range(5)]
    for name in names:
        standin.server(name)
    outcome = livemig('server', 'list', '-f', 'value', '-c', 'Name')
    assert outcome.out.split() == names


def test_show_server_by_name_and_uuid(livemig: Run, standin: StandIn) -> None:
    server = standin.server('web')
    standin.server('web-2')
    by_name = livemig('server', 'show', 'web', '-f', 'json')
    by_uuid = livemig('server', 'show', server.upper(), '-f', 'json')
    assert by_name.json() == by_uuid.json()
    assert by_name.json()['host'] == 'host1'
    assert by_name.json()['task_state'] is None


def test_a_name_with_letters_of_regular_expressions(
    livemig: Run, standin: StandIn
) -> None:
    server = standin.server('a+b (c)')
    shown = livemig('server', 'show', 'a+b (c)', '-f', 'json')
    assert shown.json()['id'] == server


def test_a_name_of_several_servers(livemig: Run, standin: StandIn) -> None:
    servers = [standin.server('web'), standin.server('web')]
    outcome = livemig('server', 'delete', 'web')
    assert outcome.code == 2
    assert all(server in outcome.err for server in servers)
    assert standin.asked('DELETE') == []


def test_a_name_where_other_projects_are_not_to_be_seen(
    livemig: Run, standin: StandIn
) -> None:
    standin.all_projects_allowed = False
    server = standin.server('web')
    shown = livemig('server', 'show', 'web', '-f', 'json')
    assert shown.json()['id'] == server


def test_delete_server_waits_until_it_is_gone(
    livemig: Run, standin: StandIn, clock: Clock
) -> None:
    server = standin.server('web')
    standin.on['delete'] = lambda server: clock.at(
        3, lambda: standin.servers.pop(server)
    )
    outcome = livemig('server', 'delete', 'web', '--wait')
    assert outcome.code == 0
    assert clock.monotonic_s() == 3
    assert standin.asked('DELETE') == [(f'/v2.1/servers/{server}', None)]


def test_delete_server_that_stays(
    livemig: Run, standin: StandIn, clock: Clock
) -> None:
    standin.server('web')
    outcome = livemig('server', 'delete', 'web', '--wait', '--timeout', '2.5')
    assert outcome.code == 124
    assert 'is still being deleted' in outcome.err
    assert clock.monotonic_s() == 2.5


@pytest.mark.parametrize(
    ('words', 'body'),
    [
        ('', {'host': None, 'block_migration': 'auto'}),
        ('--host host2', {'host': 'host2', 'block_migration': 'auto'}),
        ('--block-migration', {'host': None, 'block_migration': True}),
        ('--shared-migration', {'host': None, 'block_migration': False}),
    ],
)
def test_migrate(
    livemig: Run, standin: StandIn, words: str, body: dict[str, Any]
) -> None:
    server = standin.server('web')
    outcome = livemig('server', 'migrate', '--live', 'web', *words.split())
    assert outcome.code == 0, outcome.err
    assert standin.asked('POST') == [
        (f'/v2.1/servers/{server}/action', {'os-migrateLive': body})
    ]
    assert outcome.out == ''
    assert 'livemig migration watch web' in outcome.err


def test_migrate_must_be_live(livemig: Run, standin: StandIn) -> None:
    standin.server('web')
    assert livemig('server', 'migrate', 'web').code == 2
    assert standin.requests == []


@pytest.mark.parametrize(
    ('words', 'method', 'path', 'body'),
    [
        (
            'live-migration-abort',
            'DELETE',
            '/migrations/{migration}',
            None,
        ),
        (
            'live-migration-force-complete',
            'POST',
            '/migrations/{migration}/action',
            {'force_complete': None},
        ),
    ],
)
@pytest.mark.parametrize('named', [True, False])
def test_requests_on_a_migration(
    livemig: Run,
    standin: StandIn,
    words: str,
    method: str,
    path: str,
    body: Any,
    named: bool,
) -> None:
    server = standin.server('web')
    standin.migration(server, 'completed')
    migration = standin.migration(server, 'running')
    more = [str(migration)] if named else []
    outcome = livemig(words, 'web', *more)
    assert outcome.code == 0, outcome.err
    path = path.format(migration=migration)
    assert standin.asked(method) == [(f'/v2.1/servers/{server}{path}', body)]


def test_force_end(livemig: Run, standin: StandIn) -> None:
    server = standin.server('web')
    assert livemig('live-migration-force-end', 'web').code == 0
    assert standin.asked('POST') == [
        (f'/v2.1/servers/{server}/action', {'live-migrate-force-end': None})
    ]


def test_no_migration_in_progress(livemig: Run, standin: StandIn) -> None:
    server = standin.server('web')
    standin.migration(server, 'cancelled')
    outcome = livemig('live-migration-abort', 'web')
    assert outcome.code == 3
    assert 'No live migration' in outcome.err
    assert standin.asked('DELETE') == []


def test_several_migrations_in_progress(
    livemig: Run, standin: StandIn
) -> None:
    server = standin.server('web')
    standin.migration(server, 'running')
    standin.migration(server, 'queued')
    outcome = livemig('live-migration-abort', 'web')
    assert outcome.code == 2
    assert '1 (running), 2 (queued)' in outcome.err
    assert standin.asked('DELETE') == []


def test_an_accepted_migration_is_in_progress(
    livemig: Run, standin: StandIn
) -> None:
    """It is in the list of all migrations only."""
    server = standin.server('web')
    migration = standin.migration(server, 'accepted')
    livemig('live-migration-abort', 'web')
    path = f'/v2.1/servers/{server}/migrations/{migration}'
    assert standin.asked('DELETE') == [(path, None)]


def test_list_server_migrations(livemig: Run, standin: StandIn) -> None:
    server = standin.server('web')
    standin.migration(server, 'completed')
    standin.migration(server, 'running (post-copy)', memory_total_bytes=7)
    outcome = livemig('server-migration-list', 'web', '-f', 'json')
    (row,) = outcome.json()
    assert row['ID'] == 2
    assert row['Status'] == 'running (post-copy)'
    assert row['Memory Total Bytes'] == 7
    assert livemig('server-migration-list', server).code == 0


def test_show_server_migration(livemig: Run, standin: StandIn) -> None:
    server = standin.server('web')
    standin.migration(server, 'running', disk_total_bytes=9, reason='slow')
    shown = livemig('server-migration-show', 'web', '1', '-f', 'json').json()
    assert shown['server_uuid'] == server
    assert shown['disk_total_bytes'] == 9
    assert shown['reason'] == 'slow'
    assert shown['downtime_ms'] is None
    # What the service does not tell is not shown as if it were unknown.
    assert 'old_flavor_id' not in shown


def test_list_migrations(livemig: Run, standin: StandIn) -> None:
    server = standin.server('web')
    standin.migration(standin.server('other'), 'running')
    standin.migration(server, 'running')
    standin.migration(server, 'completed', completed_by='pause')
    outcome = livemig(
        *('migration', 'list', '--server', 'web', '--status', 'completed'),
        *('--host', 'host2', '--limit', '5', '-f', 'json'),
    )
    assert [row['ID'] for row in outcome.json()] == [3]
    assert outcome.json()[0]['Completed By'] == 'pause'
    assert standin.requests[-1][2] == {
        'instance_uuid': server,
        'status': 'completed',
        'host': 'host2',
        'limit': '5',
    }


def test_list_migrations_in_progress(livemig: Run, standin: StandIn) -> None:
    """Also one that goes on while the list is made."""
    server = standin.server('web')
    statuses = ['running (post-copy)', 'completed', 'queued', 'accepted']
    for status in statuses:
        standin.migration(server, status)
    words = ('migration', 'list', '--in-progress', '--host', 'host2')
    columns = ('-c', 'ID', '-c', 'Status', '-f', 'value')
    assert livemig(*words, *columns).out.splitlines() == [
        '4 accepted',
        '3 queued',
        '1 running (post-copy)',
    ]
    assert livemig(*words, *columns, '--limit', '1').out == '4 accepted\n'
    standin.on['listed'] = lambda query: standin.migrations[4].update(
        status='queued' if query['status'] == 'accepted' else 'running'
    )
    assert livemig(*words, *columns).out.splitlines()[0] == '4 running'
    assert {request[2].get('host') for request in standin.requests} == {
        'host2'
    }


def test_list_migrations_up_to_a_limit(livemig: Run, standin: StandIn) -> None:
    standin.page_size = 2
    for _ in range(5):
        standin.migration(str(uuid.uuid4()), 'completed')
    outcome = livemig(
        *['migration', 'list', '--limit', '3', '-f', 'value', '-c', 'ID'],
    )
    assert outcome.out.split() == ['5', '4', '3']


def test_events(livemig: Run, standin: StandIn) -> None:
    server = standin.server('web')
    event = {'event': 'compute_live_migration', 'result': 'Success'}
    standin.actions[server] = [
        {
            'request_id': 'req-9',
            'action': 'live-migration',
            'message': None,
            'events': [event],
        }
    ]
    (row,) = livemig('server', 'event', 'list', 'web', '-f', 'json').json()
    assert (row['Request ID'], row['Action']) == ('req-9', 'live-migration')
    shown = livemig(
        *['server', 'event', 'show', 'web', 'req-9', '-f', 'json']
    ).json()
    assert shown['events'] == [event]
    assert livemig(*['server', 'event', 'show', 'web', 'req-8']).code == 3


def test_a_request_id_stays_one_segment(
    livemig: Run, standin: StandIn
) -> None:
    server = standin.server('web')
    livemig('server', 'event', 'show', 'web', '../../../flavors?x=')
    paths = [path for path, _ in standin.asked('GET')]
    assert all('/flavors' not in p or server in p for p in paths)


def test_other_formats(livemig: Run, standin: StandIn) -> None:
    standin.server('web')
    table = livemig('server', 'list')
    assert '| Name' in table.out
    assert 'Name: web' in livemig('server', 'list', '-f', 'yaml').out
