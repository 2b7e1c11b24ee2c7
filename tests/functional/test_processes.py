"""Whole processes, started as an operator starts them, real time."""

import base64
import functools
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from livemig.cmd import user_file
from livemig.virt import fake  # noqa: F401 - the driver the processes use

PATIENCE_S = 300
IMAGE = '11111111-2222-3333-4444-555555555555'

CONF = """
[DEFAULT]
state_path = {path}
compute_driver = fake
report_interval = 1
periodic_interval = 1
service_down_time = 5
log_file = {path}/livemig.log
[api]
bind_port = 0
http_basic_user_file = {path}/htpasswd
[catalogue]
path = {path}/catalogue.yaml
[fake]
world = here
prepare_s = 0.1
[oslo_messaging_notifications]
driver = messagingv2
[notifications]
notification_format = both
"""


class Process:
    """A livemig command that runs."""

    def __init__(self, path, mode, command, *args):
        self.path = path
        self.output = path / f'{command}.out'
        with open(self.output, 'w') as out:
            self.process = subprocess.Popen(
                [sys.executable, '-m', f'livemig.cmd.{command}', *args],
                env={**os.environ, 'LIVEMIG_CONCURRENCY': mode},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self):
        log = self.path / 'livemig.log'
        return log.read_text() if log.exists() else ''

    def until(self, get, what):
        """Ask again and again until there is an answer."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            found = get()
            if found:
                return found
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.1)
        raise AssertionError(f'no {what}: {self.log}')

    def port(self):
        found = self.until(
            lambda: re.search(r'The API is at http://\S+:(\d+)/', self.log),
            'address',
        )
        return int(found[1])

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def site(tmp_path):
    """Option file, user and catalogue of a small site."""
    (tmp_path / 'livemig.conf').write_text(CONF.format(path=tmp_path))
    for host in ('h1', 'h2'):
        (tmp_path / f'{host}.conf').write_text(f'[DEFAULT]\nhost = {host}\n')
    user_file.put(
        str(tmp_path / 'htpasswd'), 'jane', 'secret', 'demo', ['admin']
    )
    (tmp_path / 'catalogue.yaml').write_text(
        json.dumps(
            {
                'flavors': [
                    {'id': '1', 'name': 'tiny', 'ram_mib': 64, 'vcpus': 1}
                ],
                'images': [{'id': IMAGE, 'name': 'x', 'kernel': '/boot/k'}],
            }
        )
    )
    return tmp_path


@pytest.fixture
def start_in(site):
    """Start a command in a mode."""
    started = []

    def start(mode, command, *args):
        file = str(site / 'livemig.conf')
        one = Process(site, mode, command, '--config-file', file, *args)
        started.append(one)
        return one

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.fixture(params=['threading', 'eventlet'])
def start(request, start_in):
    """Start a command in either mode."""
    return functools.partial(start_in, request.param)


class Client:
    """Just enough of one; version 2.100."""

    def __init__(self, port):
        self.port = port
        user = base64.b64encode(b'jane:secret').decode()
        self.headers = {
            'Authorization': f'Basic {user}',
            'Content-Type': 'application/json',
            'OpenStack-API-Version': 'compute 2.100',
        }

    def __call__(self, method, path, body=None):
        """(status, answer)."""
        connection = http.client.HTTPConnection(
            '127.0.0.1', self.port, timeout=PATIENCE_S
        )
        try:
            connection.request(
                method,
                f'/v2.1{path}',
                json.dumps(body) if body is not None else None,
                self.headers,
            )
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text else None


def hosts(site):
    return [
        word
        for host in ('h1', 'h2')
        for word in ('--compute-config', str(site / f'{host}.conf'))
    ]


def test_all_in_one_moves_a_guest_and_stops_cleanly(start, site):
    move_a_guest(start, site)


def test_nothing_depends_on_the_in_process_driver(start_in, site):
    """The same over oslo.messaging's own driver for tests, which goes the
    way of a broker: through the pool, with casts that return at once."""
    file = site / 'livemig.conf'
    file.write_text(
        file.read_text().replace('[api]', 'transport_url = fake://\n[api]')
    )
    move_a_guest(functools.partial(start_in, 'threading'), site)


def move_a_guest(start, site):
    everything = start('all', '--db-sync', *hosts(site))
    client = Client(everything.port())

    def both_up():
        status, answer = client('GET', '/os-services?binary=nova-compute')
        assert status == 200, answer
        up = {s['host'] for s in answer['services'] if s['state'] == 'up'}
        return up == {'h1', 'h2'}

    everything.until(both_up, 'services')
    status, answer = client(
        'POST',
        '/servers',
        {
            'server': {
                'name': 'proof',
                'flavorRef': '1',
                'imageRef': IMAGE,
                'networks': 'none',
                'availability_zone': 'nova:h1',
            }
        },
    )
    assert status == 202, answer
    server = f'/servers/{answer["server"]["id"]}'

    def shown(**expected):
        status, answer = client('GET', server)
        assert status == 200, answer
        found = answer['server']
        return all(found[key] == value for key, value in expected.items())

    key = 'OS-EXT-SRV-ATTR:host'
    everything.until(lambda: shown(status='ACTIVE', **{key: 'h1'}), 'start')
    status, answer = client(
        'POST',
        f'{server}/action',
        {'os-migrateLive': {'host': 'h2', 'block_migration': 'auto'}},
    )
    assert status == 202, answer
    everything.until(lambda: shown(status='ACTIVE', **{key: 'h2'}), 'move')
    status, answer = client('GET', '/os-migrations')
    assert [m['status'] for m in answer['migrations']] == ['completed']
    began_s = time.monotonic()
    assert everything.stop() == 0
    assert time.monotonic() - began_s < 10
    assert 'livemig-all has stopped.' in everything.log
    assert 'Traceback' not in everything.log
    assert everything.output.read_text() == ''


def test_secrets_stay_where_they_are(start_in, site):
    """Also in the log of one who looks for an error."""
    file = site / 'livemig.conf'
    state = site / 'state'
    file.write_text(
        file.read_text()
        .replace('[DEFAULT]', '[DEFAULT]\ndebug = true')
        .replace(f'state_path = {site}', f'state_path = {state}')
    )
    everything = start_in('threading', 'all', '--db-sync', *hosts(site))
    client = Client(everything.port())
    given = [client.headers['Authorization'].split()[1], 'jane:secret']
    given.append((site / 'htpasswd').read_text().split(':')[1])
    wrong = base64.b64encode(b'jane:jane-has-forgotten').decode()
    client.headers['Authorization'] = f'Basic {wrong}'
    assert client('GET', '/servers')[0] == 401
    client.headers['Authorization'] = f'Basic {given[0]}'

    def ask(path, body, *codes):
        status, answer = client('POST', path, body)
        assert status in codes, answer
        return answer

    def up():
        _, answer = client('GET', '/os-services?binary=nova-compute')
        return {s['state'] for s in answer['services']} == {'up'}

    everything.until(up, 'services')
    new = {
        'name': 'proof',
        'flavorRef': '1',
        'imageRef': IMAGE,
        'networks': 'none',
        'adminPass': 'of-the-new-one',
    }
    made = ask('/servers', {'server': new}, 202)['server']
    assert made['adminPass'] == 'of-the-new-one'
    server = f'/servers/{made["id"]}'
    everything.until(
        lambda: client('GET', server)[1]['server']['status'] == 'ACTIVE',
        'start',
    )
    ask(f'{server}/action', {'rescue': {'adminPass': 'of-the-rescue'}}, 200)
    everything.until(
        lambda: client('GET', server)[1]['server']['status'] == 'RESCUE',
        'rescue',
    )
    ask(f'{server}/action', {'rescue': {'adminPass': ['of-nothing']}}, 400)
    assert everything.stop() == 0
    assert "Refused: 'jane' from 127.0.0.1" in everything.log
    assert ' DEBUG ' in everything.log
    told = everything.log + everything.output.read_text()
    for secret in (
        *given,
        wrong,
        'jane-has-forgotten',
        'of-the-new-one',
        'of-the-rescue',
        'of-nothing',
    ):
        assert secret not in told, secret
    # QEMU's user may pass; nobody may look.
    assert state.stat().st_mode & 0o777 == 0o711
    assert {file.name for file in state.iterdir()} >= {'livemig.sqlite'}
    for kept in (*state.glob('livemig.sqlite*'), site / 'htpasswd'):
        assert kept.stat().st_mode & 0o007 == 0, kept


def test_reload_and_restart(start, site):
    file = site / 'livemig.conf'
    one = start('all', '--db-sync', *hosts(site))
    one.port()
    file.write_text(
        file.read_text().replace(
            'service_down_time = 5', 'service_down_time = 7'
        )
    )
    one.process.send_signal(signal.SIGHUP)
    one.until(
        lambda: one.log.count('has read its options again') == 4, 'reload'
    )
    assert one.stop(signal.SIGINT) == 0
    (site / 'livemig.log').unlink()
    again = start('all', *hosts(site))
    again.port()
    assert again.stop() == 0


@pytest.mark.parametrize(
    ('command', 'change', 'said'),
    [
        ('all', ('bind_port = 0', 'bind_port = x'), r'\[api\] bind_port in'),
        ('api', ('bind_port = 0', 'threads = 0'), r'\[api\] threads in'),
        ('api', ('a', 'a'), 'no tables yet; run: livemig-manage db sync'),
        ('conductor', ('a', 'a'), 'no tables yet'),
        ('compute', ('= fake', '= magic'), 'compute_driver .*no such driver'),
        (
            'compute',
            ('[api]', 'transport_url = smoke://signals/\n[api]'),
            'transport_url',
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(
    site, command, change, said
):
    file = site / 'livemig.conf'
    file.write_text(file.read_text().replace(*change))
    done = subprocess.run(
        [sys.executable, '-m', f'livemig.cmd.{command}']
        + ['--config-file', str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (2, '')
    assert re.search(said, done.stderr), done.stderr
    assert done.stderr.count('\n') == 1
    assert done.stderr.startswith(f'livemig-{command}: ')


def test_two_managers_of_one_host_are_refused(site):
    done = subprocess.run(
        [sys.executable, '-m', 'livemig.cmd.all']
        + ['--config-file', str(site / 'livemig.conf')]
        + ['--compute-config', str(site / 'h1.conf')] * 2,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert 'another compute manager is h1 already' in done.stderr


def test_a_port_that_is_taken_is_named(site, start):
    one = start('all', '--db-sync', '--compute-config', f'{site}/h1.conf')
    port = one.port()
    file = site / 'livemig.conf'
    file.write_text(
        file.read_text().replace('bind_port = 0', f'bind_port = {port}')
    )
    done = subprocess.run(
        [sys.executable, '-m', 'livemig.cmd.api']
        + ['--config-file', str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert '[api] bind_host and bind_port' in done.stderr
    assert 'in use' in done.stderr
