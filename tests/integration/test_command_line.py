"""The `livemig` command against the running service, as a person and as a
script use it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.client import wait_until
from lab.cloud import image_id
from tests.integration.acts import abort, begin, forced_by, moves, stays

pytestmark = pytest.mark.libvirt

LIVEMIG = str(Path(sys.executable).with_name('livemig'))
UNKNOWN = 'deadbeef-dead-4ead-8ead-deadbeefdead'


def livemig(cloud, *words, user=None, **more):
    """(exit code, what it printed, what it remarked)."""
    done = subprocess.run(
        [LIVEMIG, *words],
        env={**os.environ, **cloud.environment(user), **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def told(cloud, *words):
    """What a command that works says in JSON."""
    code, out, err = livemig(cloud, *words, '-f', 'json')
    assert (code, err) == (0, ''), words
    return json.loads(out)


@contextlib.contextmanager
def started(cloud, *words) -> Iterator[subprocess.Popen[str]]:
    """The command, going on meanwhile."""
    with subprocess.Popen(
        [LIVEMIG, *words],
        env={**os.environ, **cloud.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


class Terminal:
    """A person's terminal, with the command in it."""

    def __init__(self, cloud, *words: str, columns: int = 100) -> None:
        self.shown = ''
        self._fd, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, columns))
        # Of its own session, so that Ctrl-C typed here reaches it.
        self._process = subprocess.Popen(
            ['setsid', '--ctty', LIVEMIG, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={
                **os.environ,
                **cloud.environment(),
                'LC_ALL': 'C.UTF-8',
                'TERM': 'xterm',
            },
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, pattern: str) -> str:
        """Read on until that is shown."""
        while not re.search(pattern, self.shown):
            assert self._read(), f'{pattern!r} is not in {self.shown!r}'
        return self.shown

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, 4096)
        except OSError:  # Linux: nobody has the other end open any more.
            return False
        self.shown += data.decode(errors='replace')
        return bool(data)

    def ended(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        os.close(self._fd)
        return self._process.wait(60)


# -- what is shown ----------------------------------------------------------
def test_everything_that_is_listed_and_shown(cloud, guest):
    server, _, migration = begin(cloud, guest)
    (listed,) = told(cloud, 'server', 'list')
    assert listed == {
        'ID': server,
        'Name': 'busy',
        'Status': 'MIGRATING',
        'Task State': 'migrating',
        'Host': 'host1',
    }
    shown = told(cloud, 'server', 'show', 'busy')
    assert (shown['id'], shown['power_state']) == (server, 1)
    assert shown['flavor']['ram'] == 128
    (going_on,) = told(cloud, 'server-migration-list', 'busy')
    assert going_on['ID'] == migration
    assert going_on['Status'] == 'running'
    assert going_on['Memory Total Bytes'] > 100_000_000
    one = told(cloud, 'server-migration-show', 'busy', str(migration))
    assert one['server_uuid'] == server
    assert one['pass_number'] >= 1
    assert one['dest_compute'] == 'host2'
    (every,) = told(cloud, 'migration', 'list', '--server', 'busy')
    assert (every['ID'], every['Reason']) == (migration, None)
    (going_on,) = told(cloud, 'migration', 'list', '--in-progress')
    assert going_on['ID'] == migration
    for words in (
        ('--status', 'completed', '--server', server),
        ('--host', 'nowhere'),
    ):
        assert told(cloud, 'migration', 'list', *words) == []
    assert len(told(cloud, 'migration', 'list', '--limit', '1')) == 1
    events = told(cloud, 'server', 'event', 'list', 'busy')
    assert [e['Action'] for e in events] == ['live-migration', 'create']
    event = told(
        cloud, 'server', 'event', 'show', 'busy', events[0]['Request ID']
    )
    assert event['instance_uuid'] == server
    assert {e['host'] for e in event['events']} >= {'host1', 'host2'}
    hosts = told(cloud, 'host', 'list')
    assert {h['Host'] for h in hosts if h['State'] == 'up'} >= {
        *('host1', 'host2'),
    }
    assert 'proof' in [f['Name'] for f in told(cloud, 'flavor', 'list')]
    assert abort(cloud, server, migration).status == 202
    cloud.wait_migration(server, migration)


def test_tables_on_a_terminal_fit_it(cloud, guest):
    server, _ = guest('idle')
    cloud.wait_migration(server, cloud.migrate(server, 'host2'))
    (action,) = [
        e['Request ID']
        for e in told(cloud, 'server', 'event', 'list', server)
        if e['Action'] == 'live-migration'
    ]
    for words, columns in (
        (('server', 'list'), 80),
        (('server', 'show', server), 80),
        (('server', 'event', 'list', server), 80),
        (('server', 'event', 'show', server, action), 80),
        (('host', 'list'), 80),
        (('migration', 'list', '--server', server), 80),
        (('migration', 'list', '--server', server), 160),
    ):
        terminal = Terminal(cloud, *words, columns=columns)
        assert terminal.ended() == 0
        lines = terminal.shown.split('\r\n')
        assert lines[0].startswith('+--'), (words, terminal.shown)
        assert max(map(len, lines)) <= columns, (words, terminal.shown)
        assert 'None' not in terminal.shown, (words, terminal.shown)
    whole = Terminal(cloud, 'migration', 'list', '--long', columns=300)
    assert whole.ended() == 0
    assert 'Reason' in whole.shown
    assert 'converged' in whole.shown


# -- a server's life, by commands alone -------------------------------------
def test_created_moved_and_deleted(cloud):
    made = told(
        cloud,
        *('server', 'create', 'web', '--image', image_id('idle')),
        *('--flavor', 'proof', '--host', 'host1', '--wait'),
    )
    assert (made['status'], made['host']) == ('ACTIVE', 'host1')
    code, out, err = livemig(
        cloud, 'server', 'migrate', '--live', 'web', '--host', 'host2'
    )
    assert (code, out) == (0, '')
    assert 'livemig migration watch web' in err
    (migration,) = cloud.migrations(made['id'])
    cloud.wait_migration(made['id'], migration['id'])
    # Of one that has ended, too.
    number = str(migration['id'])
    code, out, _ = livemig(cloud, 'migration', 'watch', 'web', number)
    assert code == 0
    assert re.fullmatch(
        rf'migration {number}  completed \(converged\) after [\d:]+, '
        r'downtime \d+ ms, [0-9.]+ MiB/s\n',
        out,
    )
    code, out, err = livemig(
        cloud, 'server', 'migrate', '--live', 'web', '--wait', '-q'
    )
    assert (code, err) == (0, '')
    assert out.splitlines()[-1].startswith(
        f'migration {migration["id"] + 1}  completed (converged) after '
    )
    assert told(cloud, 'server', 'show', 'web')['host'] == 'host1'
    assert livemig(cloud, 'server', 'delete', 'web', '--wait')[0] == 0
    assert told(cloud, 'server', 'list') == []


def test_a_host_is_closed_and_a_server_rescued(cloud):
    cloud.boot('idle', 'host1')
    reason = ('--reason', 'new disks')
    assert livemig(cloud, 'host', 'disable', 'host2', *reason)[0] == 0
    try:
        shown = {
            (h['Host'], h['Status'], h['Disabled Reason'])
            for h in told(cloud, 'host', 'list')
            if h['Binary'] == 'nova-compute'
        }
        assert ('host2', 'disabled', 'new disks') in shown
        code, _, err = livemig(
            cloud, 'server', 'migrate', '--live', 'idle', '--wait'
        )
        assert code == 5, err
        assert 'host2: its compute service is disabled: new disks.' in err
    finally:
        assert livemig(cloud, 'host', 'enable', 'host2')[0] == 0
    assert livemig(cloud, 'server', 'rescue', 'idle', '--wait')[0] == 0
    assert told(cloud, 'server', 'show', 'idle')['status'] == 'RESCUE'
    assert livemig(cloud, 'server', 'rescue', 'idle')[0] == 4
    assert livemig(cloud, 'server', 'unrescue', 'idle', '--wait')[0] == 0
    assert told(cloud, 'server', 'show', 'idle')['status'] == 'ACTIVE'


def test_requests_on_what_runs(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    code, out, err = livemig(cloud, 'live-migration-abort', 'busy')
    assert (code, out) == (0, '')
    assert err == f'Abort of migration {migration} requested.\n'
    code, _, err = livemig(
        cloud, 'live-migration-force-complete', server, str(migration)
    )
    assert code == 4, err
    assert re.search(r'\(HTTP 400, request req-[0-9a-f-]{36}\)\n$', err)
    stays(cloud, server, watcher, migration)
    migration = cloud.migrate(server, 'host2')
    cloud.wait_pass(server, migration)
    assert livemig(cloud, 'live-migration-force-end', 'busy')[0] == 0
    ended = moves(cloud, server, watcher, migration)
    assert ended['completed_by'] == 'pause'
    migration = cloud.migrate(server, 'host1')
    cloud.wait_pass(server, migration)
    code, _, err = livemig(cloud, 'live-migration-force-complete', 'busy')
    assert (code, err) == (
        0,
        f'Completion of migration {migration} requested.\n',
    )
    ended = cloud.wait_migration(server, migration)
    assert ended['completed_by'] == forced_by(cloud)


# -- watching ---------------------------------------------------------------
def test_watched_in_lines_and_in_json(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    words = ('migration', 'watch', 'busy')
    with (
        started(cloud, *words) as plain,
        started(cloud, *words, '-f', 'json', '--interval', '0.2') as tool,
    ):
        first = [json.loads(tool.stdout.readline()) for _ in range(3)]
        line = plain.stdout.readline()
        assert livemig(cloud, 'live-migration-abort', 'busy')[0] == 0
        (out, err), (rest, tool_err) = plain.communicate(), tool.communicate()
    stays(cloud, server, watcher, migration)
    title = f'migration {migration}  '
    assert re.match(
        rf'{title}(first pass \d+%|re-copying, pass \d+)  '
        r'[0-9.]+ MiB left of 129 MiB',
        line,
    )
    assert 'dirtied 0.0' not in line
    last = out.splitlines()[-1]
    assert last.startswith(f'{title}cancelled after ')
    why = f'Migration {migration} did not complete (cancelled): Aborted on'
    assert plain.returncode == tool.returncode == 5
    assert err.startswith(why)
    assert tool_err.startswith(why)
    readings = first + [json.loads(line) for line in rest.splitlines()]
    assert {r['migration_id'] for r in readings} == {migration}
    assert {r['server_uuid'] for r in readings} == {server}
    assert first[0]['status'] == 'running'
    assert first[0]['remaining_bytes'] > 0
    assert readings[-1]['status'] == 'cancelled'
    assert readings[-1]['phase'] == 'done'
    assert readings[-1]['reason'].startswith('Aborted on request of user')


def test_watched_on_a_terminal_until_ctrl_c(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    terminal = Terminal(cloud, 'migration', 'watch', 'busy')
    terminal.until(r're-copying, pass \d+ .* MiB left of 129 MiB [↓↑→]')
    terminal.type('\x03')
    assert terminal.ended() == 130
    lines = terminal.shown.split('\r\n')
    # One line, written over and over.
    assert lines[0].count(f'\rmigration {migration}  ') > 1
    assert lines[1] == (
        f'Interrupted; migration {migration} goes on ("livemig '
        f'live-migration-abort busy {migration}" would abort it).'
    )
    assert cloud.migration(server, migration)['status'] == 'running'
    assert abort(cloud, server, migration).status == 202
    stays(cloud, server, watcher, migration)


def test_the_api_comes_back_while_it_is_watched(cloud, guest):
    server, watcher, migration = begin(cloud, guest)
    words = ('migration', 'watch', 'busy', '-f', 'json')
    with started(cloud, *words) as watching:
        assert json.loads(watching.stdout.readline())['status'] == 'running'
        cloud.kill('api')
        cloud.start_service('api')
        cloud.wait_ready()
        assert abort(cloud, server, migration).status == 202
        out, _ = watching.communicate()
    assert watching.returncode == 5
    assert json.loads(out.splitlines()[-1])['status'] == 'cancelled'
    stays(cloud, server, watcher, migration)


# -- waiting ----------------------------------------------------------------
def test_waiting_for_a_migration_ends_as_it_ends(cloud, guest):
    server, watcher = guest('busy')
    words = ('server', 'migrate', '--live', 'busy', '--host', 'host2')
    code, out, err = livemig(cloud, *words, '--wait', '--timeout', '3')
    newest = cloud.migrations(server)[0]['id']
    assert code == 124, err
    assert re.fullmatch(
        rf'Waited \d+ seconds; migration {newest} goes on \("livemig '
        rf'live-migration-abort busy {newest}" would abort it\)\.\n',
        err,
    )
    assert abort(cloud, server, newest).status == 202
    stays(cloud, server, watcher, newest)
    with started(cloud, *words, '--wait') as waiting:
        wait_until(
            lambda: cloud.migrations(server)[0]['id'] != newest,
            'the second migration',
            30,
        )
        second = cloud.migrations(server)[0]['id']
        cloud.wait_pass(server, second)
        waiting.stdout.readline()
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate()
    assert waiting.returncode == 130
    assert f'migration {second} goes on' in err
    assert abort(cloud, server, second).status == 202
    stays(cloud, server, watcher, second)
    # One that ends before it begins.
    code, _, err = livemig(
        cloud, *('server', 'migrate', '--live', 'busy', '--wait'),
        *('--host', 'host1'),
    )  # fmt: skip
    assert code == 5, err
    assert 'host1: the instance runs there already' in err


# -- exit codes -------------------------------------------------------------
def test_names_that_fit_several_or_none(cloud):
    uuids = sorted(cloud.boot('idle', 'host1', name='twin') for _ in range(2))
    single = cloud.boot('idle', 'host1', name='twin.')
    code, out, err = livemig(cloud, 'server', 'show', 'twin')
    assert (code, out) == (2, '')
    assert err == (
        f'Several servers are named "twin": {uuids[0]}, {uuids[1]}. '
        'Name one by its uuid.\n'
    )
    assert told(cloud, 'server', 'show', 'twin.')['id'] == single
    assert told(cloud, 'server', 'show', uuids[1].upper())['id'] == uuids[1]
    assert livemig(cloud, 'server', 'show', 'twi')[0] == 3


FAILURES = [
    ('server lst', 2, "livemig: 'server lst' is no command"),
    ('server migrate idle', 2, 'required: --live'),
    (
        *('server migrate --live idle --block-migration --shared-migration',),
        *(2, 'not allowed with argument'),
    ),
    ('migration watch idle --timeout never', 2, 'invalid'),
    ('server show nobody', 3, 'No server is named "nobody".'),
    (f'server show {UNKNOWN}', 3, 'HTTP 404'),
    ('live-migration-abort idle', 3, 'No live migration of server'),
    ('live-migration-abort idle 99999', 3, 'HTTP 404'),
    ('server-migration-show idle 99999', 3, 'HTTP 404'),
    ('server event show idle req-1', 3, 'HTTP 404'),
    ('live-migration-force-complete idle 99999', 4, 'HTTP 400'),
    ('live-migration-force-end idle', 4, 'HTTP 409'),
    ('server migrate --live idle --host nowhere', 4, 'HTTP 400'),
    ('server create x --image x --flavor nothing', 3, 'nothing'),
    ('server list --os-compute-api-version 2.900', 1, '2.900'),
    (
        'server list --os-endpoint http://127.0.0.1:1/v2.1',
        6,
        'The service at http://127.0.0.1:1/v2.1 cannot be reached: '
        'Connection refused.',
    ),
]


def test_commands_that_fail(cloud):
    server = cloud.boot('idle', 'host1')
    for words, code, remark in FAILURES:
        got, out, err = livemig(cloud, *words.split())
        assert (got, out) == (code, ''), (words, err)
        assert remark in err, words
        assert 'Traceback' not in err, words
    assert cloud.migrations(server) == []


def test_a_member_may_not(cloud):
    member = next(user for user in cloud.users if user.name == 'member')
    cloud.boot('idle', 'host1')
    code, out, err = livemig(cloud, 'migration', 'list', user=member)
    assert (code, out) == (4, '')
    assert 'HTTP 403' in err
    # The server of another project is none.
    code, _, err = livemig(cloud, 'server', 'show', 'idle', user=member)
    assert (code, err) == (3, 'No server is named "idle".\n')


def test_a_wrong_password(cloud):
    code, out, err = livemig(cloud, 'server', 'list', OS_PASSWORD='wrong')
    assert (code, out) == (2, '')
    assert 'HTTP 401' in err
