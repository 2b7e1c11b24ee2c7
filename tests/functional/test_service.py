"""The life of a process: signals, order, limits; in both modes."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import types
from unittest import mock

import pytest

from livemig import concurrency, exception, service
from tests import clock as virtual

MODES = ('threading', 'eventlet')
PATIENCE_S = 30

PROGRAM = """
import sys
from livemig import concurrency
concurrency.setup()
import logging
logging.basicConfig(level='INFO', format='%(message)s', stream=sys.stdout)
from livemig import service

class Part:
    def __init__(self, name, stage, hangs=False, dies=False):
        self.name, self.stage, self.hangs = name, stage, hangs
        self.alive = not dies
    def start(self):
        print('start', self.name, flush=True)
    def reload(self):
        if self.name == 'broken':
            raise ValueError('no such\\nvalue')
        print('reload', self.name, flush=True)
    def stop(self, timeout_s):
        print('stop', self.name, flush=True)
        return not self.hangs or concurrency.Event().wait()
    def close(self):
        closed.append(self.name)

closed = []

parts = [Part(*args) for args in eval(sys.argv[1])]
code = service.Process(
    'prog', parts, concurrency.Clock(), float(sys.argv[2]),
    [lambda: print('last', *sorted(closed), flush=True)]).run()
print('code', code, flush=True)
sys.exit(code)
"""


class Running:
    """The program above, with its output line by line."""

    def __init__(self, mode, parts, graceful_s=PATIENCE_S):
        self.process = subprocess.Popen(
            [sys.executable, '-c', textwrap.dedent(PROGRAM)]
            + [repr(parts), str(graceful_s)],
            env={**os.environ, 'LIVEMIG_CONCURRENCY': mode},
            stdout=subprocess.PIPE,
            text=True,
        )

    def until(self, line):
        """Read up to that line; what came before it."""
        seen = []
        for one in self.process.stdout:
            if one.strip() == line:
                return seen
            seen.append(one.strip())
        raise AssertionError(f'{line!r} is missing in {seen}')

    def signal(self, number):
        self.process.send_signal(number)

    def rest(self):
        """(exit code, remaining lines)."""
        # Not communicate(): it would miss what has been read ahead.
        out = self.process.stdout.read()
        return self.process.wait(PATIENCE_S), out.split('\n')[:-1]


@pytest.fixture(params=MODES)
def run(request):
    started = []

    def run(parts, *args):
        started.append(Running(request.param, parts, *args))
        return started[-1]

    yield run
    for one in started:
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_parts_in_order(run, number):
    one = run([('conductor', 2), ('compute', 1), ('api', 0)])
    assert one.until('prog runs: conductor, compute, api.') == [
        'start conductor',
        'start compute',
        'start api',
    ]
    one.signal(number)
    assert one.rest() == (
        0,
        [
            f'prog stops: {number.name}.',
            'stop api',
            'api has stopped.',
            'stop compute',
            'compute has stopped.',
            'stop conductor',
            'conductor has stopped.',
            'last api compute conductor',
            'prog has stopped.',
            'code 0',
        ],
    )


def test_sighup_reloads_each_part_on_its_own(run):
    one = run([('broken', 0), ('compute', 1)])
    one.until('prog runs: broken, compute.')
    one.signal(signal.SIGHUP)
    assert one.until('compute has read its options again.') == [
        'broken goes on with its old options: no such value',
        'reload compute',
    ]
    one.signal(signal.SIGTERM)
    assert one.rest()[0] == 0


def test_a_second_signal_ends_at_once(run):
    one = run([('compute', 1, True)])
    one.until('prog runs: compute.')
    one.signal(signal.SIGTERM)
    one.until('stop compute')
    one.signal(signal.SIGTERM)
    assert one.rest() == (1, ['prog ends at once.'])


def test_stopping_has_a_limit(run):
    one = run([('compute', 1, True)], 0.3)
    one.until('prog runs: compute.')
    one.signal(signal.SIGTERM)
    one.until('prog did not stop within 0.3 s and ends now.')
    assert one.rest() == (1, [])


def test_without_a_limit_it_stops_all_the_same(run):
    one = run([('compute', 1)], 0)
    one.until('prog runs: compute.')
    one.signal(signal.SIGTERM)
    one.until('last compute')
    assert one.rest() == (0, ['prog has stopped.', 'code 0'])


def test_a_part_that_ends_by_itself_ends_the_process(run):
    one = run([('conductor', 2), ('api', 0, False, True)])
    one.until('api has ended by itself.')
    assert one.rest()[0] == 1


# -- periodic tasks -----------------------------------------------------------
class Work:
    """Does what its list says, then counts."""

    def __init__(self, clock, *errors):
        self.clock = clock
        self.errors = list(errors)
        self.times = []

    def __call__(self):
        self.times.append(self.clock.monotonic_s())
        if self.errors:
            error = self.errors.pop(0)
            if error is not None:
                raise error


@pytest.fixture
def clock():
    return virtual.VirtualClock(limit_s=0.0)


def test_periodic_work_is_done_at_once_and_then_on_time(clock):
    work = Work(clock)
    periodic = service.Periodic('work', work, lambda: 10.0, clock)
    periodic.start()
    clock.until_blocked()
    assert work.times == [0.0]
    clock.limit_s = 35.0
    clock.until_blocked()
    assert work.times == [0.0, 10.0, 20.0, 30.0]
    assert periodic.stop(PATIENCE_S)


def test_no_error_ends_periodic_work_and_one_is_said_once(clock, caplog):
    caplog.set_level('INFO')
    away = exception.DatabaseUnreachable()
    work = Work(clock, away, away, KeyError('bug'), None, away)
    periodic = service.Periodic('work', work, lambda: 1.0, clock)
    periodic.start()
    clock.limit_s = 5.5
    clock.until_blocked()
    assert len(work.times) == 6
    assert periodic.stop(PATIENCE_S)
    said = [r.getMessage() for r in caplog.records if 'work' in r.message]
    assert said == [
        f'work: {away.message}',
        'work: an error nobody expected; trying again.',
        'work: works again.',
        f'work: {away.message}',
        'work: works again.',
    ]


def test_an_interval_that_changes_holds_from_the_next_time_on(clock):
    work, intervals = Work(clock), [5.0, 50.0]
    periodic = service.Periodic(
        'work', work, lambda: intervals[len(work.times) > 1], clock
    )
    periodic.start()
    clock.limit_s = 100.0
    clock.until_blocked()
    assert work.times == [0.0, 5.0, 55.0]
    assert periodic.stop(PATIENCE_S)


def test_stopping_does_not_wait_for_work_that_hangs():
    go_on, began = threading.Event(), threading.Event()

    def work():
        began.set()
        go_on.wait(PATIENCE_S)

    periodic = service.Periodic('work', work, lambda: 1.0, concurrency.Clock())
    periodic.start()
    assert began.wait(PATIENCE_S)
    assert not periodic.stop(0.01)
    go_on.set()
    assert periodic.stop(PATIENCE_S)


def test_who_is_at_work_goes_on_reporting(clock):
    """A host is not down while a disk is made again after a restart."""
    go_on = threading.Event()
    reports = Work(clock)
    manager = mock.Mock(
        report=reports,
        run_periodic_tasks=lambda: go_on.wait(PATIENCE_S),
        **{'stop.return_value': True},
    )
    server = mock.Mock(**{'stop.return_value': True})
    conf = types.SimpleNamespace(report_interval=10, periodic_interval=10)
    part = service.ManagerPart(
        'compute h1', 0, conf, manager, server, mock.Mock(), clock
    )
    clock.limit_s = 25.0
    part.start()
    clock.until_blocked()
    assert reports.times == [0.0, 10.0, 20.0]
    go_on.set()
    assert part.stop(PATIENCE_S)
