"""What a person sees on a terminal, whatever it is like."""

import os
import pathlib
import signal
import subprocess

import pytest

from tests.functional.client.standin import StandIn
from tests.functional.client.terminal import (
    command,
    environment,
    on_terminal,
    read_until,
)
from tests.functional.client.test_watch import counters

#: A migration whose every number the service tells.
BUSY = counters(5000, 310, total=4096) | {
    'pass_number': 2,
    'dirty_rate_bytes_per_s': 9.4 * 1024 * 1024,
    'throughput_bytes_per_s': 118 * 1024 * 1024,
    'elapsed_s': 37.0,
    'timeout_s': 3200,
}


def test_one_line_on_a_terminal_until_ctrl_c(
    standin: StandIn, address: str, tmp_path: pathlib.Path
) -> None:
    server = standin.server('web')
    standin.migration(server, 'running', **counters(1500, 300))
    words = ['migration', 'watch', 'web', '--interval', '0.05']
    given = {'env': environment(tmp_path, COLUMNS='66')}
    with on_terminal(command(address, *words), **given) as (child, terminal):
        shown = read_until(terminal, 'pass 2+  300 MiB left')
        standin.migrations[1].update(counters(1600, 400))
        shown += read_until(terminal, '↑')
        child.send_signal(signal.SIGINT)
        shown += read_until(terminal, 'migration 1 goes on')
        assert child.wait(200) == 130
    # Always the same line, until it is left alone.
    before, _, _ = shown.partition('Interrupted')
    assert before.count('\n') == 1
    assert before.endswith('\r\n')
    assert all(
        len(text.removesuffix('\x1b[K')) < 66
        for text in before.replace('\n', '').split('\r')
    )
    assert standin.asked('DELETE') == []


def test_the_end_on_a_terminal_tells_the_reason_once(
    standin: StandIn, address: str, tmp_path: pathlib.Path
) -> None:
    server = standin.server('web')
    reason = 'Aborted on request of user admin. The guest runs on host1.'
    standin.migration(server, 'cancelled', reason=reason)
    words = ['migration', 'watch', 'web', '1']
    given = {'env': environment(tmp_path, COLUMNS='40')}
    with on_terminal(command(address, *words), **given) as (child, terminal):
        shown = read_until(terminal, 'runs on host1.')
        assert child.wait(200) == 5
    assert 'migration 1  cancelled after 0:00' in shown
    assert shown.count('Aborted') == 1


def test_a_list_on_a_narrow_terminal(
    standin: StandIn, address: str, tmp_path: pathlib.Path
) -> None:
    server = standin.server('web')
    standin.migration(server, 'failed', reason='No space left.')
    given = {'env': environment(tmp_path, COLUMNS='80')}
    words = command(address, 'migration', 'list')
    with on_terminal(words, **given) as (child, terminal):
        shown = read_until(terminal, server)
        assert child.wait(200) == 0
    with on_terminal([*words, '--long'], **given) as (child, terminal):
        whole = read_until(terminal, 'No space')
        assert child.wait(200) == 0
    assert 'Reason' not in shown
    assert 'Reason' in whole


@pytest.mark.parametrize('closed', ['<&-', '>&-', '2>&-'])
def test_a_stream_that_is_closed(
    address: str, tmp_path: pathlib.Path, closed: str
) -> None:
    ended = subprocess.run(
        [
            'sh',
            '-c',
            f'"$@" {closed}',
            'sh',
            *command(address, 'server', 'list'),
        ],
        capture_output=True,
        env=environment(tmp_path),
        timeout=200,
    )
    assert b'Traceback' not in ended.stderr
    assert ended.returncode == 0


def test_a_reader_that_goes_away(
    standin: StandIn, address: str, tmp_path: pathlib.Path
) -> None:
    for number in range(3):
        standin.server(f's{number}')
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        command(address, 'server', 'list'),
        stdout=write,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
        timeout=200,
    )
    os.close(write)
    assert ended.returncode == 141
    assert ended.stderr == b''


@pytest.mark.parametrize(
    ('columns', 'line'),
    [
        (
            120,
            'migration 1  re-copying, pass 2  310 MiB left of 4096 MiB  '
            '118 MiB/s  dirtied 9.4 MiB/s  0:37 / 53:20',
        ),
        (
            80,
            '1  pass 2  310 MiB left  118 MiB/s  dirtied 9.4 MiB/s  '
            '0:37 / 53:20',
        ),
        (30, '1  pass 2  310 MiB left  118 '),
    ],
)
def test_the_line_fits_the_terminal(
    standin: StandIn,
    address: str,
    tmp_path: pathlib.Path,
    columns: int,
    line: str,
) -> None:
    standin.migration(standin.server('web'), 'running', **BUSY)
    words = command(address, 'migration', 'watch', 'web')
    given = {'env': environment(tmp_path, COLUMNS=str(columns))}
    with on_terminal(words, **given) as (_, terminal):
        shown = read_until(terminal, '\x1b[K')
    assert shown == f'\r{line}\x1b[K'


def test_a_terminal_that_cannot_erase(
    standin: StandIn, address: str, tmp_path: pathlib.Path
) -> None:
    server = standin.server('web')
    standin.migration(server, 'completed', completed_by='pause')
    words = command(address, 'migration', 'watch', 'web', '1')
    given = {'env': environment(tmp_path, TERM='dumb')}
    with on_terminal(words, **given) as (child, terminal):
        shown = read_until(terminal, '\n')
        assert child.wait(200) == 0
    assert shown == 'migration 1  completed (pause) after 0:00\r\n'


def test_a_password_is_asked_for(
    standin: StandIn, address: str, tmp_path: pathlib.Path
) -> None:
    standin.credentials = 'a-token'
    standin.server('web')
    words = [
        *command(address, 'server', 'list', '-f', 'value', '-c', 'Name')[:-2],
        *(f'--os-auth-url={address}/identity/v3', '--os-username=u'),
        *('--os-project-name=p', '--os-user-domain-name=d'),
        '--os-project-domain-name=d',
    ]
    given = {'env': environment(tmp_path)}
    # Without a controlling terminal, so that it is not the developer's that is
    # asked.
    with on_terminal(words, start_new_session=True, **given) as started:
        child, terminal = started
        read_until(terminal, 'Password: ')
        os.write(terminal, b'secret\n')
        shown = read_until(terminal, 'web')
        assert child.wait(200) == 0
    assert 'secret' not in shown
    (asked,) = standin.passwords
    assert asked == 'secret'
