"""What of libvirt the driver never uses, since it costs guests.

Each was measured with libvirt 9.0 and QEMU 7.2. The driver's source is
read, so that no path through it is missed.
"""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

from livemig.virt import libvirt as package

#: Name -> what it does.
NEVER = {
    'VIR_MIGRATE_PARALLEL': 'a switch to post-copy then loses the guest, '
    'and the call reports success',
    'VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS': 'the same',
    'startDirtyRateCalc': 'by bitmap it crashes an emulated guest; during a '
    'migration it blocks for 30 s',
    'setMetadata': 'blocks for 30 s during a migration',
    'VIR_DOMAIN_ABORT_JOB_POSTCOPY': 'interrupts a post-copy: the guest '
    'waits until it is mended by hand',
    'migrate': 'not peer to peer: dies with its caller',
    'migrate2': 'the same',
    'migrate3': 'the same',
    'migrateToURI': 'takes no parameters: no limit, no list of disks',
    'migrateToURI2': 'the same',
    'VIR_MIGRATE_TUNNELLED': 'excludes post-copy and copied disks',
    'getAllDomainStats': 'one guest that hangs holds up all',
}


def names() -> Iterator[tuple[str, str]]:
    """(module, name) of all attributes and variables in the driver."""
    for path in sorted(pathlib.Path(package.__path__[0]).glob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Attribute):
                yield path.name, node.attr
            elif isinstance(node, ast.Name):
                yield path.name, node.id


def test_the_reading_finds_what_is_used() -> None:
    found = {name for _, name in names()}
    assert {'migrateToURI3', 'VIR_MIGRATE_PEER2PEER', 'abortJob'} <= found


@pytest.mark.parametrize('name', sorted(NEVER))
def test_never_used(name: str) -> None:
    users = sorted({module for module, used in names() if used == name})
    assert users == [], f'{name}: {NEVER[name]}'
