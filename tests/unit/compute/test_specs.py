"""What the driver is told to build, from what the record says."""

import types

import pytest

from livemig.compute import specs
from livemig.virt import driver

GIB = 1024**3
IMAGE = {
    'kernel': '/k',
    'initrd': '/i',
    'cmdline': 'c',
    'disks': [
        {'device': 'vda', 'format': 'qcow2', 'size_bytes': 5,
         'image_file': '/img', 'image_format': 'qcow2'},
        {'device': 'vdb', 'format': 'raw', 'size_bytes': 7},
    ],
}  # fmt: skip


def record(**values):
    return types.SimpleNamespace(
        **{
            'uuid': 'u',
            'display_name': 'n',
            'memory_mb': 64,
            'vcpus': 2,
            'root_gb': 0,
            'image': IMAGE,
            'rescue': None,
            'mac_address': None,
            **values,
        }
    )


def test_a_guest():
    assert specs.spec_of(record()) == driver.GuestSpec(
        'u', 'n', 64, 2, '/k', '/i', 'c',
        (
            driver.DiskSpec('vda', 'qcow2', 5, '/img', 'qcow2'),
            driver.DiskSpec('vdb', 'raw', 7),
        ),
    )  # fmt: skip


def test_the_first_disk_is_as_large_as_the_flavor_says():
    spec = specs.spec_of(record(root_gb=2))
    assert [disk.size_bytes for disk in spec.disks] == [2 * GIB, 7]


@pytest.mark.parametrize(
    ('mac', 'network', 'number'),
    [
        (None, '', 0),
        (None, 'bridge:b', 0),
        ('52:54:00:00:00:01', '', 0),
        ('52:54:00:00:00:01', 'bridge:b', 1),
    ],
)
def test_an_interface_needs_an_address_and_a_network(mac, network, number):
    found = specs.spec_of(record(mac_address=mac), network).interfaces
    assert found == (driver.InterfaceSpec(mac, network),) * number


def test_a_rescue_is_kernel_and_first_disk_of_its_image():
    """However large the flavor's disk is."""
    assert specs.rescue_of(record(rescue=IMAGE, root_gb=9)) == (
        driver.RescueSpec(
            '/k',
            '/i',
            'c',
            driver.DiskSpec('vda', 'qcow2', 5, '/img', 'qcow2'),
        )
    )
    unsized = IMAGE | {'disks': [{'device': 'vda', 'format': 'raw'}]}
    found = specs.rescue_of(record(rescue=unsized, root_gb=9))
    assert found.disk == driver.DiskSpec('vda', 'raw', 9 * GIB)


def test_a_rescue_without_disks_and_none_at_all():
    found = specs.rescue_of(record(rescue={'kernel': '/k', 'disks': []}))
    assert found == driver.RescueSpec('/k')
    assert specs.rescue_of(record()) is None


def test_addresses_are_qemu_s_and_apart():
    made = {specs.mac_of(f'instance-{n}') for n in range(200)}
    assert len(made) == 200
    assert all(mac.startswith('52:54:00:') and len(mac) == 17 for mac in made)
    assert specs.mac_of('a') == specs.mac_of('a')
