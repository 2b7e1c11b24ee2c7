"""Every reason for which a guest may not move: when, where, in what words.

A reason names the host that has to be looked at and says what is missing,
so that a person can act on it without reading logs.
"""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemig.compute import checks
from livemig.compute.checks import Reason
from livemig.virt.driver import Capabilities, DiskFacts, HostFacts
from livemig.virt.job import GuestState, Power
from livemig.virt.job import Reason as Why

MIB = 1024**2
GIB = 1024**3


def host(name, **facts):
    values = {
        'hypervisor_type': 'QEMU',
        'hypervisor_version': 7002000,
        'migration_uri': f'qemu+tcp://{name}/system',
        'migration_address': None,
        'instances_path': '/var/lib/livemig/instances',
        'vcpus': 8,
        'memory_mib': 10240,
        'memory_used_mib': 0,
        'disk_total_bytes': 100 * GIB,
        'disk_free_bytes': 10 * GIB,
        'capabilities': Capabilities(),
    }
    return HostFacts(host=name, **(values | facts))


def disk(device='vda', **facts):
    values = {
        'path': f'/var/lib/livemig/instances/1/{device}',
        'format': 'qcow2',
        'virtual_size_bytes': 8 * GIB,
        'allocated_bytes': GIB,
    }
    return DiskFacts(device=device, **(values | facts))


SOURCE, DESTINATION = host('alpha'), host('beta')


def only(reasons, of, *words):
    """There is one reason, of that host, with these words in it."""
    (reason,) = reasons
    assert reason.host == of
    for word in words:
        assert word in reason.text
    assert reason.text.endswith('.')


# -- the two hypervisors --------------------------------------------------
@pytest.mark.parametrize('version', [7002000, 7002001, 10000000])
def test_the_same_or_a_newer_hypervisor_will_do(version):
    newer = dataclasses.replace(DESTINATION, hypervisor_version=version)
    assert checks.same_hypervisor(SOURCE, newer) == []


def test_an_older_hypervisor_will_not():
    older = dataclasses.replace(DESTINATION, hypervisor_version=6002000)
    only(
        checks.same_hypervisor(SOURCE, older),
        'beta',
        '6002000',
        '7002000',
        'older',
        'alpha',
    )


def test_another_kind_of_hypervisor_will_not_whatever_its_version():
    other = dataclasses.replace(
        DESTINATION, hypervisor_type='Xen', hypervisor_version=1
    )
    only(checks.same_hypervisor(SOURCE, other), 'beta', 'Xen', 'QEMU', 'alpha')


def test_a_driver_that_cannot_migrate():
    lame = dataclasses.replace(
        SOURCE, capabilities=Capabilities(live_migration=False)
    )
    assert checks.can_migrate(SOURCE) == []
    only(checks.can_migrate(lame), 'alpha', 'cannot migrate')


# -- memory ---------------------------------------------------------------
@pytest.mark.parametrize(
    ('used', 'reserved', 'ratio', 'needed', 'fits'),
    [
        (0, 0, 1.0, 10240, True),
        (0, 0, 1.0, 10241, False),
        (8192, 0, 1.0, 2048, True),
        (8192, 0, 1.0, 2049, False),
        # What is reserved is not lent out, not even under overcommit.
        (0, 2048, 1.0, 8192, True),
        (0, 2048, 1.0, 8193, False),
        (0, 2048, 1.5, 12288, True),
        (0, 2048, 1.5, 12289, False),
        (0, 0, 0.5, 5120, True),
        (0, 0, 0.5, 5121, False),
        # Overcommitted already.
        (20480, 0, 1.0, 1, False),
    ],
)
def test_room_for_the_memory(used, reserved, ratio, needed, fits):
    there = dataclasses.replace(DESTINATION, memory_used_mib=used)
    reasons = checks.enough_memory(there, needed, reserved, ratio)
    if fits:
        assert reasons == []
    else:
        only(reasons, 'beta', f'{needed} MiB needed', f'{ratio:g}')


def test_the_memory_that_is_free_is_told_and_never_negative():
    there = dataclasses.replace(DESTINATION, memory_used_mib=10000)
    only(checks.enough_memory(there, 512, 0, 1.0), 'beta', '240 MiB free')
    there = dataclasses.replace(DESTINATION, memory_used_mib=20480)
    only(checks.enough_memory(there, 512, 0, 1.0), 'beta', ' 0 MiB free')


# -- the guest ------------------------------------------------------------
@pytest.mark.parametrize('power', [Power.RUNNING, Power.PAUSED])
def test_a_guest_that_lives_may_go(power):
    assert checks.guest_is_there('alpha', GuestState(power)) == []


@pytest.mark.parametrize(
    ('state', 'words'),
    [
        (None, ['does not know the guest', 'record']),
        (GuestState(Power.SHUTOFF, Why.SHUTDOWN), ['shutoff', 'not running']),
        (GuestState(Power.CRASHED, Why.CRASHED), ['crashed', 'not running']),
        (
            GuestState(Power.RUNNING, Why.NORMAL, job=True),
            ['another migration'],
        ),
        (
            GuestState(Power.PAUSED, Why.MIGRATION, job=True),
            ['another migration'],
        ),
    ],
)
def test_a_guest_that_is_not_there_to_go(state, words):
    only(checks.guest_is_there('alpha', state), 'alpha', *words)


def test_nobody_of_that_name_at_the_destination():
    assert checks.destination_is_free('beta', None) == []


@pytest.mark.parametrize('power', list(Power))
def test_somebody_of_that_name_at_the_destination(power):
    """It is told and left alone, whatever it does."""
    reasons = checks.destination_is_free('beta', GuestState(power))
    only(reasons, 'beta', str(power), 'not touched', 'find out')


# -- disks: copied or not -------------------------------------------------
LOCAL, CDROM = disk('vda'), disk('sda', read_only=True)


@pytest.mark.parametrize(
    ('asked', 'shared', 'disks', 'copied'),
    [
        # Nova's table: auto.
        (None, False, (LOCAL,), (LOCAL,)),
        (None, True, (LOCAL,), ()),
        (None, False, (), ()),
        (None, False, (CDROM,), ()),
        (None, False, (LOCAL, CDROM), (LOCAL,)),
        # true, not shared: copied.
        (True, False, (LOCAL,), (LOCAL,)),
        (True, False, (LOCAL, CDROM), (LOCAL,)),
        # true, but there is nothing to copy.
        (True, False, (), ()),
        (True, False, (CDROM,), ()),
        # false, shared: not copied; false without disks goes, too.
        (False, True, (LOCAL,), ()),
        (False, False, (), ()),
        (False, False, (CDROM,), ()),
    ],
)
def test_how_the_disks_come_along(asked, shared, disks, copied):
    found = checks.storage(asked, shared, disks, 'alpha', DESTINATION)
    assert found == checks.Storage(bool(copied), copied)


@pytest.mark.parametrize('disks', [(LOCAL,), (), (CDROM,)])
def test_shared_disks_are_not_copied_onto_themselves(disks):
    found = checks.storage(True, True, disks, 'alpha', DESTINATION)
    assert not found.block_migration
    only(
        found.reasons,
        'beta',
        'block_migration is true',
        'alpha and beta share',
        '/var/lib/livemig/instances',
        'ask for false or "auto"',
    )


def test_local_disks_are_not_left_behind():
    disks = (disk('vda'), disk('vdb'), CDROM)
    found = checks.storage(False, False, disks, 'alpha', DESTINATION)
    assert not found.block_migration
    only(
        found.reasons,
        'beta',
        'block_migration is false',
        'do not share',
        '(vda, vdb)',
        'ask for true or "auto"',
    )


def test_a_driver_that_cannot_copy_disks():
    lame = dataclasses.replace(
        DESTINATION, capabilities=Capabilities(block_migration=False)
    )
    found = checks.storage(None, False, (LOCAL,), 'alpha', lame)
    only(found.reasons, 'beta', 'cannot copy disks')
    # It need not where nothing is to be copied.
    assert checks.storage(None, True, (LOCAL,), 'alpha', lame).reasons == ()


@given(
    st.sampled_from([None, True, False]),
    st.booleans(),
    st.lists(st.sampled_from([LOCAL, CDROM, disk('vdb')]), max_size=3),
)
def test_disks_are_copied_exactly_where_no_reason_forbids_it(
    asked, shared, disks
):
    found = checks.storage(asked, shared, tuple(disks), 'alpha', DESTINATION)
    local = any(not d.read_only for d in disks)
    assert found.block_migration == bool(found.copied)
    assert not any(d.read_only for d in found.copied)
    if found.block_migration:
        assert not shared
        assert asked is not False
    if not found.reasons and local and not shared:
        assert found.block_migration


# -- room for the disks ---------------------------------------------------
@pytest.mark.parametrize(
    ('over_commit', 'free', 'reserved', 'fits'),
    [
        # Two disks: 16 GiB of size, 2 GiB of them written.
        (None, 16 * GIB, 0, True),
        (None, 16 * GIB - 1, 0, False),
        (False, 16 * GIB, 0, True),
        (False, 16 * GIB - 1, 0, False),
        (True, 2 * GIB, 0, True),
        (True, 2 * GIB - 1, 0, False),
        (None, 17 * GIB, 1024, True),
        (None, 17 * GIB, 1025, False),
    ],
)
def test_room_for_the_disks(over_commit, free, reserved, fits):
    storage = checks.Storage(True, (disk('vda'), disk('vdb')))
    there = dataclasses.replace(DESTINATION, disk_free_bytes=free)
    reasons = checks.enough_disk(storage.copied, there, reserved, over_commit)
    if fits:
        assert reasons == []
    else:
        needed = 2048 if over_commit else 16384
        only(
            reasons,
            'beta',
            f'need {needed} MiB',
            f'{free // MIB - reserved} MiB are free',
            '/var/lib/livemig/instances',
        )


def test_what_is_not_copied_needs_no_room():
    full = dataclasses.replace(DESTINATION, disk_free_bytes=0)
    assert checks.enough_disk((), full, 0, None) == []


def test_the_room_that_is_free_is_never_negative():
    full = dataclasses.replace(DESTINATION, disk_free_bytes=GIB)
    storage = checks.Storage(True, (disk(),))
    reasons = checks.enough_disk(storage.copied, full, 4096, None)
    only(reasons, 'beta', ' 0 MiB are free')


# -- rescued, connected ----------------------------------------------------
def test_a_driver_that_cannot_move_a_rescued_instance():
    able = dataclasses.replace(
        SOURCE, capabilities=Capabilities(supports_live_migrate_rescued=True)
    )
    assert checks.can_migrate_rescued(able) == []
    unable = dataclasses.replace(
        SOURCE, capabilities=Capabilities(supports_live_migrate_rescued=False)
    )
    only(checks.can_migrate_rescued(unable), 'alpha', 'driver', 'rescued')


@pytest.mark.parametrize(
    ('here', 'there', 'fits'),
    [
        ('', '', True),
        ('', 'bridge:b', True),
        ('bridge:a', 'network:b', True),
        ('bridge:a', '', False),
    ],
)
def test_an_interface_must_find_a_network(here, there, fits):
    source = dataclasses.replace(SOURCE, guest_network=here)
    destination = dataclasses.replace(DESTINATION, guest_network=there)
    reasons = checks.network_there(source, destination)
    if fits:
        assert reasons == []
    else:
        only(reasons, 'beta', '[libvirt] guest_network')


# -- all reasons at once --------------------------------------------------
def test_the_reasons_in_one_text():
    reasons = [Reason('alpha', 'it is full.'), Reason('beta', 'it is old.')]
    assert checks.text_of(reasons) == 'alpha: it is full. beta: it is old.'
    assert checks.text_of([]) == ''


def test_a_reason_travels():
    reason = Reason('alpha', 'it is full.')
    assert Reason(**reason.to_dict()) == reason
