"""Speaks to a lab's keeper: starts it, and what it is asked to start."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_KEEPER = Path(__file__).resolve().with_name('keeper.py')
_SOCKET = 'keeper.sock'
_REPLY_S = 60.0
_STOP_S = 60.0
_KILL_S = 10.0


class LabError(Exception):
    """The lab cannot do what was asked; the text says why."""


class KeeperClient:
    """Requests to one keeper, each on a connection of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, order: Mapping[str, Any]) -> 'KeeperClient':
        """Start a keeper that ends with this process.

        order: see keeper.main. Raises LabError.
        """
        # -I -S: nothing of the caller's environment gets into it.
        argv = [sys.executable, '-I', '-S', str(_KEEPER)]
        process = subprocess.Popen(
            [*argv, json.dumps({**order, 'owner': os.getpid()})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd='/',
            start_new_session=True,  # Ctrl-C goes to us; we close the pipe
        )
        assert process.stdout is not None
        with process.stdout:
            line = process.stdout.readline()
        if not line:
            process.communicate()
            raise LabError('the keeper of the lab did not start')
        client = cls(Path(json.loads(line)['directory']))
        client.process = process
        return client

    def ask(
        self, do: str, timeout_s: float | None = _REPLY_S, **details: Any
    ) -> dict[str, Any]:
        """One request. Raises LabError, TimeoutError."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            request = json.dumps({'do': do, **details})
            try:
                connection.connect(str(self.base / _SOCKET))
                connection.sendall(request.encode() + b'\n')
                with connection.makefile('rb') as answers:
                    line = answers.readline()
            except TimeoutError:
                raise
            except OSError as error:
                raise LabError(f'the lab has ended: {error}') from None
        if not line:
            raise LabError('the lab has ended')
        reply: dict[str, Any] = json.loads(line)
        if 'error' in reply:
            raise LabError(f'{do}: {reply["error"]}')
        return reply

    def stop(self) -> None:
        """End a keeper that this process started, and wait for it."""
        process = self.process
        if process is None:
            return
        self.process = None
        assert process.stdin is not None
        process.stdin.close()
        try:
            code = process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            raise LabError(f'{self.base}: the lab does not end') from None
        if code:
            raise LabError(f'{self.base}: the lab ended with {code}')

    def forget(self) -> None:
        """Leave a detached keeper to itself."""
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.returncode = 0  # not ours to wait for any more
            self.process = None


class Handle:
    """One process of the lab."""

    def __init__(
        self, keeper: KeeperClient, name: str, pid: int, log: Path
    ) -> None:
        self.name = name
        self.pid = pid
        self.log = log
        self._keeper = keeper

    def __repr__(self) -> str:
        return f'<{self.name} pid={self.pid} log={self.log}>'

    def signal(self, number: int, session: bool = False) -> None:
        """Send a signal to it, or to its whole session as well.

        Nothing happens if it has ended.
        """
        self._keeper.ask(
            'signal', pid=self.pid, number=int(number), session=session
        )

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and what it started in its session, at once (SIGKILL).

        Returns when all of them are gone. Raises LabError.
        """
        self.signal(signal.SIGKILL, session=True)
        self.wait_all(_KILL_S)

    def wait_all(self, timeout_s: float) -> None:
        """Wait until its whole session has ended. Raises LabError."""
        wait_until(
            lambda: not self._keeper.ask('session', pid=self.pid)['pids'],
            f'the end of {self.name}',
            timeout_s,
            pause_s=0.01,
        )

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None: it still runs."""
        code = self._keeper.ask('wait', pid=self.pid, block=False)
        return code['exit_code']  # type: ignore[no-any-return]

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code, negative for a signal. Raises TimeoutError."""
        code = self._keeper.ask('wait', timeout_s, pid=self.pid)
        return code['exit_code']  # type: ignore[no-any-return]

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        try:
            with self.log.open('rb') as file:
                file.seek(max(0, self.log.stat().st_size - 65536))
                text = file.read().decode(errors='replace')
        except OSError as error:
            return str(error)
        return '\n'.join(text.splitlines()[-lines:])


def wait_until(
    ready: Any,
    what: str,
    timeout_s: float,
    process: Handle | None = None,
    pause_s: float = 0.05,
) -> Any:
    """Ask ready() again and again until it returns something true.

    Fails at once when the process it waits for has ended. Raises LabError
    with the end of that process's log.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = ready()
        if answer:
            return answer
        trouble = ''
        if process is not None and process.poll() is not None:
            trouble = f'{process.name} ended with {process.poll()}'
        elif time.monotonic() > deadline:
            trouble = f'no answer within {timeout_s:g} s'
        if trouble:
            log = f'\n{process.tail()}' if process is not None else ''
            raise LabError(f'{what}: {trouble}{log}')
        time.sleep(pause_s)


def words(argv: Sequence[str | os.PathLike[str]]) -> list[str]:
    """A command as strings."""
    return [os.fspath(word) for word in argv]
