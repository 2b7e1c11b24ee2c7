"""Decides how a private server of the lab is started and ended.

Each listens on loopback only, on a port of the lab's, lets nobody in
without the password that was drawn for it, and, but for Keystone, never
runs as root.
"""

import os
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from lab import identity
from lab.client import Handle, KeeperClient, LabError, wait_until
from lab.hosts import SYSTEM_PATH, make_directory, make_file, spawn

READY_S = 120.0  # RabbitMQ needs 8-9 s on two quiet cores
STOP_S = 60.0
USER = 'livemig'


class Server:
    """One private server: made once, started and stopped at will."""

    fact: ClassVar[str]  # its name in Lab.facts()
    system_user: ClassVar[str]  # as whom it runs when we are root
    purpose: ClassVar[str]  # of lab.packages
    stop_signal: ClassVar[int] = signal.SIGKILL  # when the lab ends
    orderly: ClassVar[int] = signal.SIGTERM  # for stop()

    def __init__(self, keeper: KeeperClient) -> None:
        self.port: int = keeper.ask('port')['port']
        self.password = secrets.token_hex(16)
        self.path = keeper.base / self.fact
        self.log = keeper.base / 'log' / f'{self.fact}.log'
        self._keeper = keeper
        self._handle: Handle | None = None
        name = self.system_user if os.geteuid() == 0 else os.geteuid()
        try:
            self._user = identity.user(name)
        except KeyError:
            raise LabError(self.not_installed()) from None
        make_directory(self.path, self._user.uid, self._user.gid, 0o700)
        self._directory('tmp')
        self._make()

    @property
    def url(self) -> str:
        """Where clients connect, with user and password."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether its main process runs."""
        return self._handle is not None and self._handle.poll() is None

    @property
    def pid(self) -> int:
        """The pid of the process that was started."""
        if self._handle is None:
            raise LabError(f'{self.fact} does not run')
        return self._handle.pid

    def start(self, wait: bool = True) -> None:
        """Start it, with the data it had. Raises LabError."""
        if self.running:
            raise LabError(f'{self.fact} runs already')
        self._handle = spawn(
            self._keeper,
            self.fact,
            self._command(),
            self._environment(),
            self.log,
            user=self._user.for_keeper(),
            cwd=self.path,
            stop_signal=self.stop_signal,
        )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until clients can work with it."""
        wait_until(self._ready, self.fact, READY_S, self._handle)

    def stop(self) -> None:
        """End it in order; data and port stay."""
        if self._handle is not None:
            self._keeper.ask(
                'signal', pid=self._main_pid(), number=int(self.orderly)
            )
            self._handle.wait(STOP_S)
            self._handle.wait_all(STOP_S)

    def kill(self) -> None:
        """SIGKILL it, as a crash would; data and port stay."""
        if self._handle is not None:
            self._handle.kill()

    def _main_pid(self) -> int:
        """The process that takes the signal for an orderly end."""
        return self.pid

    def _make(self) -> None:
        """Make configuration and data."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _ready(self) -> bool:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return {
            'PATH': SYSTEM_PATH,
            'LANG': 'C.UTF-8',
            'HOME': str(self.path),
            'TMPDIR': str(self.path / 'tmp'),
        }

    def _directory(self, name: str) -> Path:
        path = self.path / name
        make_directory(path, self._user.uid, self._user.gid, 0o700)
        return path

    def _file(self, name: str, text: str) -> Path:
        path = self.path / name
        make_file(path, text, self._user.uid, self._user.gid)
        return path

    def _run(self, argv: Sequence[str], stdin: Path | None = None) -> None:
        """Run a command as the server's user, to its end."""
        handle = spawn(
            self._keeper,
            self.fact,
            list(argv),
            self._environment(),
            self.log,
            user=self._user.for_keeper(),
            cwd=self.path,
            stdin=stdin,
        )
        if handle.wait(READY_S):
            raise LabError(f'{argv[0]} failed:\n{handle.tail()}')

    def not_installed(self) -> str:
        """What to tell an operator who has not got it."""
        return (
            f'{self.fact} is not installed; install it with "tools/lab.sh '
            f'install {self.purpose}"'
        )
