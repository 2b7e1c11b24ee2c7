"""Guards a lab's processes: when the owner goes, nothing of it stays.

Stands alone, so that it works without any path set up:
    python3 -I -S keeper.py '{"name": ..., "parent": ..., ...}'
Its standard input is a pipe from the owner. End of file there, the end of
the owner's process, SIGTERM, SIGINT or SIGHUP make the keeper kill all its
descendants and remove the lab's directory.

It is a sub-reaper (prctl(2)): what daemonises below it - QEMU, epmd -
becomes its child. That also makes libvirt quick: it waits for the pid of a
guest that ends to vanish, and some init processes reap only once a second
(measured with libvirt 9.0: destroy 0.2 s instead of 1.4-2.0 s).

Requests come over a socket that only its user and root can reach, one JSON
object a line and a connection; each is a method `do_...` of Keeper.
"""

import contextlib
import ctypes
import errno
import json
import os
import random
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
DIRECTORY_PREFIX = 'lml-'  # short: see hosts.LONGEST_BASE
SOCKET_NAME = 'keeper.sock'
GRACE_S = 5.0  # for the owner's own processes to end after their signal
KILL_S = 30.0  # for killed processes to vanish
LONGEST_REQUEST = 1 << 20
BLOCK_PORTS = 500
LOWEST_PORT = 10_000
SINGLE_PORTS = 100  # the first of each block; the rest goes out in ranges

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Reply = dict[str, Any]


class Refused(Exception):
    """A request that cannot be met; its text goes back to the caller."""


@dataclass
class Child:
    """One process started on request."""

    name: str
    pid: int
    stop_signal: int
    server: bool  # ended only after those that may be using it
    exit_code: int | None = None  # negative: the signal that ended it
    waiting: list[socket.socket] = field(default_factory=list)


class Ports:
    """A block of TCP ports that no other lab of this machine uses.

    The claim is an abstract unix socket: it lives in the same network
    namespace as the ports, and the kernel drops it with its owner.
    """

    def __init__(self) -> None:
        with open('/proc/sys/net/ipv4/ip_local_port_range') as file:
            ephemeral = int(file.read().split()[0])
        blocks = list(range(LOWEST_PORT, ephemeral, BLOCK_PORTS))
        blocks = [b for b in blocks if b + BLOCK_PORTS <= ephemeral]
        random.shuffle(blocks)
        for first in blocks:
            self._claim = socket.socket(socket.AF_UNIX)
            try:
                self._claim.bind(f'\0livemig-lab-ports-{first}')
            except OSError:
                self._claim.close()
                continue
            self._single = iter(range(first, first + SINGLE_PORTS))
            self._next_range = first + SINGLE_PORTS
            self._end = first + BLOCK_PORTS
            return
        raise Refused('no block of TCP ports is free: too many labs')

    def single(self) -> int:
        """A port that nobody listens on."""
        for port in self._single:
            with socket.socket() as probe:
                try:
                    probe.bind(('127.0.0.1', port))
                except OSError:
                    continue
                return port
        raise Refused('the lab has used up its ports')

    def range(self, count: int) -> int:
        """The first of count ports in a row.

        Whoever gets them must skip those that are taken, as libvirt does.
        """
        first = self._next_range
        if first + count > self._end:
            raise Refused('the lab has used up its port ranges')
        self._next_range += count
        return first


class Keeper:
    """The event loop over signals, owner, requests and children."""

    def __init__(self, name: str, base: Path, registry: Path | None) -> None:
        self.name = name
        self.base = base
        self.registry = registry
        self.children: dict[int, Child] = {}
        self.facts: Reply = {}
        self.ports = Ports()
        self.stopping = False
        self._loop = selectors.DefaultSelector()
        self._owner: list[int] = []
        self._server = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        self._server.bind(str(base / SOCKET_NAME))
        os.umask(mask)
        self._server.listen(64)
        self._server.setblocking(False)
        self._wake, wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        self._watch(self._wake, self._drain)
        self._watch(self._server, self._accept)

    def follow_owner(self, pid: int) -> None:
        """End with the owner: its pipe and, should a process that it
        forked hold the pipe open, its pid.
        """
        pidfd = os.pidfd_open(pid)
        self._owner = [0, pidfd]
        for number in self._owner:
            # The owner sends nothing: readable means that it has ended.
            self._watch(number, self._on_stop)

    def run(self) -> None:
        """Serve until it is time to stop."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        while not self.stopping:
            for key, _ in self._loop.select():
                key.data()
            self._reap()

    # --- events ---

    def _watch(self, what: Any, handler: Callable[[], None]) -> None:
        self._loop.register(what, selectors.EVENT_READ, handler)

    def _on_stop(self, *_: object) -> None:
        self.stopping = True

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake, 512):
                pass

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self.children.get(pid)
            if child is not None and child.exit_code is None:
                child.exit_code = os.waitstatus_to_exitcode(status)
                for connection in child.waiting:
                    _send(connection, {'exit_code': child.exit_code})
                child.waiting.clear()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._server.accept()
            received = bytearray()
            self._watch(
                connection, lambda: self._on_request(connection, received)
            )

    def _on_request(
        self, connection: socket.socket, received: bytearray
    ) -> None:
        try:
            piece = connection.recv(65536)
        except OSError:
            piece = b''
        received += piece
        if piece and not received.endswith(b'\n'):
            if len(received) < LONGEST_REQUEST:
                return
            piece = b''
        self._loop.unregister(connection)
        if not piece:
            connection.close()
            return
        try:
            request = json.loads(received)
            method = getattr(self, f'do_{request.pop("do")}')
            reply = method(connection=connection, **request)
        except (Refused, ValueError, TypeError, AttributeError) as error:
            reply = {'error': str(error)}
        except OSError as error:
            reply = {'error': f'{error.strerror}: {error.filename}'}
        if reply is not None:
            _send(connection, reply)

    # --- requests ---

    def do_spawn(
        self,
        *,
        connection: socket.socket,
        name: str,
        argv: list[str],
        env: dict[str, str],
        log: str,
        cwd: str | None = None,
        user: list[Any] | None = None,
        stop_signal: int = signal.SIGTERM,
        server: bool = False,
        stdin: str | None = None,
    ) -> Reply:
        """Start a process in a session of its own.

        user: [uid, gid, supplementary groups]; None: the keeper's own.
        """
        identity: dict[str, Any] = {}
        if user is not None:
            uid, gid, groups = user
            identity = {'user': uid, 'group': gid, 'extra_groups': groups}
        with (
            open(log, 'ab') as output,
            open(stdin or os.devnull, 'rb') as source,
        ):
            process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd or str(self.base),
                stdin=source,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **identity,
            )
        process.returncode = 0  # reaped by the loop, not by Popen
        child = Child(name, process.pid, stop_signal, server)
        self.children[process.pid] = child
        return {'pid': process.pid}

    def do_signal(
        self,
        *,
        connection: socket.socket,
        pid: int,
        number: int,
        session: bool = False,
    ) -> Reply:
        """Signal a descendant, or all processes of its session."""
        below = dict(descendants())
        child = self.children.get(pid)
        if child is not None and child.exit_code is not None:
            below.pop(pid, None)  # the pid may be somebody else's by now
        for other, its_session in below.items():
            if other == pid or (session and its_session == pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(other, number)
        return {}

    def do_session(self, *, connection: socket.socket, pid: int) -> Reply:
        """The processes of the session that began with this process."""
        self._reap()
        found = [other for other, session in descendants() if session == pid]
        return {'pids': found}

    def do_wait(
        self, *, connection: socket.socket, pid: int, block: bool = True
    ) -> Reply | None:
        """The exit code of a child, when there is one."""
        self._reap()
        child = self.children.get(pid)
        if child is None:
            raise Refused(f'process {pid} was not started by this lab')
        if child.exit_code is not None or not block:
            return {'exit_code': child.exit_code}
        child.waiting.append(connection)
        return None

    def do_port(self, *, connection: socket.socket) -> Reply:
        """A free TCP port."""
        return {'port': self.ports.single()}

    def do_port_range(self, *, connection: socket.socket, count: int) -> Reply:
        """The first of count TCP ports in a row."""
        return {'port': self.ports.range(count)}

    def do_detach(self, *, connection: socket.socket, log: str) -> Reply:
        """Outlive the owner; from now on only a signal ends the lab."""
        for number in self._owner:
            self._loop.unregister(number)
        self._owner = []
        null = os.open(os.devnull, os.O_RDONLY)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        return {}

    def do_publish(self, *, connection: socket.socket, facts: Reply) -> Reply:
        """Keep what `list` and other commands want to know of this lab."""
        self.facts.update(facts)
        return {}

    def do_describe(self, *, connection: socket.socket) -> Reply:
        """What is running."""
        self._reap()
        processes = [
            {'name': c.name, 'pid': c.pid, 'exit_code': c.exit_code}
            for c in self.children.values()
        ]
        return {'facts': self.facts, 'processes': processes}

    # --- the end ---

    def tear_down(self) -> None:
        """End every descendant and remove the directory."""
        self._server.close()
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._ask_to_end(server=False)
        self._ask_to_end(server=True)
        left = _kill_all(self._reap)
        shutil.rmtree(self.base, ignore_errors=True)
        if self.registry is not None:
            self.registry.unlink(missing_ok=True)
        if left or self.base.exists():
            sys.exit(f'lab {self.name}: left behind: {self.base} {left}')

    def _ask_to_end(self, server: bool) -> None:
        """Send the stop signals and wait, but not for ever."""

        def asked() -> list[Child]:
            return [
                child
                for child in reversed(self.children.values())
                if child.exit_code is None
                and child.server == server
                and child.stop_signal != signal.SIGKILL
            ]

        for child in asked():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child.pid, child.stop_signal)
        deadline = time.monotonic() + GRACE_S
        while asked() and time.monotonic() < deadline:
            select.select([self._wake], [], [], 0.1)
            self._drain()
            self._reap()


def _send(connection: socket.socket, reply: Reply) -> None:
    with connection, contextlib.suppress(OSError):
        connection.setblocking(True)
        connection.settimeout(5)  # a caller that does not read is dropped
        connection.sendall(json.dumps(reply).encode() + b'\n')


def descendants() -> Iterator[tuple[int, int]]:
    """(pid, session) of every process below this one."""
    parents: dict[int, tuple[int, int]] = {}
    for entry in os.listdir('/proc'):
        if not entry.isdigit():
            continue
        try:
            with open(f'/proc/{entry}/stat', 'rb') as file:
                text = file.read()
        except OSError:
            continue
        # pid (name, which may hold anything) state ppid pgrp session ...
        fields = text.rpartition(b')')[2].split()
        parents[int(entry)] = int(fields[1]), int(fields[3])
    me = os.getpid()
    for pid, (parent, session) in parents.items():
        seen = {pid}
        while parent in parents and parent not in seen and parent != me:
            seen.add(parent)
            parent = parents[parent][0]
        if parent == me:
            yield pid, session


def _kill_all(reap: Callable[[], None]) -> list[int]:
    """SIGKILL descendants until none is left; returns what would not die.

    Again and again, since one may fork while another is killed. sudo, as
    root, cannot be killed by an ordinary user: it ends with its child.
    """
    deadline = time.monotonic() + KILL_S
    while True:
        left = [pid for pid, _ in descendants()]
        if not left or time.monotonic() > deadline:
            return left
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)  # they are dying; nothing tells when all are dead
        reap()


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks after boot; None: it is gone.

    With the pid it names one process for good, as a pid alone does not.
    """
    try:
        with open(f'/proc/{pid}/stat', 'rb') as file:
            fields = file.read().rpartition(b')')[2].split()
    except OSError:
        return None
    return None if fields[0] == b'Z' else int(fields[19])


def _become_sub_reaper() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), 'PR_SET_CHILD_SUBREAPER')


def _make_base(order: Reply) -> Path:
    """A new directory that other users can pass through, not list."""
    if order.get('directory'):
        base = Path(order['directory'])
        base.mkdir(mode=0o711)
    else:
        base = Path(tempfile.mkdtemp('', DIRECTORY_PREFIX, order['parent']))
    base.chmod(0o711)
    return base


def _register(order: Reply, base: Path) -> Path | None:
    """Note the lab where `list` and `stop` look for it."""
    if not order.get('registry'):
        return None
    path = Path(order['registry'], f'{order["name"]}.json')
    entry = {
        'name': order['name'],
        'directory': str(base),
        'pid': os.getpid(),
        'start_time': start_time(os.getpid()),
    }
    with open(path, 'x') as file:
        json.dump(entry, file)
    return path


def main(argument: str) -> None:
    """Make the lab's directory, say so on standard output, and serve."""
    order = json.loads(argument)
    _become_sub_reaper()
    # Until the loop runs, a signal waits: the directory must go with us.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    base = _make_base(order)
    try:
        keeper = Keeper(order['name'], base, None)
        keeper.registry = _register(order, base)
        keeper.follow_owner(order['owner'])
    except BaseException as error:
        shutil.rmtree(base, ignore_errors=True)
        if isinstance(error, OSError) and error.errno == errno.EEXIST:
            sys.exit(f'a lab named {order["name"]} exists already')
        raise
    print(json.dumps({'directory': str(base)}), flush=True)
    try:
        keeper.run()
    finally:
        keeper.tear_down()


if __name__ == '__main__':
    main(sys.argv[1])
