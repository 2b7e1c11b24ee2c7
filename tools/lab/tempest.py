"""Decides how tempest is installed, told of a cloud, and run.

It has a virtual environment of its own below the lab's cache, like
Keystone: made once, about a minute and 150 MB.
"""

from __future__ import annotations

import configparser
import dataclasses
import json
import os
import secrets
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from lab.client import LabError
from lab.cloud import Cloud, image_id
from lab.environments import program
from lab.keystone import DOMAIN, DOMAIN_ID, REGION
from lab.logins import Options, User

PLUGIN = 'livemig_tempest_plugin'
GROUP = 'tempest.test_plugins'

_ROOT = Path(__file__).resolve().parents[2]
_APP = Path(__file__).resolve().with_name('tempest_app.py')

#: Who tests: name, project, role. tempest takes each role that it asks for
#: from somebody of its own, in one project.
ACCOUNTS = (
    ('tempest-member', 'tempest', 'member'),
    ('tempest-manager', 'tempest', 'manager'),
    ('tempest-reader', 'tempest', 'reader'),
    ('tempest-other', 'tempest-other', 'member'),
    ('tempest-admin', 'tempest-admin', 'admin'),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one test ended: 'ok', 'skip' or 'failed', and what was said. A
    whole class can be skipped or fail; its name is the test's then."""

    test: str
    outcome: str
    said: str


class Tempest:
    """tempest for a cloud with Keystone, with the project's plug-in."""

    def __init__(self, cloud: Cloud, options: Options | None = None) -> None:
        """:param options: what tempest.conf says besides."""
        self._cloud = cloud
        self._python = program('tempest')
        self.directory = cloud.directory / f'tempest-{secrets.token_hex(3)}'
        self.directory.mkdir(mode=0o700)
        accounts = self.directory / 'accounts.yaml'
        accounts.write_text(yaml.safe_dump(self._accounts()))
        accounts.chmod(0o600)
        self._write(options or {})
        announce(_ROOT, self.directory)

    def _accounts(self) -> list[dict[str, object]]:
        """Users that are there before tempest is. Those it would make
        itself need a network service to be removed again."""
        made = []
        for name, project, role in ACCOUNTS:
            user = self._user(name, project, role)
            made.append(
                {
                    'username': user.name,
                    'password': user.password,
                    'project_name': user.project,
                    'domain_name': DOMAIN,
                    'roles': list(user.roles),
                    'types': ['admin'] if role == 'admin' else [],
                }
            )
        return made

    def _user(self, name: str, project: str, role: str) -> User:
        for user in self._cloud.users:
            if user.name == name:
                return user
        return self._cloud.add_user(name, project, role)

    def _write(self, more: Options) -> None:
        text = configparser.ConfigParser(
            interpolation=None, default_section='no such section'
        )
        for options in (self._options(), more):
            for group, values in options.items():
                if not text.has_section(group):
                    text.add_section(group)
                for name, value in values.items():
                    text[group][name] = str(value)
        with (self.directory / 'tempest.conf').open('w') as file:
            text.write(file)

    def _options(self) -> Options:
        keystone = self._cloud.lab.keystone()
        return {
            'DEFAULT': {'log_file': self.directory / 'tempest.log'},
            'oslo_concurrency': {'lock_path': self.directory / 'locks'},
            'auth': {
                'use_dynamic_credentials': 'false',
                'test_accounts_file': self.directory / 'accounts.yaml',
                'create_isolated_networks': 'false',
            },
            'identity': {
                'uri_v3': keystone.url,
                'auth_version': 'v3',
                'region': REGION,
                'default_domain_id': DOMAIN_ID,
            },
            'service_available': {
                'nova': 'true',
                # Its classes for live migration are all skipped without
                # a network service, though they ask nothing of it.
                'neutron': 'true',
                # All classes for administrators make a client of it.
                'glance': 'true',
                'cinder': 'false',
                'swift': 'false',
                'horizon': 'false',
            },
            'network-feature-enabled': {'api_extensions': ''},
            'validation': {'run_validation': 'false'},
            'enforce_scope': {'nova': 'true'},
            'compute': {
                'image_ref': image_id('idle'),
                'image_ref_alt': image_id('slow'),
                'flavor_ref': 'proof',
                'flavor_ref_alt': 'linux',
                'min_compute_nodes': len(self._cloud.hosts),
                'min_microversion': '2.1',
                'max_microversion': 'latest',
                'hypervisor_type': 'QEMU',
                'build_timeout': 60,
            },
            'compute-feature-enabled': {
                **dict.fromkeys(OFFERED, 'true'),
                **dict.fromkeys(NOT_OFFERED, 'false'),
                'nova_policy_roles': 'admin,manager,member,reader',
            },
        }

    def run(
        self,
        names: Sequence[str],
        without: Iterable[str] = (),
        timeout_s: float = 600,
    ) -> list[Outcome]:
        """Run these tests, classes or modules, one after the other.

        without: tests of them, or classes, that are not run; each has to
        be there. Raises LabError if one is not, or the run does not end.
        """
        try:
            done = self._call(
                ['-P', str(_APP), json.dumps([*without]), *names], timeout_s
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f'tempest: {timeout_s} s were not enough'
            ) from error
        if done.returncode:
            raise LabError(f'tempest: {done.stderr[-2000:]}')
        return [
            Outcome(*json.loads(line)) for line in done.stdout.splitlines()
        ]

    def command(self, *words: str) -> str:
        """What ``tempest WORDS`` prints. Raises LabError."""
        done = self._call([str(self._python.with_name('tempest')), *words], 60)
        if done.returncode:
            raise LabError(f'tempest {words}: {done.stderr[-2000:]}')
        return done.stdout

    def _call(
        self, words: list[str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._python), *words],
            env=self._environment(),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def _environment(self) -> Mapping[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(('OS_', 'PYTHON'))
        }
        return {
            **kept,
            'TEMPEST_CONFIG_DIR': str(self.directory),
            'TEMPEST_CONFIG': 'tempest.conf',
            'PYTHONPATH': str(self.directory),
            'PYTHONDONTWRITEBYTECODE': '1',
            'PYTHONWARNINGS': 'ignore',
        }


#: [compute-feature-enabled]
OFFERED = (
    'live_migration',
    'block_migration_for_live_migration',
    'live_migrate_back_and_forth',
    'can_migrate_between_any_hosts',
    'pause',
    'suspend',
    'rescue',
)
NOT_OFFERED = (
    'volume_backed_live_migration',
    'shelve',
    'resize',
    'cold_migration',
    'console_output',
    'vnc_console',
    'spice_console',
    'serial_console',
    'config_drive',
    'change_password',
    'disk_config',
    'snapshot',
    'personality',
    'interface_attach',
    'attach_encrypted_volume',
    'metadata_service',
    'stable_rescue',
    'vtpm_live_migration',
)


def announce(root: Path, directory: Path) -> None:
    """Make the plug-in of the source tree known to what has ``directory``
    on its path, by the entry point that its setup.cfg has, as if that had
    been installed. Raises LabError."""
    setup = configparser.ConfigParser()
    setup.read(root / 'setup.cfg')
    points = setup.get('entry_points', GROUP, fallback='')
    if f'{PLUGIN}.' not in points:
        raise LabError(f'setup.cfg has no {GROUP} in {PLUGIN}')
    (directory / PLUGIN).symlink_to(root / PLUGIN)
    info = directory / f'{PLUGIN}-0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: {PLUGIN}\nVersion: 0\n'
    )
    (info / 'entry_points.txt').write_text(f'[{GROUP}]\n{points.strip()}\n')
