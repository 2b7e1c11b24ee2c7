"""Decides what a lab consists of; what users of the lab call."""

import json
import os
import re
import secrets
import signal
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from lab import identity
from lab.broker import Broker
from lab.client import Handle, KeeperClient, LabError, words
from lab.databases import MariaDb, PostgreSql
from lab.hosts import LONGEST_BASE, Host, make_directory
from lab.keystone import Keystone
from lab.proxy import Address, BlackHole, Proxy
from lab.registry import (
    cache_root,
    capability_cache,
    entries,
    registry,
    stop,
)
from lab.servers import Server

S = TypeVar('S', bound=Server)

_NAME = re.compile(r'[a-z0-9][a-z0-9-]{0,30}\Z')


class Lab:
    """N libvirt hosts and private servers on this machine.

    Ends, with all that was started in it, when it is stopped, when the
    `with` block is left, and when this process ends in whatever way.
    """

    def __init__(
        self,
        hosts: int = 2,
        name: str | None = None,
        directory: str | os.PathLike[str] | None = None,
        tcp: bool = True,
        migration_address: str = '',
    ) -> None:
        """Bring up that many hosts (0 for servers alone).

        directory: a path that does not exist yet; it is made, and removed
        at the end. tcp: False closes the hosts' TCP ports, which let every
        user of this machine in; their migration_uri is the unix socket
        then. migration_address: where QEMU waits for a guest's memory, and
        only there; '': on all addresses. Raises LabError.
        """
        self.name = name or f'lab-{secrets.token_hex(3)}'
        if not _NAME.match(self.name):
            raise LabError(f'{self.name!r}: a name has a-z, 0-9 and - only')
        self.hosts: list[Host] = []
        self._tcp = tcp
        self._migration_address = migration_address
        self._servers: dict[type[Server], Server] = {}
        self._closers: list[Proxy | BlackHole] = []
        self._hypervisor = identity.hypervisor()
        order: dict[str, Any] = {
            'name': self.name,
            'registry': str(registry()),
            'parent': str(_parent(self._hypervisor.user)),
        }
        if directory is not None:
            order['directory'] = os.path.abspath(directory)
            _check_length(order['directory'])
        for entry in entries():
            if entry.name == self.name and not entry.alive:
                stop(entry)  # its keeper was killed; make room
        self._keeper = KeeperClient.start(order)
        try:
            self._make_directories()
            self._start_hosts(hosts)
            self.publish()
        except BaseException:
            self.stop()
            raise

    @property
    def directory(self) -> Path:
        """The directory of all of the lab's files."""
        return self._keeper.base

    @property
    def shared_path(self) -> Path:
        """A directory that all hosts see under the same path."""
        return self.directory / 'shared'

    @property
    def run_as(self) -> tuple[int, int]:
        """(uid, gid) of libvirtd and QEMU; so of a compute manager too."""
        return self._hypervisor.user.uid, self._hypervisor.user.gid

    @property
    def post_copy(self) -> bool:
        """Whether QEMU can do post-copy here."""
        return self._hypervisor.post_copy

    @property
    def post_copy_reason(self) -> str:
        """Why it can, or what has to be done so that it can."""
        return self._hypervisor.reason

    # --- processes ---

    def spawn(
        self,
        name: str,
        argv: Sequence[str | os.PathLike[str]],
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        log: str | os.PathLike[str] | None = None,
        stop_signal: int = signal.SIGTERM,
        cwd: str | os.PathLike[str] | None = None,
    ) -> Handle:
        """Start a process that ends with the lab, before its servers.

        env is added to this process's environment. user: a name, a uid,
        or 'run_as' for the hosts' user; None: this process's. The log
        gets standard output and error. Raises LabError.
        """
        path = Path(log) if log else self.directory / 'log' / f'{name}.log'
        as_user = self._user(user)
        reply = self._keeper.ask(
            'spawn',
            name=name,
            argv=words(argv),
            env={
                **os.environ,
                **(env or {}),
                'LIVEMIG_LAB': f'{self.directory}/',
            },
            log=os.path.abspath(path),
            user=None if as_user is None else as_user.for_keeper(),
            stop_signal=int(stop_signal),
            cwd=os.path.abspath(cwd or os.curdir),
        )
        return Handle(self._keeper, name, reply['pid'], path)

    def free_port(self) -> int:
        """A TCP port that no other lab uses and nobody listens on."""
        return self._keeper.ask('port')['port']  # type: ignore[no-any-return]

    # --- servers ---

    def broker(self) -> str:
        """Start RabbitMQ if need be; its transport URL."""
        return self.broker_server.url

    def postgresql(self, database: str = 'livemig') -> str:
        """Start PostgreSQL if need be; an SQLAlchemy URL.

        The database is made if it is not there.
        """
        return self.postgresql_server.create(database)

    def mariadb(self, database: str = 'livemig') -> str:
        """Start MariaDB if need be; an SQLAlchemy URL.

        The database is made if it is not there.
        """
        return self.mariadb_server.create(database)

    def keystone(self) -> Keystone:
        """Start Keystone if need be; to be asked, stopped and started."""
        return self._server(Keystone)

    @property
    def broker_server(self) -> Broker:
        """The broker, to stop, kill and start it again."""
        return self._server(Broker)

    @property
    def postgresql_server(self) -> PostgreSql:
        """PostgreSQL, to stop, kill and start it again."""
        return self._server(PostgreSql)

    @property
    def mariadb_server(self) -> MariaDb:
        """MariaDB, to stop, kill and start it again."""
        return self._server(MariaDb)

    # --- faults of the network ---

    def proxy(
        self,
        listen: Address,
        target: Address,
        answered: Callable[[], None] = lambda: None,
    ) -> Proxy:
        """A TCP proxy whose link can fail; see lab.proxy."""
        proxy = Proxy(listen, target, answered)
        self._closers.append(proxy)
        return proxy

    def blackhole_address(self) -> Address:
        """An address where connecting hangs, as when packets are dropped."""
        hole = BlackHole(('127.0.0.1', self.free_port()))
        self._closers.append(hole)
        return hole.address

    # --- its life ---

    def stop(self) -> None:
        """End everything and remove the directory."""
        while self._closers:
            self._closers.pop().close()
        self._keeper.stop()

    def detach(self) -> None:
        """Let the lab outlive this process: `stop NAME` ends it."""
        self.publish()
        log = self.directory / 'log/keeper.log'
        self._keeper.ask('detach', log=str(log))
        self._keeper.forget()

    def facts(self) -> dict[str, Any]:
        """What another program has to know to use this lab."""
        return {
            'name': self.name,
            'directory': str(self.directory),
            'shared_path': str(self.shared_path),
            'run_as': list(self.run_as),
            'user': self._hypervisor.user.name,
            'post_copy': self.post_copy,
            'post_copy_reason': self.post_copy_reason,
            'hosts': [host.facts() for host in self.hosts],
            **{s.fact: s.url for s in self._servers.values()},
        }

    def publish(self) -> None:
        """Let `list` know of what was started since."""
        self._keeper.ask('publish', facts=self.facts())
        path = self.directory / 'lab.json'
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o600), 'w') as file:
            json.dump(self.facts(), file, indent=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- parts ---

    def _make_directories(self) -> None:
        me, group = os.geteuid(), os.getegid()
        make_directory(self.directory / 'log', me, group, 0o755)
        make_directory(self.shared_path, *self.run_as, 0o755)

    def _start_hosts(self, count: int) -> None:
        cache = capability_cache(cache_root(), self.run_as[0])
        cold = cache is None or not any(cache.glob('*.xml'))
        for number in range(1, count + 1):
            host = Host(
                number,
                self._keeper,
                self._hypervisor,
                cache,
                self._tcp,
                self._migration_address,
            )
            self.hosts.append(host)
            # With a cold cache the first host probes QEMU for the others.
            host.start_daemon(wait=cold and cache is not None and number == 1)
        for host in self.hosts:
            host.wait_ready()

    def _server(self, kind: type[S]) -> S:
        server = self._servers.get(kind)
        if server is None:
            server = kind(self._keeper)
            server.start()
            self._servers[kind] = server
            self.publish()
        assert isinstance(server, kind)
        return server

    def _user(self, wanted: str | int | None) -> identity.User | None:
        if wanted is None:
            return None
        try:
            if wanted == 'run_as':
                return self._hypervisor.user
            return identity.user(wanted)
        except KeyError:
            raise LabError(f'there is no user {wanted}') from None


def _check_length(directory: str) -> None:
    if len(os.fsencode(directory)) > LONGEST_BASE:
        raise LabError(
            f'{directory}: too long; unix sockets in it would exceed 107 '
            f'bytes, so it may have {LONGEST_BASE} at most'
        )


def _parent(user: identity.User) -> Path:
    """The temporary directory, if short and open to the hosts' user."""
    wanted = Path(tempfile.gettempdir()).resolve()
    longest = LONGEST_BASE - len('/lml-12345678')
    if len(os.fsencode(wanted)) <= longest and _passable(wanted, user):
        return wanted
    return Path('/tmp')  # noqa: S108 - mkdtemp makes the directory


def _passable(directory: Path, user: identity.User) -> bool:
    for path in (directory, *directory.parents):
        info = path.stat()
        mine = stat.S_IXUSR if info.st_uid == user.uid else stat.S_IXOTH
        if not info.st_mode & mine:
            return False
    return True
