"""Decides how one libvirt host of the lab is configured and started.

A host is a session-mode libvirtd with directories of its own: no root, no
namespace, no cgroup. Session daemons on one machine are told apart by
host_uuid; that they share a host name does no harm (measured with libvirt
9.0).
"""

import contextlib
import os
import shutil
import signal
import tempfile
import uuid
from pathlib import Path

from lab import remote
from lab.client import Handle, KeeperClient, LabError, wait_until
from lab.identity import Hypervisor

ADDRESS = '127.0.0.1'
SYSTEM_PATH = ':'.join(
    f'{root}/{kind}'
    for root in ('/usr/local', '/usr', '')
    for kind in ('sbin', 'bin')
)
MIGRATION_PORTS = 20  # as many incoming migrations at a time, per host
READY_S = 60.0  # probing QEMU took 8 s with a cold cache on a busy machine
# A unix socket's path has at most 107 bytes (unix(7)); the longest of a
# host is hNN/etc/libvirt/qemu/lib/domain-NN-<20 characters>/monitor.sock.
LONGEST_BASE = 107 - 69
# Where a session daemon keeps what it learnt by probing QEMU.
_CAPABILITIES = Path('cache/libvirt/qemu/cache/capabilities')
_LARGEST_CACHE_FILE = 4 << 20

# keepalive: 2 s x 3 notices a dead link of a peer-to-peer migration after
# 8 s; libvirt's default takes 27-30 s. security_driver and stdio_handler:
# neither SELinux, AppArmor nor virtlogd is part of a lab.
_QEMU_CONF = """\
migration_port_min = {first_port}
migration_port_max = {last_port}
keepalive_interval = 2
keepalive_count = 3
stdio_handler = "file"
security_driver = "none"
"""
# libvirt refuses this for 127.0.0.1, but takes it for 127.0.0.2.
_LISTEN = 'migration_address = "{address}"\n'
_LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = {tcp:d}
listen_addr = "{address}"
tcp_port = "{port}"
auth_tcp = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0600"
host_uuid = "{host_uuid}"
"""


class Host:
    """One libvirt host: its addresses, its directories, its daemon."""

    def __init__(
        self,
        number: int,
        keeper: KeeperClient,
        hypervisor: Hypervisor,
        capability_cache: Path | None,
        tcp: bool,
        migration_address: str = '',
    ) -> None:
        self.name = f'host{number}'
        self.uuid = str(uuid.uuid4())
        self.port: int = keeper.ask('port')['port']
        first = keeper.ask('port_range', count=MIGRATION_PORTS)['port']
        #: Where incoming guests listen for their memory.
        self.migration_ports = range(first, first + MIGRATION_PORTS)
        self.migration_address = migration_address or ADDRESS
        self._listen = (
            _LISTEN.format(address=migration_address)
            if migration_address
            else ''
        )
        self.path = keeper.base / f'h{number}'
        self.instances_path = self.path / 'instances'
        self.log = keeper.base / 'log' / f'{self.name}.log'
        self.socket = self.path / 'run/libvirt/libvirt-sock'
        self.control_uri = f'qemu+unix:///session?socket={self.socket}'
        # Peer-to-peer works over the unix socket as well (measured with
        # libvirt 9.0), but only TCP is what hosts of a real cloud have.
        self.migration_uri = (
            f'qemu+tcp://{ADDRESS}:{self.port}/session'
            if tcp
            else self.control_uri
        )
        self._tcp = tcp
        self._keeper = keeper
        self._hypervisor = hypervisor
        self._capability_cache = capability_cache
        self._daemon: Handle | None = None
        self._make()

    def __repr__(self) -> str:
        return f'<{self.name} {self.control_uri}>'

    @property
    def run_as(self) -> tuple[int, int]:
        """(uid, gid) of libvirtd and of the guests' QEMU."""
        return self._hypervisor.user.uid, self._hypervisor.user.gid

    @property
    def pid(self) -> int:
        """The pid of libvirtd. Raises LabError if it does not run."""
        if self._daemon is None or self._daemon.poll() is not None:
            raise LabError(f'{self.name}: libvirtd does not run')
        if not self._through_sudo():
            return self._daemon.pid
        file = self.path / 'run/libvirt/libvirtd.pid'
        try:
            return int(file.read_text())
        except (OSError, ValueError) as error:
            raise LabError(f'{self.name}: {error}') from None

    @property
    def running(self) -> bool:
        """Whether libvirtd runs."""
        return self._daemon is not None and self._daemon.poll() is None

    def start_daemon(self, wait: bool = True) -> None:
        """Start libvirtd and wait until it can start guests.

        Guests that a killed daemon has left behind are found again.
        Raises LabError.
        """
        if self.running:
            raise LabError(f'{self.name}: libvirtd runs already')
        conf = self.path / 'etc/libvirt/libvirtd.conf'
        argv = [
            *self._hypervisor.prefix,
            *('env', '-i'),
            *(f'{key}={value}' for key, value in self.environment().items()),
            *(_libvirtd(), '--config', str(conf)),
            *(['--listen'] if self._tcp else []),
        ]
        self._daemon = spawn(
            self._keeper, self.name, argv, self.environment(), self.log
        )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until libvirtd answers and knows its emulator."""

        def ready() -> str | None:
            try:
                return remote.capabilities(self.socket, READY_S)
            except remote.NotReady:
                return None

        text = wait_until(ready, self.name, READY_S, self._daemon)
        if "<arch name='x86_64'>" not in text:
            raise LabError(
                f'{self.name}: libvirt finds no emulator; is the package '
                'qemu-system-x86 installed?'
            )
        self._save_capabilities()

    def kill_daemon(self) -> None:
        """SIGKILL libvirtd, as a crash would; its guests go on running."""
        self.signal_daemon(signal.SIGKILL)
        assert self._daemon is not None
        self._daemon.wait(READY_S)

    def signal_daemon(self, number: int) -> None:
        """Signal libvirtd: SIGSTOP and SIGCONT make it hang and go on."""
        self._keeper.ask('signal', pid=self.pid, number=int(number))

    def facts(self) -> dict[str, object]:
        """What another program has to know to use this host."""
        return {
            'name': self.name,
            'control_uri': self.control_uri,
            'migration_uri': self.migration_uri,
            'migration_address': self.migration_address,
            'instances_path': str(self.instances_path),
            'uuid': self.uuid,
            'log': str(self.log),
        }

    def environment(self) -> dict[str, str]:
        """The environment of libvirtd: nothing of the caller's is in it."""
        return {
            'PATH': SYSTEM_PATH,
            'LANG': 'C.UTF-8',
            'USER': self._hypervisor.user.name,
            'LOGNAME': self._hypervisor.user.name,
            'HOME': str(self.path),
            'TMPDIR': str(self.path / 'tmp'),
            'XDG_CONFIG_HOME': str(self.path / 'etc'),
            'XDG_RUNTIME_DIR': str(self.path / 'run'),
            'XDG_CACHE_HOME': str(self.path / 'cache'),
            'XDG_DATA_HOME': str(self.path / 'lib'),
        }

    def _through_sudo(self) -> bool:
        prefix = self._hypervisor.prefix
        return bool(prefix) and os.path.basename(prefix[0]) == 'sudo'

    def _make(self) -> None:
        uid, gid = self.run_as
        make_directory(self.path, uid, gid, 0o711)
        for name in ('etc', 'run', 'cache', 'lib', 'tmp'):
            make_directory(self.path / name, uid, gid, 0o700)
        make_directory(self.instances_path, uid, gid, 0o755)
        make_directory(self.path / 'etc/libvirt', uid, gid, 0o700)
        ports = self.migration_ports
        texts = {
            'qemu.conf': _QEMU_CONF.format(
                first_port=ports.start, last_port=ports.stop - 1
            )
            + self._listen,
            'libvirtd.conf': _LIBVIRTD_CONF.format(
                address=ADDRESS,
                port=self.port,
                host_uuid=self.uuid,
                tcp=self._tcp,
            ),
        }
        for name, text in texts.items():
            make_file(self.path / 'etc/libvirt' / name, text, uid, gid)
        self._load_capabilities()

    # --- the capabilities cache: what libvirt learnt by probing QEMU ---

    def _load_capabilities(self) -> None:
        """Give the daemon what an earlier lab of this user has learnt.

        libvirt itself throws away what does not fit its own or QEMU's
        version any more.
        """
        uid, gid = self.run_as
        directory = self.path
        for part in _CAPABILITIES.parts:
            directory /= part
            if directory.is_dir():
                continue
            make_directory(directory, uid, gid, 0o700)
        if self._capability_cache is None:
            return
        for file in self._capability_cache.glob('*.xml'):
            text = _read_own(file, os.geteuid())
            if text is not None:
                make_file(directory / file.name, text, uid, gid)

    def _save_capabilities(self) -> None:
        """Keep what this daemon has learnt; losing it only costs time."""
        kept = self._capability_cache
        if kept is None:
            return
        for file in (self.path / _CAPABILITIES).glob('*.xml'):
            text = _read_own(file, self.run_as[0])
            if text is None or text == _read_own(
                kept / file.name, os.geteuid()
            ):
                continue
            with contextlib.suppress(OSError):
                number, name = tempfile.mkstemp('.new', dir=kept)
                with open(number, 'w') as output:
                    output.write(text)
                os.replace(name, kept / file.name)


def spawn(
    keeper: KeeperClient,
    name: str,
    argv: list[str],
    env: dict[str, str],
    log: Path,
    user: list[object] | None = None,
    stop_signal: int = signal.SIGKILL,
    stdin: Path | None = None,
    cwd: Path | None = None,
) -> Handle:
    """Start one of the lab's own servers."""
    reply = keeper.ask(
        'spawn',
        name=name,
        argv=argv,
        env=env,
        log=str(log),
        user=user,
        stop_signal=int(stop_signal),
        server=True,
        cwd=None if cwd is None else str(cwd),
        stdin=None if stdin is None else str(stdin),
    )
    return Handle(keeper, name, reply['pid'], log)


def make_directory(path: Path, uid: int, gid: int, mode: int) -> None:
    """A new directory that belongs to that user."""
    path.mkdir(mode=0o700)
    path.chmod(mode)
    if os.geteuid() != uid:
        os.chown(path, uid, gid, follow_symlinks=False)


def make_file(path: Path, text: str, uid: int, gid: int) -> None:
    """A new file that only that user can read; never through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), 'w') as file:
        if os.geteuid() != uid:
            os.fchown(file.fileno(), uid, gid)
        file.write(text)


def _read_own(path: Path, uid: int) -> str | None:
    """A small plain file of that user's; None for anything else."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(number, 'rb') as file:
        info = os.fstat(number)
        plain = (info.st_mode & 0o170000) == 0o100000 and info.st_nlink == 1
        if not plain or info.st_uid != uid:
            return None
        text = file.read(_LARGEST_CACHE_FILE + 1)
    if len(text) > _LARGEST_CACHE_FILE:
        return None
    try:
        return text.decode()
    except UnicodeDecodeError:
        return None


def _libvirtd() -> str:
    path = os.environ.get('PATH', '') + ':/usr/sbin'
    found = shutil.which('libvirtd', path=path)
    if found is None:
        raise LabError(
            'there is no libvirtd here; install the packages with '
            '"tools/lab.sh install hosts"'
        )
    return found
