"""A whole livemig on a lab's hosts, as an operator would set it up.

Used by the demo, the integration tests and whoever develops. Runs in the
project's virtual environment (unlike the rest of the lab, which is there
before any environment is).
"""

import configparser
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.catalogue import FLAVORS, MIB, Guests, image_id
from lab.client import Handle, LabError, wait_until
from lab.labs import Lab
from lab.logins import FileLogin, KeystoneLogin, Login, Options, User
from lab.operating import DEADLINE_S, Answer, Operator

__all__ = ['MIB', 'USERS', 'Answer', 'Cloud', 'Options', 'User', 'image_id']

#: What the option files of compute hosts have instead of the real one.
NO_DATABASE = 'postgresql://nobody@nowhere.invalid/'

START_S = 180.0  # 5 s on two quiet cores; 60 s were seen on crowded ones

#: Who may log in everywhere: name, project, roles.
USERS = (
    ('admin', 'ops', ('admin',)),
    ('manager', 'users', ('manager',)),
    ('member', 'users', ('member',)),
    ('reader', 'users', ('reader',)),
    ('other', 'others', ('member',)),
)


class Cloud(Operator):
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
        url = f'http://127.0.0.1:{self.port}/v2.1'
        login = self._login(keystone, url)
        self.users = [login.add(*values) for values in USERS]
        super().__init__(url, login, self.user('admin'))
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

    @property
    def post_copy(self) -> bool:
        """Whether guests can be switched to post-copy."""
        return bool(self.simulated) or self.lab.post_copy

    # --- users ---

    def _login(self, keystone: bool, url: str) -> Login:
        if not keystone:
            return FileLogin(self.directory / 'users', url)
        images = f'{url.removesuffix("v2.1")}image'
        return KeystoneLogin(
            self.lab.keystone(), {'compute': url, 'image': images}
        )

    def user(self, name: str) -> User:
        """One of USERS, or one that was added."""
        return next(user for user in self.users if user.name == name)

    def add_user(self, name: str, project: str, *roles: str) -> User:
        """Let somebody else in."""
        made = self.login.add(name, project, roles)
        self.users.append(made)
        return made

    def clouds(self) -> dict[str, Any]:
        """What clouds.yaml says: a cloud for each user, of that name."""
        return self.login.clouds(self.users)

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
                'post_copy_capable': 'yes' if self.post_copy else 'no',
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
            if self.separate:
                # Managers hold no credentials of the database.
                options['database'] = {'connection': NO_DATABASE}
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
        words: list[str | Path] = ['--db-sync']
        for host in self.hosts:
            words += ['--compute-config', self.directory / f'{host}.conf']
        self._start('all', 'livemig.cmd.all', words)

    def start_service(self, name: str) -> None:
        """Start ``api`` or ``conductor``."""
        self._start(name, f'livemig.cmd.{name}', [])

    def start_manager(self, host: str, mode: str = '') -> None:
        """Start one host's manager (separate processes).

        :param mode: of concurrency; '': as the environment says.
        """
        self._start(
            host,
            'livemig.cmd.compute',
            ['--config-file', self.directory / f'{host}.conf'],
            mode,
        )

    def _start(
        self,
        name: str,
        module: str,
        words: Sequence[str | Path],
        mode: str = '',
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
            {'LIVEMIG_CONCURRENCY': mode} if mode else None,
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

        wait_until(ready, 'livemig', START_S, first)

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

    # --- its files ---

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

    def consoles(self, server: str) -> list[Path]:
        """Where the guest's console lies, on each host."""
        if self._shared:
            return [self.lab.shared_path / server / 'console.log']
        return [
            host.instances_path / server / 'console.log'
            for host in self.lab.hosts
        ]


def _write(file: Path, options: Options) -> None:
    text = configparser.ConfigParser(
        interpolation=None, default_section='no such section'
    )
    for group, values in options.items():
        text[group] = {
            name: str(value) for name, value in values.items() if value != ''
        }
    temporary = file.with_suffix('.new')
    # There are passwords in it.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(temporary, flags, 0o600), 'w') as out:
        text.write(out)
    temporary.rename(file)
