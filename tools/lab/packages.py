"""Decides which Debian or Ubuntu packages the lab needs, and why."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lab.kernel import KernelError, kernel, kernel_modules

__all__ = [
    'PACKAGES',
    'CannotInstall',
    'KernelError',
    'Package',
    'install',
    'kernel',
    'kernel_modules',
    'missing',
    'wanted',
]

EXIT_CANNOT_INSTALL = 3


class Package(NamedTuple):
    """One package and what breaks without it."""

    name: str
    reason: str


# The names are the same in Debian 12 and 13 and in Ubuntu 24.04.
# libvirt-daemon-driver-qemu is named although Debian 12's libvirt-daemon
# depends on it: elsewhere it is only recommended.
# The guest's kernel and its busybox are not here: they are downloaded, not
# installed (lab.kernel, lab.guests.busybox).
PACKAGES: dict[str, tuple[Package, ...]] = {
    'hosts': (
        Package('libvirt-daemon', 'libvirtd, one per host of the lab'),
        Package('libvirt-daemon-driver-qemu', "libvirt's QEMU driver"),
        Package('qemu-system-x86', 'runs the guests'),
        Package('qemu-utils', 'qemu-img makes and inspects disks'),
        Package('util-linux', "setpriv drops root's privileges"),
    ),
    'build': (
        Package('gcc', 'compiles libvirt-python, which has no wheels'),
        Package('libc6-dev', 'C headers for the same'),
        Package('libvirt-dev', "libvirt's headers for the same"),
        Package('pkg-config', "finds libvirt's headers for the same"),
        Package('python3-dev', "Python's headers for the same"),
        Package('python3-venv', 'makes the virtual environment'),
    ),
    'guests': (
        Package('gcc', 'compiles the proof guest'),
        Package('zstd', "unpacks Ubuntu's kernel modules"),
    ),
    'broker': (
        Package('rabbitmq-server', 'the message broker of production'),
    ),
    'postgresql': (
        Package('postgresql', 'one of the two databases of production'),
    ),
    'mariadb': (
        Package('mariadb-server', 'one of the two databases of production'),
    ),
    'keystone': (
        Package('python3-venv', 'Keystone itself comes from PyPI into one'),
    ),
    'developer': (
        Package('libvirt-clients', 'virsh, to look into the hosts by hand'),
    ),
}

_AS_ROOT = Path(__file__).resolve().with_name('apt_as_root.py')


class CannotInstall(Exception):
    """The packages are missing and this user cannot install them."""


def wanted(purposes: Iterable[str]) -> list[Package]:
    """The packages for these purposes, each once.

    Raises ValueError for a purpose that is not in PACKAGES.
    """
    found: dict[str, Package] = {}
    for purpose in purposes:
        if purpose not in PACKAGES:
            known = ', '.join(sorted(PACKAGES))
            raise ValueError(f'unknown purpose {purpose!r}; known: {known}')
        for package in PACKAGES[purpose]:
            found.setdefault(package.name, package)
    return list(found.values())


def missing(purposes: Iterable[str]) -> list[Package]:
    """Those of the wanted packages that are not installed.

    Raises CannotInstall where there is no dpkg to ask.
    """
    packages = wanted(purposes)
    if shutil.which('dpkg-query') is None:
        raise CannotInstall(_by_hand(packages, 'this is no Debian or Ubuntu'))
    installed = _installed([p.name for p in packages])
    return [p for p in packages if p.name not in installed]


def install(purposes: Iterable[str]) -> list[Package]:
    """Install what is missing; returns what was installed.

    No service of theirs is started. Raises CannotInstall, whose text an
    operator can act on.
    """
    packages = missing(purposes)
    if not packages:
        return []
    prefix = _root_prefix(packages)
    print('The lab installs these packages with apt-get:', file=sys.stderr)
    for package in packages:
        print(f'  {package.name:28} {package.reason}', file=sys.stderr)
    print(
        'None of their services is started. This may take some minutes ...',
        file=sys.stderr,
        flush=True,
    )
    # Lock, policy and apt-get happen in one program under one sudo.
    argv = [*prefix, sys.executable, '-I', str(_AS_ROOT)]
    result = subprocess.run(
        [*argv, *(p.name for p in packages)],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        check=False,
    )
    left = missing(purposes)
    if result.returncode or left:
        raise CannotInstall(
            _by_hand(left or packages, f'apt-get ended {result.returncode}')
        )
    return packages


def _installed(names: Sequence[str]) -> set[str]:
    result = subprocess.run(
        ['dpkg-query', '-W', '-f', '${db:Status-Status} ${Package}\n', *names],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    lines = (line.split() for line in result.stdout.splitlines())
    return {line[1] for line in lines if line[:1] == ['installed']}


def _root_prefix(packages: Sequence[Package]) -> list[str]:
    """What to put before a command so that it runs as root."""
    if shutil.which('apt-get') is None:
        raise CannotInstall(_by_hand(packages, 'there is no apt-get'))
    if os.geteuid() == 0:
        return []
    if shutil.which('sudo') is None:
        raise CannotInstall(_by_hand(packages, 'no root and no sudo'))
    # Ask for a password only where somebody can type it.
    prefix = ['sudo'] if sys.stdin and sys.stdin.isatty() else ['sudo', '-n']
    allowed = subprocess.run([*prefix, 'true'], check=False).returncode == 0
    if not allowed:
        raise CannotInstall(_by_hand(packages, 'sudo refused'))
    return prefix


def _by_hand(packages: Sequence[Package], why: str) -> str:
    lines = [f'Cannot install packages that the lab needs: {why}.']
    lines += [f'  {p.name:28} {p.reason}' for p in packages]
    names = ' '.join(p.name for p in packages)
    lines += [
        'As root, run:',
        f'  apt-get update && apt-get install --no-install-recommends {names}',
    ]
    return '\n'.join(lines)
