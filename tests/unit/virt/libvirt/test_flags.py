"""How a transfer is asked for. Numbers from libvirt's documentation.

https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainMigrateFlags
"""

from __future__ import annotations

import itertools

import pytest

from livemig.virt.driver import TransferOptions
from livemig.virt.libvirt import flags
from tests.unit.virt.libvirt import values

LIVE, PEER2PEER, PERSIST_DEST, UNDEFINE_SOURCE = 1, 2, 8, 16
NON_SHARED_DISK, NON_SHARED_INC, UNSAFE = 64, 128, 512
AUTO_CONVERGE, POSTCOPY, PARALLEL = 8192, 32768, 131072
BASE = LIVE | PEER2PEER | PERSIST_DEST | UNDEFINE_SOURCE

PLAIN = values.plan()
RAW = values.plan(block_migration=True, disks=(values.DATA,))
BACKED = values.plan(
    block_migration=True, disks=(values.ROOT, values.DATA, values.CDROM)
)
SHARED = values.plan(shared_directory=True, disks=(values.ROOT,))


@pytest.mark.parametrize(
    ('plan', 'options', 'paused', 'unsafe', 'expected'),
    [
        (PLAIN, {}, False, False, 0),
        (PLAIN, {'post_copy': True}, False, False, POSTCOPY),
        (PLAIN, {'auto_converge': True}, False, False, AUTO_CONVERGE),
        # libvirt refuses post-copy for a paused guest.
        (PLAIN, {'post_copy': True}, True, False, 0),
        (values.plan(paused=True), {'post_copy': True}, False, False, 0),
        # Nor has it anything to converge.
        (PLAIN, {'auto_converge': True}, True, False, 0),
        (RAW, {}, False, False, NON_SHARED_DISK),
        # Only the layer over the image, which is there already.
        (BACKED, {}, False, False, NON_SHARED_INC),
        # Not copied though it has disks: they are shared.
        (SHARED, {}, False, False, 0),
        (SHARED, {'post_copy': True}, False, False, POSTCOPY),
        (SHARED, {}, False, True, UNSAFE),
        # Never for disks that nobody saw to be shared.
        (PLAIN, {}, False, True, 0),
        (BACKED, {}, False, True, NON_SHARED_INC),
        # A block migration that has nothing to copy.
        (
            values.plan(block_migration=True, disks=(values.CDROM,)),
            {'post_copy': True},
            False,
            False,
            POSTCOPY,
        ),
    ],
)
def test_flags(
    plan: flags.TransferPlan,
    options: dict[str, bool],
    paused: bool,
    unsafe: bool,
    expected: int,
) -> None:
    chosen = flags.choose_flags(
        plan,
        TransferOptions(**options),  # type: ignore[arg-type]
        paused=paused,
        unsafe_storage=unsafe,
    )
    assert chosen == BASE | expected


@pytest.mark.parametrize('plan', [RAW, BACKED])
def test_post_copy_and_copied_disks_are_refused(
    plan: flags.TransferPlan,
) -> None:
    with pytest.raises(flags.Refused):
        flags.choose_flags(plan, TransferOptions(post_copy=True), paused=False)


def test_never_parallel_and_always_peer_to_peer() -> None:
    booleans = itertools.product([True, False], repeat=4)
    for post_copy, converge, paused, unsafe in booleans:
        for plan in (PLAIN, SHARED):
            chosen = flags.choose_flags(
                plan,
                TransferOptions(post_copy=post_copy, auto_converge=converge),
                paused=paused,
                unsafe_storage=unsafe,
            )
            assert not chosen & PARALLEL
            assert chosen & BASE == BASE


@pytest.mark.parametrize(
    ('address', 'uri'),
    [
        ('192.0.2.2', 'tcp:192.0.2.2'),
        ('node2.example.org', 'tcp:node2.example.org'),
        ('2001:db8::2', 'tcp:[2001:db8::2]'),
    ],
)
def test_the_address_memory_is_sent_to(address: str, uri: str) -> None:
    assert flags.migrate_uri(address) == uri


def test_parameters() -> None:
    assert flags.params(
        BACKED, TransferOptions(bandwidth_mib_s=40), '<live/>', '<lasting/>'
    ) == {
        'bandwidth': 40,
        'migrate_uri': 'tcp:192.0.2.2',
        'destination_xml': '<live/>',
        'persistent_xml': '<lasting/>',
        'migrate_disks': ['vda', 'vdb'],
    }


def test_without_a_limit_the_most_is_said_and_nothing_else() -> None:
    """Left out, libvirt takes what the last migration had set."""
    there = values.dataclasses.replace(values.HOST, migration_address=None)
    plan = values.plan(destination=there)
    assert flags.params(plan, TransferOptions(), None, None) == {
        'bandwidth': 8796093022207
    }


@pytest.mark.parametrize(
    ('asked', 'given'),
    [(0, 8796093022207), (-1, 8796093022207), (20, 20), (2**63, 2**43 - 1)],
)
def test_bandwidth(asked: int, given: int) -> None:
    assert flags.bandwidth(asked) == given


@pytest.mark.parametrize(
    ('asked', 'given'), [(0, 1), (300, 300), (10**9, 2_000_000)]
)
def test_downtime(asked: int, given: int) -> None:
    assert flags.downtime(asked) == given
