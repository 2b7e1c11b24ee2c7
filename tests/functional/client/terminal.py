"""The real command, in a process of its own, on a real terminal."""

import contextlib
import os
import pathlib
import pty
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


def command(address: str, *words: str) -> list[str]:
    return [
        *(sys.executable, '-m', 'livemig.client.shell', *words),
        *('--os-auth-type=none', f'--os-endpoint={address}/v2.1'),
    ]


def environment(tmp_path: pathlib.Path, **more: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith('OS_')
    }
    return kept | {'HOME': str(tmp_path), 'PYTHONUTF8': '1'} | more


@contextlib.contextmanager
def on_terminal(words: list[str], **given: Any) -> Iterator[Any]:
    """A child on a terminal of its own, ended with the test."""
    ours, theirs = pty.openpty()
    streams = {'stdin': theirs, 'stdout': theirs, 'stderr': theirs}
    child = subprocess.Popen(words, **streams, **given)
    os.close(theirs)
    try:
        yield child, ours
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def read_until(terminal: int, text: str) -> str:
    """What the terminal showed up to and with that text."""
    seen = b''
    while text not in seen.decode(errors='replace'):
        seen += os.read(terminal, 1024)
    return seen.decode()
