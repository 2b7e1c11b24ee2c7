"""Decides where labs are noted and what is kept between them.

Root keeps it below /var/cache, so that under sudo nothing of the calling
user's is trusted; everybody else below ~/.cache. Both are used only if
nobody else can write there.
"""

import json
import os
import pwd
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.client import KeeperClient, LabError
from lab.keeper import GRACE_S, KILL_S, start_time

_TELLING_VARIABLES = ('HOME', 'XDG_CACHE_HOME', 'LIVEMIG_LAB')
_STOP_S = 2 * GRACE_S + KILL_S + 5


@dataclass(frozen=True)
class Entry:
    """One lab that was started, and may have died since."""

    name: str
    directory: Path
    pid: int
    start_time: int

    @property
    def alive(self) -> bool:
        """Whether its keeper runs: this very process, not just the pid."""
        return start_time(self.pid) == self.start_time

    def describe(self) -> dict[str, Any]:
        """Its facts and processes. Raises LabError."""
        return KeeperClient(self.directory).ask('describe', timeout_s=10)


def cache_root() -> Path:
    """The directory that all labs of this user share. Raises LabError."""
    if os.geteuid() == 0:
        root = Path('/var/cache/livemig-lab')
    else:
        wanted = os.environ.get('XDG_CACHE_HOME', '')
        home = pwd.getpwuid(os.geteuid()).pw_dir
        parent = Path(wanted if os.path.isabs(wanted) else f'{home}/.cache')
        root = parent / 'livemig-lab'
    return _private(root)


def capability_cache(root: Path, uid: int) -> Path:
    """Where that user's daemons' knowledge of QEMU is kept.

    One directory a user: what one user's daemon wrote is never given to
    another's.
    """
    return _private(root / f'capabilities-{uid}')


def registry() -> Path:
    """Where this user's labs are noted."""
    return _private(cache_root() / 'labs')


def entries() -> Iterator[Entry]:
    """This user's labs, by name."""
    for file in sorted(registry().glob('*.json')):
        try:
            text = json.loads(file.read_text())
            yield Entry(
                text['name'],
                Path(text['directory']),
                text['pid'],
                text['start_time'],
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it is being written, or was removed just now


def stop(entry: Entry) -> None:
    """End a lab; also what one has left whose keeper was killed.

    Raises LabError.
    """
    if entry.alive:
        pidfd = os.pidfd_open(entry.pid)
        try:
            if entry.alive:
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        finally:
            os.close(pidfd)
        deadline = time.monotonic() + _STOP_S
        while entry.alive:
            if time.monotonic() > deadline:
                raise LabError(f'{entry.name}: does not end')
            time.sleep(0.05)
    _clear(entry)


def _clear(entry: Entry) -> None:
    """Remove what a killed keeper could not.

    Its processes are known by their environment: their home or cache is
    in the lab's directory (libvirt sees to that for QEMU).
    """
    marks = tuple(
        f'{key}={entry.directory}/'.encode() for key in _TELLING_VARIABLES
    )
    for _ in range(100):
        left = list(_processes_with(marks))
        if not left:
            break
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            except PermissionError as error:
                raise LabError(
                    f'{entry.name}: process {pid}: {error}'
                ) from None
        time.sleep(0.05)
    if (entry.directory / 'keeper.sock').is_socket():
        shutil.rmtree(entry.directory, ignore_errors=True)
    (registry() / f'{entry.name}.json').unlink(missing_ok=True)


def _processes_with(marks: tuple[bytes, ...]) -> Iterator[int]:
    for name in os.listdir('/proc'):
        if name.isdigit() and int(name) != os.getpid():
            try:
                environment = Path('/proc', name, 'environ').read_bytes()
            except OSError:
                continue
            if any(v.startswith(marks) for v in environment.split(b'\0')):
                yield int(name)


def _private(path: Path) -> Path:
    """Make the directory, or check that only this user can write there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = os.lstat(path)
    except OSError as error:
        raise LabError(f'cannot use {path}: {error}') from None
    directory = (info.st_mode & 0o170000) == 0o040000
    if not directory or info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise LabError(f'{path}: somebody else can write there; remove it')
    return path
