"""What a person and a script are told when something does not work."""

import base64
import socket
from pathlib import Path

import pytest

from tests.functional.client.conftest import Run
from tests.functional.client.standin import StandIn


@pytest.mark.parametrize(
    ('status', 'code'),
    [(403, 4), (404, 3), (409, 4), (400, 4), (500, 1), (503, 6), (504, 6)],
)
def test_the_words_of_the_service_and_the_request_id(
    livemig: Run, standin: StandIn, status: int, code: int
) -> None:
    server = standin.server('web')
    standin.refuse('POST', f'/servers/{server}/action', status, 'Not so.')
    outcome = livemig('server', 'migrate', '--live', 'web')
    assert outcome.code == code
    assert outcome.err == f'Not so. (HTTP {status}, request req-1)\n'
    assert outcome.out == ''


def test_a_list_that_is_asked_for_wrongly(
    livemig: Run, standin: StandIn
) -> None:
    """400 to a question is no refusal by state."""
    standin.refuse('GET', '/os-migrations', 400, 'No such filter.')
    assert livemig('migration', 'list').code == 1


def test_an_operation_the_service_does_not_have(
    livemig: Run, standin: StandIn
) -> None:
    """A router answers, not the API: no fault body."""
    standin.server('web')
    livemig('server', 'list')
    standin.raw = (404, 'text/plain', b'404 Not Found')
    outcome = livemig('host', 'list')
    assert outcome.code == 1
    assert 'HTTP 404' in outcome.err


def test_a_proxy_that_says_unavailable(livemig: Run, standin: StandIn) -> None:
    standin.raw = (503, 'text/html', b'<html>Down</html>')
    outcome = livemig('server', 'list')
    assert outcome.code == 6
    assert 'HTTP 503' in outcome.err


def test_a_service_that_is_something_else(
    livemig: Run, standin: StandIn
) -> None:
    standin.raw = (200, 'text/html', b'<html>Hello</html>')
    outcome = livemig('server', 'list')
    assert outcome.code == 1
    assert 'no compute API' in outcome.err


def test_no_service_at_all(bare: Run) -> None:
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{taken.getsockname()[1]}/v2.1'
        outcome = bare(
            'server', 'list', '--os-auth-type=none', f'--os-endpoint={url}'
        )
    assert outcome.code == 6
    assert outcome.err == (
        f'The service at {url} cannot be reached: Connection refused.\n'
    )


def test_nothing_configured(bare: Run) -> None:
    outcome = bare('server', 'list')
    assert outcome.code == 2
    assert 'auth_url' in outcome.err


def test_an_unknown_cloud(bare: Run) -> None:
    outcome = bare('server', 'list', '--os-cloud', 'nowhere')
    assert outcome.code == 2
    assert 'nowhere' in outcome.err


@pytest.mark.parametrize(
    'words',
    [
        'server lst',
        'server list --no-such',
        'server-migration-show web one',
        'migration watch web --timeout 0',
        'migration watch web --interval nan',
        'migration list --limit 0',
        'migration list --in-progress --status running',
    ],
)
def test_wrong_usage(livemig: Run, standin: StandIn, words: str) -> None:
    assert livemig(*words.split()).code == 2
    assert standin.requests == []


def test_an_unknown_command(bare: Run) -> None:
    outcome = bare('server', 'lst')
    assert (outcome.code, outcome.out) == (2, '')
    assert "'server lst' is no command" in outcome.err
    assert '  server list\n' in outcome.err


def test_no_command_shows_the_help(bare: Run) -> None:
    outcome = bare()
    assert outcome.code == 2
    assert 'exit codes:' in outcome.out


@pytest.mark.parametrize('flag', ['--help', '-h'])
def test_help_of_a_command(bare: Run, flag: str) -> None:
    outcome = bare('migration', 'watch', flag)
    assert outcome.code == 0
    assert outcome.out.startswith('usage: livemig migration watch')
    assert 'until it has ended. On a terminal' in outcome.out
    assert 'exit codes:' not in outcome.out


def test_help_lists_exit_codes_and_commands(bare: Run) -> None:
    outcome = bare('--help')
    assert outcome.code == 0
    assert ' 124  the --timeout of waiting was reached' in outcome.out
    assert 'live-migration-force-complete' in outcome.out


def test_completion_knows_the_commands(bare: Run) -> None:
    outcome = bare('complete')
    assert outcome.code == 0
    assert "cmds_host='disable enable list'" in outcome.out
    assert '--in-progress' in outcome.out


def test_a_traceback_only_for_debugging(
    livemig: Run, standin: StandIn
) -> None:
    standin.refuse('GET', '/servers/detail', 500, 'Broken.')
    assert 'Traceback' not in livemig('server', 'list').err
    assert 'Traceback' in livemig('server', 'list', '--debug').err


def test_an_answer_that_lacks_what_it_must_have(
    livemig: Run, standin: StandIn
) -> None:
    standin.highest = '2.60'
    livemig('host', 'list')
    standin.raw = (200, 'application/json', b'{"version": {}}')
    outcome = livemig('host', 'list')
    assert outcome.code == 1
    assert 'Traceback' not in outcome.err


def test_text_of_the_service_cannot_steer_the_terminal(
    livemig: Run, standin: StandIn
) -> None:
    standin.refuse('GET', '/servers/detail', 400, 'Bad\x1b[2J\nname')
    err = livemig('server', 'list').err
    assert err == 'Bad [2J name (HTTP 400, request req-1)\n'


# -- versions ---------------------------------------------------------------
@pytest.mark.parametrize(
    ('offered', 'spoken'),
    [('2.202', '2.202'), ('2.300', '2.202'), ('2.96', '2.96')],
)
def test_the_newest_version_of_both(
    livemig: Run, standin: StandIn, offered: str, spoken: str
) -> None:
    standin.highest = offered
    assert livemig('server', 'list').code == 0
    assert standin.requests[-1][3] == spoken


def test_a_version_that_was_asked_for(livemig: Run, standin: StandIn) -> None:
    words = ['server', 'list', '--os-compute-api-version']
    assert livemig(*words, '2.30').code == 0
    assert standin.requests[-1][3] == '2.30'
    standin.requests.clear()
    outcome = livemig(*words, '2.300')
    assert outcome.code == 1
    assert '2.1 to 2.202' in outcome.err
    assert standin.requests == []


@pytest.mark.parametrize('asked', ['2', '2.0', '2.latest'])
def test_no_version_in_particular(
    livemig: Run, standin: StandIn, asked: str
) -> None:
    words = ['server', 'list', '--os-compute-api-version', asked]
    outcome = livemig(*words)
    assert (outcome.code, outcome.err) == (0, '')
    assert standin.requests[-1][3] == '2.202'


@pytest.mark.parametrize('asked', ['two', '2.', '2.060', '-2.1'])
def test_a_version_that_is_none(
    livemig: Run, standin: StandIn, asked: str
) -> None:
    outcome = livemig('server', 'list', f'--os-compute-api-version={asked}')
    assert outcome.code == 2
    assert asked in outcome.err
    assert standin.requests == []


@pytest.mark.parametrize(
    ('offered', 'words', 'needed'),
    [
        ('2.200', 'live-migration-force-end web', '2.201'),
        ('2.23', 'live-migration-abort web 1', '2.24'),
        ('2.22', 'live-migration-abort web', '2.24'),
        ('2.21', 'live-migration-force-complete web 1', '2.22'),
        ('2.24', 'server migrate --live web', '2.25'),
        ('2.22', 'migration watch web 1', '2.23'),
        ('2.58', 'migration list --limit 1', '2.59'),
        ('2.73', 'server create w --flavor 1 --image i --host h', '2.74'),
        ('2.52', 'host disable host1', '2.53'),
    ],
)
def test_a_command_that_needs_more(
    livemig: Run, standin: StandIn, offered: str, words: str, needed: str
) -> None:
    standin.server('web')
    standin.highest = offered
    outcome = livemig(*words.split())
    assert outcome.code == 1
    assert f'needs compute API {needed} or later; {offered} is' in outcome.err
    assert standin.requests == []


# -- who asks ---------------------------------------------------------------
def test_http_basic_by_options(
    bare: Run, standin: StandIn, address: str
) -> None:
    standin.credentials = 'admin:secret'
    words = [
        *('server', 'list', '--os-auth-type', 'http_basic'),
        *('--os-endpoint', f'{address}/v2.1', '--os-username', 'admin'),
        '--os-password',
    ]
    assert bare(*words, 'secret').code == 0
    outcome = bare(*words, 'wrong')
    assert outcome.code == 2
    assert 'HTTP 401' in outcome.err
    assert 'Check the user name' in outcome.err
    assert 'wrong' not in outcome.err


def test_no_secret_is_logged(
    bare: Run, standin: StandIn, address: str
) -> None:
    standin.credentials = 'admin:secret'
    outcome = bare(
        *('server', 'list', '-vvv', '--debug'),
        *('--os-auth-type', 'http_basic', '--os-username', 'admin'),
        *('--os-endpoint', f'{address}/v2.1', '--os-password', 'secret'),
    )
    assert outcome.code == 0
    assert 'REQ: curl' in outcome.err
    assert 'secret' not in outcome.err
    coded = base64.b64encode(b'admin:secret').decode()
    assert coded not in outcome.err


def test_http_basic_by_environment(
    bare: Run,
    standin: StandIn,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    standin.credentials = 'admin:secret'
    monkeypatch.setenv('OS_AUTH_TYPE', 'http_basic')
    monkeypatch.setenv('OS_ENDPOINT', f'{address}/v2.1')
    monkeypatch.setenv('OS_USERNAME', 'admin')
    monkeypatch.setenv('OS_PASSWORD', 'secret')
    monkeypatch.setenv('OS_COMPUTE_API_VERSION', '2.80')
    outcome = bare('server', 'list')
    assert outcome.code == 0, outcome.err
    assert standin.requests[-1][3] == '2.80'


@pytest.mark.parametrize('path', ['', '/', '/v2.1', '/v2.1/'])
def test_clouds_yaml(
    bare: Run,
    standin: StandIn,
    address: str,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    standin.credentials = 'admin:secret'
    standin.server('web')
    clouds = tmp_path / 'clouds.yaml'
    clouds.write_text(
        f"""
clouds:
  mine:
    auth_type: http_basic
    auth:
      endpoint: {address}{path}
      username: admin
      password: secret
  other:
    auth_type: none
    auth: {{endpoint: http://127.0.0.1:9/}}
"""
    )
    monkeypatch.setenv('OS_CLIENT_CONFIG_FILE', str(clouds))
    monkeypatch.setenv('OS_CLOUD', 'other')
    outcome = bare('server', 'list', '--os-cloud', 'mine', '-f', 'json')
    assert outcome.code == 0, outcome.err
    assert [row['Name'] for row in outcome.json()] == ['web']


def test_keystone_password(bare: Run, standin: StandIn, address: str) -> None:
    standin.credentials = 'a-token'
    outcome = bare(
        *('server', 'list', '--os-username', 'u', '--os-password', 'p'),
        *('--os-auth-url', f'{address}/identity/v3'),
        *('--os-project-name', 'p', '--os-user-domain-name', 'd'),
        *('--os-project-domain-name', 'd', '--os-region-name', 'one'),
    )
    assert outcome.code == 0, outcome.err


def test_keystone_that_refuses(
    bare: Run, standin: StandIn, address: str
) -> None:
    standin.refuse('POST', '/identity', 401, 'Who are you?')
    outcome = bare(
        *('server', 'list', '--os-username', 'u', '--os-password', 'p'),
        *('--os-auth-url', f'{address}/identity/v3'),
        *('--os-project-name', 'p', '--os-user-domain-name', 'd'),
        *('--os-project-domain-name', 'd'),
    )
    assert outcome.code == 2
    assert 'Who are you?' in outcome.err
    assert 'Check the user name' in outcome.err


def test_a_password_that_nobody_can_be_asked_for(
    bare: Run, standin: StandIn, address: str
) -> None:
    outcome = bare(
        *('server', 'list', '--os-auth-type', 'http_basic'),
        *('--os-endpoint', f'{address}/v2.1', '--os-username', 'admin'),
    )
    assert outcome.code == 2
    assert outcome.err.startswith('Cannot authenticate: ')
    assert 'clouds.yaml' in outcome.err
