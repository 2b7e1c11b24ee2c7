"""A whole livemig on a lab's hosts, as an operator would set it up.

Used by the demo, the integration tests and whoever develops. Runs in the
project's virtual environment (unlike the rest of the lab, which is there
before any environment is).
"""

import configparser
import dataclasses
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab import kernel as kernels
from lab.client import Handle, LabError, wait_until
from lab.guests import busybox, images, proof
from lab.labs import Lab
from lab.logins import FileLogin, KeystoneLogin, Login, Options, User
from lab.registry import cache_root

#: A namespace of our own, so that an image has the same id in every cloud.
_IMAGES = uuid.UUID('6c69766d-6967-4000-8000-000000000000')
DEADLINE_S = 60.0
MIB = 1024**2


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the REST service said."""

    status: int
    body: Any
    headers: Mapping[str, str]


#: Who may log in everywhere: name, project, roles.
USERS = (
    ('admin', 'ops', ('admin',)),
    ('manager', 'users', ('manager',)),
    ('member', 'users', ('member',)),
    ('reader', 'users', ('reader',)),
    ('other', 'others', ('member',)),
)


def image_id(name: str) -> str:
    """The id of a catalogue image."""
    return str(uuid.uuid5(_IMAGES, name))


class Cloud:
    """livemig's services on a lab.

    separate: API, conductor and a manager per host are processes of their
    own over RabbitMQ; else one process has them all.
    shared: the hosts' instances lie in a directory that all of them see.
    simulated: names of simulated hosts; the lab's own are not used.
    keystone: users log in at the lab's Keystone, whose catalogue leads to
    this cloud (to the last one made, if there are several).
    """

    def __init__(
        self,
        lab: Lab,
        separate: bool = False,
        shared: bool = False,
        database: str = '',
        options: Options | None = None,
        host_options: Mapping[str, Options] | None = None,
        simulated: Sequence[str] = (),
        keystone: bool = False,
    ) -> None:
        self.lab = lab
        self.simulated = tuple(simulated)
        self.hosts = self.simulated or tuple(h.name for h in lab.hosts)
        self.separate = separate
        self.directory = lab.directory / f'cloud-{secrets.token_hex(3)}'
        self.directory.mkdir(mode=0o755)
        self.port = lab.free_port()
        self.url = f'http://127.0.0.1:{self.port}/v2.1'
        self.login = self._login(keystone)
        self.users = [self.login.add(*values) for values in USERS]
        self.admin = self.user('admin')
        self.database = database or f'sqlite:///{self.directory}/livemig.db'
        self._shared = shared
        self.host_options = dict(host_options or {})
        self._processes: dict[str, Handle] = {}
        self._options: dict[str, dict[str, object]] = {}
        self._merge(self._defaults())
        self._merge(self.login.options())
        self._merge(options or {})
        self._make_catalogue()
        self.write()

    # --- users ---

    def _login(self, keystone: bool) -> Login:
        if not keystone:
            return FileLogin(self.directory / 'users', self.url)
        images = f'{self.url.removesuffix("v2.1")}image'
        return KeystoneLogin(
            self.lab.keystone(), {'compute': self.url, 'image': images}
        )

    def user(self, name: str) -> User:
        """One of USERS, or one that was added."""
        return next(user for user in self.users if user.name == name)

    def add_user(self, name: str, project: str, *roles: str) -> User:
        """Let somebody else in."""
        made = self.login.add(name, project, roles)
        self.users.append(made)
        return made

    # --- configuration ---

    def _defaults(self) -> Options:
        return {
            'DEFAULT': {
                'state_path': self.directory,
                'compute_driver': 'fake' if self.simulated else 'libvirt',
                'debug': 'false',
                'report_interval': 2,
                'service_down_time': 60,
                'periodic_interval': 2,
                'max_concurrent_live_migrations': 2,
                'transport_url': self.lab.broker()
                if self.separate
                else f'inproc://{self.directory.name}/',
            },
            'database': {'connection': self.database},
            'api': {'bind_port': self.port},
            'catalogue': {'path': self.directory / 'catalogue.yaml'},
            'libvirt': {
                'virt_type': 'qemu',
                'allow_unsafe_shared_storage': 'true',
                'guest_file_owner': '{}:{}'.format(*self.lab.run_as)
                if os.geteuid() == 0
                else '',
                'post_copy_capable': 'yes' if self.lab.post_copy else 'no',
            },
        }

    def _merge(self, options: Options) -> None:
        for group, values in options.items():
            self._options.setdefault(group, {}).update(values)

    def _make_catalogue(self) -> None:
        guests = Guests(self.directory, not self.simulated)
        text = yaml.safe_dump(
            {'flavors': FLAVORS, 'images': guests.catalogue()},
            sort_keys=False,
        )
        (self.directory / 'catalogue.yaml').write_text(text)

    def write(self) -> None:
        """Write the option files."""
        _write(self.directory / 'livemig.conf', self._options)
        for host in self.hosts:
            options = {
                group: dict(values)
                for group, values in self._options_of(host).items()
            }
            for group, values in self.host_options.get(host, {}).items():
                options.setdefault(group, {}).update(values)
            _write(self.directory / f'{host}.conf', options)

    def _options_of(self, name: str) -> Options:
        """What is different on each host."""
        if self.simulated:
            path = self.directory / 'instances'
            return {'DEFAULT': {'host': name, 'instances_path': path}}
        host = next(h for h in self.lab.hosts if h.name == name)
        return {
            'DEFAULT': {
                'host': name,
                'instances_path': self.lab.shared_path
                if self._shared
                else host.instances_path,
            },
            'libvirt': {
                'connection_uri': host.control_uri,
                'live_migration_uri': host.migration_uri,
                'live_migration_inbound_addr': host.migration_address,
            },
        }

    def set_options(self, options: Options) -> None:
        """Change mutable options and have all services reload them."""
        self._merge(options)
        self.write()
        for process in self._processes.values():
            process.signal(signal.SIGHUP)

    # --- processes ---

    def start(self) -> None:
        """Start everything; returns when every host has reported."""
        if self.separate:
            self.manage('db', 'sync')
            self.start_service('conductor')
            self.start_service('api')
            for host in self.hosts:
                self.start_manager(host)
        else:
            self.start_all()
        self.wait_ready()

    def start_all(self) -> None:
        """The one process that is all services."""
        words = ['--db-sync']
        for host in self.hosts:
            words += ['--compute-config', self.directory / f'{host}.conf']
        self._start('all', 'livemig.cmd.all', words)

    def start_service(self, name: str) -> None:
        """Start ``api`` or ``conductor``."""
        self._start(name, f'livemig.cmd.{name}', [])

    def start_manager(self, host: str) -> None:
        """Start one host's manager (separate processes)."""
        self._start(
            host,
            'livemig.cmd.compute',
            ['--config-file', self.directory / f'{host}.conf'],
        )

    def _start(
        self, name: str, module: str, words: Sequence[str | Path]
    ) -> None:
        self._processes[name] = self.lab.spawn(
            f'livemig-{name}',
            [
                sys.executable,
                '-m',
                module,
                '--config-file',
                self.directory / 'livemig.conf',
                *words,
            ],
        )

    def process(self, name: str) -> Handle:
        """``all``, ``api``, ``conductor`` or a host's name."""
        return self._processes[name]

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(DEADLINE_S)

    def wait_ready(self) -> None:
        """Every host has reported since now. Raises LabError."""
        wanted = set(self.hosts)
        first = next(iter(self._processes.values()))

        def ready() -> bool:
            answer = self.rest('GET', '/os-services')
            if answer.status != 200:
                return False
            up = {
                service['host']
                for service in answer.body['services']
                if service['state'] == 'up'
            }
            return wanted <= up

        wait_until(ready, 'livemig', DEADLINE_S, first)

    def wait_heard(self, host: str) -> None:
        """That host's manager has reported since this was called. Raises
        LabError."""

        def seen() -> str:
            answer = self.rest('GET', f'/os-services?host={host}')
            if answer.status != 200:
                return ''
            return str(answer.body['services'][0]['updated_at'])

        before = seen()
        wait_until(
            lambda: seen() not in ('', before), f'{host} reports', DEADLINE_S
        )

    def stop(self) -> None:
        """Stop the services; guests stay."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(DEADLINE_S)
        self._processes.clear()

    # --- use ---

    def rest(
        self,
        method: str,
        path: str,
        body: Any = None,
        version: str = '2.202',
        user: User | None = None,
        timeout_s: float = 60,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. Status 0 if nobody listens.

        headers: to send instead of those that identify the user.
        """
        who = user or self.admin
        if headers is not None:
            return self._request(
                method, path, body, version, headers, timeout_s
            )
        for _ in range(2):
            answer = self._request(
                method, path, body, version, self.login.headers(who), timeout_s
            )
            # A token may have expired since.
            if answer.status != 401 or not self.login.forget(who):
                break
        return answer

    def _request(
        self,
        method: str,
        path: str,
        body: Any,
        version: str,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> Answer:
        request = urllib.request.Request(  # noqa: S310 - our own address
            f'{self.url}{path}',
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                'Content-Type': 'application/json',
                'OpenStack-API-Version': f'compute {version}',
                **headers,
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as reply:
                return _answer(reply.status, reply.read(), reply.headers)
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.read(), error.headers)
        except (urllib.error.URLError, OSError) as error:
            return Answer(0, str(error), {})

    def environment(self, user: User | None = None) -> dict[str, str]:
        """What the command line needs to log in."""
        return self.login.environment(user or self.admin)

    def clouds(self) -> dict[str, Any]:
        """What clouds.yaml says: a cloud for each user, of that name."""
        return self.login.clouds(self.users)

    def cli(
        self, *words: str, user: User | None = None, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run ``livemig WORDS``."""
        return subprocess.run(
            [sys.executable, '-m', 'livemig.client.shell', *words],
            env={**os.environ, **self.environment(user)},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def cli_for(self, seconds: float, *words: str, shown: bool = False) -> str:
        """Run ``livemig WORDS`` for a while, press Ctrl-C, and return
        what it printed until then.

        shown: it prints to this process's output, and nothing is returned.
        """
        to = None if shown else subprocess.PIPE
        with subprocess.Popen(
            [sys.executable, '-m', 'livemig.client.shell', *words],
            env={**os.environ, **self.environment()},
            stdout=to,
            stderr=None if shown else subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                said = process.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                said = process.communicate(timeout=DEADLINE_S)[0]
        return said or ''

    def manage(self, *words: str) -> str:
        """Run ``livemig-manage WORDS``. Raises LabError."""
        done = subprocess.run(
            [
                sys.executable,
                '-m',
                'livemig.cmd.manage',
                '--config-file',
                str(self.directory / 'livemig.conf'),
                *words,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise LabError(f'livemig-manage {words}: {done.stderr}')
        return done.stdout

    def boot(
        self,
        image: str,
        host: str,
        name: str = '',
        flavor: str = 'proof',
        user: User | None = None,
    ) -> str:
        """Make a server through the API; its uuid when it is ACTIVE."""
        answer = self.rest(
            'POST',
            '/servers',
            {
                'server': {
                    'name': name or image,
                    'imageRef': image_id(image),
                    'flavorRef': flavor,
                    'networks': 'none',
                    'host': host,
                }
            },
            version='2.100',
            user=user,
        )
        if answer.status != 202:
            raise LabError(f'{name or image}: {answer.status} {answer.body}')
        server = str(answer.body['server']['id'])
        self.wait_status(server, 'ACTIVE')
        return server

    def show(self, server: str) -> dict[str, Any]:
        """GET /servers/{id}. Raises LabError."""
        answer = self.rest('GET', f'/servers/{server}')
        if answer.status != 200:
            raise LabError(f'{server}: {answer.status} {answer.body}')
        found: dict[str, Any] = answer.body['server']
        return found

    def wait_status(
        self, server: str, status: str, timeout_s: float = DEADLINE_S
    ) -> dict[str, Any]:
        """The server, once it has that status. Raises LabError."""

        def reached() -> dict[str, Any] | None:
            found = self.show(server)
            if found['status'] == 'ERROR' != status:
                raise LabError(f'{server}: {found.get("fault")}')
            return found if found['status'] == status else None

        found: dict[str, Any] = wait_until(
            reached, f'{server} {status}', timeout_s
        )
        return found

    def migrate(
        self,
        server: str,
        host: str | None = None,
        block_migration: bool | str = 'auto',
    ) -> int:
        """Begin a live migration; its id. Raises LabError."""
        answer = self.rest(
            'POST',
            f'/servers/{server}/action',
            {
                'os-migrateLive': {
                    'host': host,
                    'block_migration': block_migration,
                }
            },
        )
        if answer.status != 202:
            raise LabError(f'{server}: {answer.status} {answer.body}')
        return int(self.migrations(server)[0]['id'])

    def migrations(self, server: str) -> list[dict[str, Any]]:
        """All migrations of a server, newest first."""
        answer = self.rest('GET', f'/os-migrations?instance_uuid={server}')
        found: list[dict[str, Any]] = answer.body['migrations']
        return found

    def migration(self, server: str, migration_id: int) -> dict[str, Any]:
        """One migration, running or ended."""
        return next(
            m for m in self.migrations(server) if m['id'] == migration_id
        )

    def wait_migration(
        self,
        server: str,
        migration_id: int,
        status: Iterable[str] = ('completed', 'cancelled', 'failed', 'error'),
        timeout_s: float = 120,
    ) -> dict[str, Any]:
        """The migration, once it has one of these. Raises LabError."""
        wanted = set(status)

        def reached() -> dict[str, Any] | None:
            found = self.migration(server, migration_id)
            return found if found['status'] in wanted else None

        found: dict[str, Any] = wait_until(
            reached, f'migration {migration_id}', timeout_s
        )
        return found

    def wait_pass(
        self, server: str, migration_id: int, timeout_s: float = 60
    ) -> None:
        """Memory flows. Raises LabError."""

        def flows() -> bool:
            answer = self.rest(
                'GET', f'/servers/{server}/migrations/{migration_id}'
            )
            return (
                answer.status == 200
                and (answer.body['migration'].get('pass_number') or 0) >= 1
            )

        wait_until(flows, f'migration {migration_id} copies', timeout_s)

    def consoles(self, server: str) -> list[Path]:
        """Where the guest's console lies, on each host."""
        if self._shared:
            return [self.lab.shared_path / server / 'console.log']
        return [
            host.instances_path / server / 'console.log'
            for host in self.lab.hosts
        ]

    def events(self, server: str, request: str) -> dict[str, str | None]:
        """The events of one instance action: name -> result."""
        answer = self.rest(
            'GET', f'/servers/{server}/os-instance-actions/{request}'
        )
        return {
            event['event']: event['result']
            for event in answer.body['instanceAction']['events']
        }


#: Size of the rescue image's disk.
RESCUE_MIB = 8

#: Sizes of the lab's guests.
FLAVORS = [
    {'id': 'proof', 'name': 'proof', 'ram_mib': 128, 'vcpus': 1},
    {'id': 'linux', 'name': 'linux', 'ram_mib': 128, 'vcpus': 1},
    {'id': 'large', 'name': 'large', 'ram_mib': 512, 'vcpus': 1},
    {'id': 'huge', 'name': 'huge', 'ram_mib': 1024 * 1024, 'vcpus': 1},
]


class Guests:
    """Builds the lab's images and describes them as a catalogue does."""

    def __init__(self, directory: Path, real: bool) -> None:
        self._cache = cache_root()
        self._real = real
        self._directory = directory / 'images'
        self._directory.mkdir(mode=0o755, exist_ok=True)

    def catalogue(self) -> list[dict[str, Any]]:
        if not self._real:
            return self._simulated()
        kernel = self._readable(proof.build(self._cache))
        return [
            *(
                _image(name, kernel=str(kernel), cmdline=words)
                for name, words in PROOF.items()
            ),
            *self._linux(),
        ]

    def _linux(self) -> list[dict[str, Any]]:
        kernel = self._readable(Path(kernels.kernel(self._cache)))
        initrd = self._readable(
            busybox.build_initrd(
                self._cache, kernels.kernel_modules(self._cache)
            )
        )
        base = self._directory / 'base.raw'
        images.make_raw(base, 32, mark='image')
        made = []
        for name, disk_format in (('linux', 'qcow2'), ('linux-raw', 'raw')):
            made.append(
                _image(
                    name,
                    kernel=str(kernel),
                    initrd=str(initrd),
                    cmdline=busybox.cmdline(mark='guest', beat_tenths=10),
                    disks=[
                        {
                            'device': 'vda',
                            'format': disk_format,
                            'size_bytes': 32 * MIB,
                            'image_file': str(base),
                            'image_format': 'raw',
                        }
                    ],
                )
            )
        made.append(
            _image(
                'linux-large',
                kernel=str(kernel),
                initrd=str(initrd),
                cmdline=busybox.cmdline(mark='guest', beat_tenths=10),
                disks=[
                    {
                        'device': 'vda',
                        'format': 'raw',
                        'size_bytes': 512 * MIB,
                        'image_file': str(base),
                        'image_format': 'raw',
                    }
                ],
            )
        )
        made.append(self._rescue(str(kernel), str(initrd)))
        return made

    def _rescue(self, kernel: str, initrd: str) -> dict[str, Any]:
        """What a server is rescued with: the same system, whose command
        line and whose small disk say so."""
        disk = self._directory / 'rescue.raw'
        images.make_raw(disk, RESCUE_MIB, mark='rescue-image')
        return _image(
            'rescue',
            kernel=kernel,
            initrd=initrd,
            cmdline=busybox.cmdline(mark='rescue', beat_tenths=10),
            disks=[
                {
                    'device': 'vda',
                    'format': 'raw',
                    'size_bytes': RESCUE_MIB * MIB,
                    'image_file': str(disk),
                    'image_format': 'raw',
                }
            ],
        )

    def _simulated(self) -> list[dict[str, Any]]:
        """The same guests without anything in them."""
        disk = {'device': 'vda', 'format': 'qcow2', 'size_bytes': 32 * MIB}
        return [
            *(
                _image(name, kernel='/simulated', cmdline=words)
                for name, words in PROOF.items()
            ),
            _image(
                'linux',
                kernel='/simulated',
                cmdline='ws=8 rate=100',
                disks=[disk],
            ),
            _image(
                'rescue',
                kernel='/simulated',
                cmdline='ws=8 rate=100',
                disks=[
                    {
                        'device': 'vda',
                        'format': 'raw',
                        'size_bytes': RESCUE_MIB * MIB,
                    }
                ],
            ),
        ]

    def _readable(self, path: Path) -> Path:
        """A copy that QEMU's user can read wherever the cache lies."""
        copy = self._directory / path.name
        if not copy.exists():
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o644)
        return copy


#: The proof guests: name -> kernel command line. Busy ones write 80 MiB/s
#: over 64 MiB: they never converge over a slower link.
PROOF = {
    'idle': proof.cmdline(16, 200, 10),
    'busy': proof.cmdline(64, 20000, 10),
    # 8 MiB/s over 64 MiB: some seconds on a slow link, then it converges.
    'slow': proof.cmdline(64, 2000, 10),
    'leaving': proof.cmdline(64, 20000, 10, off_s=12),
}


def _image(name: str, **values: Any) -> dict[str, Any]:
    return {'id': image_id(name), 'name': name, **values}


def _write(file: Path, options: Options) -> None:
    text = configparser.ConfigParser(
        interpolation=None, default_section='no such section'
    )
    for group, values in options.items():
        text[group] = {
            name: str(value) for name, value in values.items() if value != ''
        }
    temporary = file.with_suffix('.new')
    with temporary.open('w') as out:
        text.write(out)
    temporary.chmod(0o600)
    temporary.rename(file)


def _answer(status: int, text: bytes, headers: Any) -> Answer:
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = text.decode(errors='replace')
    return Answer(status, body, dict(headers))
