"""concurrency.py in both modes, each in a process of its own."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from livemig import concurrency
from tests import clock as virtual

MODES = ('threading', 'eventlet')


def run(program, mode, *args):
    """Run a program in its own process; its standard output."""
    env = {**os.environ, 'LIVEMIG_CONCURRENCY': mode}
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', textwrap.dedent(program), *args],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize('mode', MODES)
def test_setup_chooses_before_oslo_messaging_does(mode):
    assert (
        run(
            """
            from livemig import concurrency
            print(concurrency.setup(), end=' ')
            concurrency.setup()
            import oslo_messaging
            from oslo_service import backend
            print(backend.get_backend_type().value, end=' ')
            import threading, eventlet.patcher
            print(eventlet.patcher.is_monkey_patched('thread'), end=' ')
            print(concurrency.mode())
            """,
            mode,
        )
        == f'{mode} {mode} {mode == "eventlet"} {mode}'
    )


def test_a_second_different_choice_is_refused():
    assert (
        run(
            """
            from livemig import concurrency
            concurrency.setup('threading')
            try:
                concurrency.setup('eventlet')
            except RuntimeError as error:
                print(error)
            """,
            'threading',
        )
        == 'Concurrency was set to threading before; it cannot become '
        'eventlet in the same process.'
    )


def test_oslo_imported_too_early_is_reported():
    said = run(
        """
        import warnings
        warnings.simplefilter('ignore')
        import oslo_messaging
        from livemig import concurrency
        try:
            concurrency.setup('threading')
        except RuntimeError as error:
            print(error)
        """,
        'threading',
    )
    assert said.startswith('oslo was imported before concurrency.setup()')


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match='must be threading or eventlet'):
        concurrency.setup('fibres')


def test_only_known_names_are_handed_out():
    with pytest.raises(AttributeError, match='Semaphore'):
        concurrency.Semaphore  # noqa: B018


@pytest.mark.parametrize('mode', MODES)
def test_threads_locks_and_queues_work_together(mode):
    assert (
        run(
            """
            from livemig import concurrency
            concurrency.setup()
            queue = concurrency.Queue()
            done = concurrency.Event()
            local = concurrency.local()
            local.value = 'main'
            def work(word):
                local.value = word
                queue.put(word)
                done.wait(10)
            handle = concurrency.spawn(work, 'hello', name='worker')
            print(queue.get(timeout=10), handle.alive, handle.join(0.01),
                  end=' ')
            done.set()
            print(handle.join(10), handle.alive, handle.name, local.value)
            """,
            mode,
        )
        == 'hello True False True False worker main'
    )


@pytest.mark.parametrize('mode', MODES)
def test_blocking_calls_do_not_stop_the_others(mode):
    """Two that wait for each other inside C would hang if they did."""
    assert (
        run(
            """
            import os
            from livemig import concurrency
            concurrency.setup()
            from eventlet import patcher
            real_os = patcher.original('os')
            there, back = os.pipe(), os.pipe()
            def first():
                real_os.write(there[1], b'1')
                return real_os.read(back[0], 1)
            def second():
                word = real_os.read(there[0], 1)
                real_os.write(back[1], word)
            handle = concurrency.spawn(
                concurrency.run_blocking, second)
            print(concurrency.run_blocking(first), handle.join(10))
            """,
            mode,
        )
        == "b'1' True"
    )


@pytest.mark.parametrize('mode', MODES)
def test_errors_come_back_from_blocking_calls(mode):
    assert (
        run(
            """
            from livemig import concurrency
            concurrency.setup()
            try:
                concurrency.run_blocking(int, 'x')
            except ValueError as error:
                print('ValueError')
            """,
            mode,
        )
        == 'ValueError'
    )


@pytest.mark.parametrize('mode', MODES)
def test_a_native_thread_speaks_through_a_relay(mode):
    assert (
        run(
            """
            from livemig import concurrency
            concurrency.setup()
            relay = concurrency.Relay()
            got, done = [], concurrency.Event()
            def native():
                for n in range(1000):
                    relay.call(got.append, n)
                relay.call(done.set)
            handle = concurrency.native_thread(native, name='native')
            print(done.wait(10), handle.join(10), got == list(range(1000)))
            relay.close()
            """,
            mode,
        )
        == 'True True True'
    )


@pytest.mark.parametrize('mode', MODES)
def test_signals_are_only_remembered(mode):
    assert (
        run(
            """
            import os, signal, time
            from livemig import concurrency
            concurrency.setup()
            signals = concurrency.Signals(signal.SIGTERM, signal.SIGHUP)
            signals.install()
            print(signals.take(), end=' ')
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            clock, never = concurrency.Clock(), concurrency.Event()
            seen = []
            while len(seen) < 2:
                clock.wait(never, 0.05)
                one = signals.take()
                if one:
                    seen.append(one.name)
            print(*sorted(seen), signals.take())
            """,
            mode,
        )
        == 'None SIGHUP SIGTERM None'
    )


@pytest.mark.parametrize('mode', MODES)
def test_a_stuck_pool_thread_does_not_keep_the_process(mode):
    assert (
        run(
            """
            import concurrent.futures
            from livemig import concurrency
            concurrency.setup()
            pool = concurrency.Pool(2, 'sender')
            never = concurrency.Event()
            stuck = [pool.submit(never.wait) for _ in range(2)]
            third = pool.submit(lambda: print('must not run'))
            try:
                third.result(0.05)
            except concurrent.futures.TimeoutError:
                print('timeout', third.cancel(), stuck[0].cancel())
            """,
            mode,
        )
        == 'timeout True False'
    )


def test_a_pool_gives_results_and_errors():
    pool = concurrency.Pool(2, 'sender')
    futures = [pool.submit(lambda n=n: n * n) for n in range(50)]
    assert [f.result(10) for f in futures] == [n * n for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(10)


def test_a_pools_idle_threads_end_and_begin_again(monkeypatch):
    monkeypatch.setattr(concurrency.Pool, 'IDLE_S', 0.0)
    pool = concurrency.Pool(1, 'short-lived')
    for n in range(20):
        assert pool.submit(lambda n=n: n).result(10) == n


def test_run_all_is_parallel_and_bounded():
    barrier = threading.Barrier(3)
    assert concurrency.run_all([barrier.wait] * 3, 10)
    never = threading.Event()
    assert not concurrency.run_all([never.wait, int], 0.05)
    never.set()


def test_errors_of_threads_are_logged(caplog):
    assert concurrency.spawn(lambda: 1 / 0).join(10)
    assert 'ended by an error nobody handled' in caplog.text
    assert 'ZeroDivisionError' in caplog.text


def test_signal_numbers_become_names():
    signals = concurrency.Signals(signal.SIGUSR2)
    signals._handle(signal.SIGUSR2, None)
    assert signals.take() is signal.SIGUSR2


def test_the_clock_is_aware_and_wakes_for_its_event():
    clock = concurrency.Clock()
    event = threading.Event()
    assert clock.now().utcoffset().total_seconds() == 0
    assert not clock.wait(event, 0.01)
    event.set()
    assert clock.wait(event, None)


# -- virtual time -------------------------------------------------------------
def test_waiting_moves_virtual_time():
    clock = virtual.VirtualClock()
    began = clock.now()
    assert not clock.wait(threading.Event(), 2.5)
    assert clock.monotonic_s() == 2.5
    assert (clock.now() - began).total_seconds() == 2.5


def test_functions_are_called_once_in_order_as_time_passes_them():
    clock = virtual.VirtualClock()
    seen = []
    for time_s in (3.0, 1.0, 2.0, 9.0):
        clock.at(time_s, lambda: seen.append(clock.monotonic_s()))
    clock.wait(threading.Event(), 3.0)
    assert seen == [1.0, 2.0, 3.0]
    assert clock.monotonic_s() == 3.0


def test_an_event_set_by_a_function_ends_the_wait_there():
    clock = virtual.VirtualClock()
    event = threading.Event()
    clock.at(4.0, event.set)
    assert clock.wait(event, 100.0)
    assert clock.monotonic_s() == 4.0


def test_a_function_may_wait_itself():
    clock = virtual.VirtualClock()
    seen = []

    def first():
        clock.wait(threading.Event(), 5.0)
        seen.append(('first', clock.monotonic_s()))

    clock.at(1.0, first)
    clock.at(2.0, lambda: seen.append(('second', clock.monotonic_s())))
    clock.wait(threading.Event(), 3.0)
    assert seen == [('second', 2.0), ('first', 6.0)]
    assert clock.monotonic_s() == 6.0


def test_time_stops_at_the_limit():
    clock = virtual.VirtualClock(limit_s=10.0)
    ended = []

    def wait():
        ended.append(clock.wait(threading.Event(), 25.0))

    handle = concurrency.spawn(wait)
    clock.until_blocked()
    assert clock.monotonic_s() == 10.0
    clock.limit_s = 20.0
    clock.until_blocked()
    assert (clock.monotonic_s(), handle.alive) == (20.0, True)
    clock.limit_s = 30.0
    assert handle.join(10)
    assert (clock.monotonic_s(), ended) == (25.0, [False])


def test_who_stands_at_the_limit_is_woken_by_his_event():
    clock = virtual.VirtualClock(limit_s=1.0)
    event = threading.Event()
    result = []
    handle = concurrency.spawn(lambda: result.append(clock.wait(event, 5.0)))
    clock.until_blocked()
    event.set()
    assert handle.join(10)
    assert (result, clock.monotonic_s()) == ([True], 1.0)


def test_several_waits_never_move_time_back():
    clock = virtual.VirtualClock()
    seen = []

    def wait(seconds):
        for _ in range(200):
            clock.wait(threading.Event(), seconds)
            seen.append(clock.monotonic_s())

    waits = [lambda n=n: wait(n) for n in (0.5, 1.5, 2.5)]
    assert concurrency.run_all(waits, 30)
    assert len(seen) == 600
    assert clock.monotonic_s() >= 500.0


def test_advance_moves_time_for_all():
    clock = virtual.VirtualClock(limit_s=0.0)
    calls = []
    clock.at(5.0, lambda: calls.append(5))
    handle = concurrency.spawn(clock.wait, threading.Event(), 7.0)
    clock.until_blocked()
    clock.advance(6.0)
    assert calls == [5]
    clock.advance(1.0)
    assert handle.join(10)
    assert clock.monotonic_s() == 7.0
