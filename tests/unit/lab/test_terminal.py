"""A program is watched for a while, then Ctrl-C is pressed."""

import os
import sys

import pytest

from lab import terminal

TALKS = """
import os, signal
def end(*_):
    os.write(1, b'interrupted\\n')
    os._exit(0)
signal.signal(signal.SIGINT, end)
os.write(1, b'terminal\\n' if os.isatty(1) else b'pipe\\n')
while True:
    signal.pause()
"""


def run(seconds: float, code: str, shown: bool = False) -> str:
    return terminal.run_for(
        seconds, [sys.executable, '-c', code], os.environ, shown
    )


def test_what_it_says_until_it_ends_comes_back() -> None:
    assert run(0.1, TALKS).split() == ['pipe', 'interrupted']


def test_a_program_that_ends_by_itself_is_not_waited_for() -> None:
    # Ctrl-C would come after an hour.
    assert run(3600, 'print("over")') == 'over\n'


def test_the_time_begins_with_its_first_words() -> None:
    # Even with no time at all it can say what it has to say.
    assert run(0, TALKS).split() == ['pipe', 'interrupted']


def test_shown_it_has_a_terminal_and_is_seen(
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = run(0.1, TALKS, shown=True)

    assert said.split() == ['terminal', 'interrupted']
    assert capfd.readouterr().out == said
