"""What can be seen of this machine's processes, ports and memory."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LONG_S = 60.0


def until(true: Callable[[], Any], timeout_s: float = LONG_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, 'it never came true'
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False
    return stat.rpartition(')')[2].split()[0] != 'Z'


def processes_of(directory: Path) -> list[str]:
    """Command lines that name the directory, or run with it as home."""
    found = []
    mark = f'{directory}/'.encode()
    for path in Path('/proc').glob('[0-9]*'):
        text = read(path / 'cmdline') + b'\0' + read(path / 'environ')
        if mark in text and int(path.name) != os.getpid():
            found.append(read(path / 'cmdline').decode())
    return found


def makers_of_shared_memory() -> set[int]:
    """The pids that made the System V shared memory there is now."""
    lines = Path('/proc/sysvipc/shm').read_text().splitlines()
    column = lines[0].split().index('cpid')
    return {int(line.split()[column]) for line in lines[1:]}


def listening_beyond_loopback(pid: int) -> list[str]:
    loopback = {'0100007F', '00000000000000000000000001000000'}
    return [
        address
        for address in listening(pid)
        if address.partition(':')[0] not in loopback
    ]


def listening(pid: int) -> list[str]:
    """Where a process's session listens: the kernel's HEX:PORT."""
    session = os.getsid(pid)
    inodes = set()
    for path in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if os.getsid(int(path.name)) == session:
                for link in (path / 'fd').iterdir():
                    with contextlib.suppress(OSError):
                        inodes.add(os.readlink(link))
    return [
        address
        for address, inode in _listeners()
        if f'socket:[{inode}]' in inodes
    ]


def listening_ports() -> set[int]:
    """Of the whole machine."""
    return {int(address.rpartition(':')[2], 16) for address, _ in _listeners()}


def listening_at(address: str) -> set[int]:
    """The ports at which somebody waits on that IPv4 address alone."""
    number = int.from_bytes(socket.inet_aton(address), 'little')
    return {
        int(port, 16)
        for where, _, port in (a.partition(':') for a, _ in _listeners())
        if where == f'{number:08X}'
    }


def _listeners() -> Iterator[tuple[str, str]]:
    """(the kernel's HEX:PORT, inode)."""
    for table in ('tcp', 'tcp6'):
        lines = Path(f'/proc/net/{table}').read_text().splitlines()[1:]
        for fields in (line.split() for line in lines):
            if fields[3] == '0A':
                yield fields[1], fields[9]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b''
