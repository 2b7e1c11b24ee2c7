"""Runs a program for a while, as a person at a terminal would."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence

FIRST_WORD_S = 60.0  # until it says anything, and until it has ended
_PIECE = 65536


def run_for(
    seconds: float,
    argv: Sequence[str],
    env: Mapping[str, str],
    shown: bool = False,
) -> str:
    """Run it, press Ctrl-C so long after its first words; what it said.

    shown: it is given a terminal, and what it says goes to this process's
    output too, as it comes.
    """
    ours, theirs = os.openpty() if shown else os.pipe()
    try:
        if shown:
            _like_ours(theirs)
        with subprocess.Popen(
            argv, env=env, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            said = b''.join(_until_ctrl_c(process, ours, seconds, shown))
            if process.poll() is None:
                process.kill()
    finally:
        os.close(ours)
    return said.decode(errors='replace')


def _until_ctrl_c(
    process: subprocess.Popen[bytes], source: int, seconds: float, shown: bool
) -> Iterator[bytes]:
    deadline_s = time.monotonic() + FIRST_WORD_S
    said, pressed = False, False
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s > 0 and select.select([source], [], [], left_s)[0]:
            data = _read(source)
            if not data:
                return
            if not said:
                said, deadline_s = True, time.monotonic() + seconds
            if shown:
                sys.stdout.buffer.write(data)
                sys.stdout.flush()
            yield data
        elif left_s <= 0:
            if pressed:
                return
            process.send_signal(signal.SIGINT)
            pressed, deadline_s = True, time.monotonic() + FIRST_WORD_S


def _read(source: int) -> bytes:
    """What has come; nothing when the program has closed its end."""
    try:
        return os.read(source, _PIECE)
    except OSError:  # a terminal that nobody has open any more
        return b''


def _like_ours(terminal: int) -> None:
    """Make it as wide as the one this process writes to."""
    with contextlib.suppress(OSError):
        size = fcntl.ioctl(sys.stdout, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
