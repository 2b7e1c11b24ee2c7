"""Definitions of guests: built, read, and moved to another directory."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import pytest

from livemig.virt import devices
from livemig.virt.driver import (
    DiskSpec,
    GuestSpec,
    InterfaceSpec,
    RescueSpec,
)
from livemig.virt.libvirt import domain_xml
from tests.unit.virt.libvirt.values import GUEST

HERE, THERE = f'/srv/a/{GUEST}', f'/srv/b/{GUEST}'
SPEC = GuestSpec(
    guest_id=GUEST,
    name='web',
    memory_mib=256,
    vcpus=2,
    kernel='/boot/guest',
    initrd='/boot/initrd',
    cmdline='console=ttyS0 a="<&>"',
    disks=(
        DiskSpec('vda', 'qcow2', 2**30, '/images/base.raw'),
        DiskSpec('vdb', 'raw', 2**20),
    ),
)
MACHINE = domain_xml.Machine(virt_type='qemu', arch='x86_64')


def built(
    spec: GuestSpec = SPEC, machine: domain_xml.Machine = MACHINE
) -> ElementTree.Element:
    return ElementTree.fromstring(domain_xml.build(spec, HERE, machine))


def test_a_guest() -> None:
    domain = built()
    assert domain.get('type') == 'qemu'
    assert domain.findtext('name') == f'livemig-{GUEST}'
    assert domain.findtext('uuid') == GUEST
    assert domain.findtext('title') == 'web'
    memory = domain.find('memory')
    assert memory is not None
    assert (memory.get('unit'), memory.text) == ('MiB', '256')
    assert domain.findtext('vcpu') == '2'
    assert domain.findtext('os/kernel') == '/boot/guest'
    assert domain.findtext('os/initrd') == '/boot/initrd'
    assert domain.findtext('os/cmdline') == 'console=ttyS0 a="<&>"'
    assert domain.find('os/boot') is None
    assert domain.find('features/acpi') is not None
    assert domain.find('devices/graphics') is None
    balloon = domain.find('devices/memballoon')
    assert balloon is not None
    assert balloon.get('model') == 'none'


def test_its_console_is_appended_to() -> None:
    source = built().find('devices/serial/source')
    assert source is not None
    assert source.attrib == {'path': f'{HERE}/console.log', 'append': 'on'}


def test_its_disks() -> None:
    xml = domain_xml.build(SPEC, HERE, MACHINE)
    assert domain_xml.disks(xml) == (
        domain_xml.DiskPart('vda', f'{HERE}/vda.qcow2', 'qcow2', False),
        domain_xml.DiskPart('vdb', f'{HERE}/vdb.raw', 'raw', False),
    )
    drivers = [d.attrib for d in built().iterfind('devices/disk/driver')]
    assert drivers == [
        {'name': 'qemu', 'type': 'qcow2', 'cache': 'none'},
        {'name': 'qemu', 'type': 'raw', 'cache': 'none'},
    ]


def test_without_a_kernel_it_boots_from_its_disk() -> None:
    domain = built(dataclasses.replace(SPEC, kernel='', initrd=''))
    boot = domain.find('os/boot')
    assert boot is not None
    assert boot.get('dev') == 'hd'
    assert domain.find('os/kernel') is None
    assert domain.find('os/cmdline') is None


@pytest.mark.parametrize(
    ('virt_type', 'cpu_mode', 'shown'),
    [
        ('qemu', '', None),
        ('kvm', '', 'host-model'),
        ('kvm', 'none', None),
        ('kvm', 'host-passthrough', 'host-passthrough'),
        ('qemu', 'host-model', 'host-model'),
    ],
)
def test_cpu(virt_type: str, cpu_mode: str, shown: str | None) -> None:
    machine = domain_xml.Machine(virt_type, 'x86_64', cpu_mode=cpu_mode)
    cpu = built(machine=machine).find('cpu')
    assert (None if cpu is None else cpu.get('mode')) == shown


def test_machine_type_is_said_only_if_there_is_one() -> None:
    machine = dataclasses.replace(MACHINE, machine_type='pc-q35-7.2')
    kinds = [built(machine=m).find('os/type') for m in (MACHINE, machine)]
    assert [k.get('machine') for k in kinds if k is not None] == [
        None,
        'pc-q35-7.2',
    ]


def test_a_name_cannot_break_out() -> None:
    name = '</title><devices/>\n\x00\x1b[31m&'
    assert (
        built(dataclasses.replace(SPEC, name=name)).findtext('title')
        == '</title><devices/> [31m&'
    )


@pytest.mark.parametrize('field', ['kernel', 'initrd', 'cmdline'])
def test_what_xml_cannot_hold_is_refused(field: str) -> None:
    spec = dataclasses.replace(SPEC, **{field: 'a\x00b'})  # type: ignore[arg-type]
    with pytest.raises(domain_xml.BadText):
        domain_xml.build(spec, HERE, MACHINE)


LIBVIRTS = f"""
<domain type='qemu' xmlns:x='urn:x'>
  <metadata><x:note path='{HERE}/vda.qcow2'>{HERE}</x:note></metadata>
  <os><kernel>{HERE}/kernel</kernel><nvram>{HERE}/nvram</nvram></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{HERE}/vda.qcow2' index='1'/>
      <backingStore type='file'>
        <format type='raw'/><source file='/images/base.raw'/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{HERE}0/of-another-guest.raw'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <source file='/images/tools.iso'/>
      <target dev='sda'/><readonly/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sdb'/></disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw'/>
      <source dev='/dev/vg/lv'/><target dev='vdc'/><readonly/>
    </disk>
    <serial type='file'><source path='{HERE}/console.log'/></serial>
    <console type='file'><source path='{HERE}/console.log'/>
      <log file='{HERE}/log'/></console>
  </devices>
</domain>
"""


def test_disks_as_libvirt_tells_them() -> None:
    assert domain_xml.disks(LIBVIRTS) == (
        domain_xml.DiskPart('vda', f'{HERE}/vda.qcow2', 'qcow2', False),
        domain_xml.DiskPart(
            'vdb', f'{HERE}0/of-another-guest.raw', 'raw', False
        ),
        domain_xml.DiskPart('sda', '/images/tools.iso', 'raw', True),
        domain_xml.DiskPart('vdc', '/dev/vg/lv', 'raw', True),
    )


def test_all_its_own_files_move_and_nothing_else() -> None:
    moved = domain_xml.moved(LIBVIRTS, HERE, THERE)
    root = ElementTree.fromstring(moved)
    assert root.findtext('os/kernel') == f'{THERE}/kernel'
    assert root.findtext('os/nvram') == f'{THERE}/nvram'
    devices = root.find('devices')
    assert devices is not None
    found = [
        value
        for element in devices.iter()
        for key, value in element.attrib.items()
        if key in ('file', 'path')
    ]
    assert found == [
        f'{THERE}/vda.qcow2',
        '/images/base.raw',
        f'{HERE}0/of-another-guest.raw',
        '/images/tools.iso',
        f'{THERE}/console.log',
        f'{THERE}/console.log',
        f'{THERE}/log',
    ]
    note = root.find('metadata/{urn:x}note')
    assert note is not None
    assert note.text == HERE
    assert note.get('path') == f'{HERE}/vda.qcow2'


def test_the_same_directory_changes_nothing() -> None:
    assert domain_xml.moved(LIBVIRTS, HERE, HERE) is LIBVIRTS


# -- rescued ------------------------------------------------------------------
RESCUE = RescueSpec(
    kernel='/rescue/kernel',
    initrd='/rescue/initrd',
    cmdline='rescue',
    disk=DiskSpec('vdx', 'raw', 2**20, '/images/rescue.raw'),
)


def rescued(rescue: RescueSpec) -> str:
    return domain_xml.build(SPEC, HERE, MACHINE, rescue)


def test_a_rescued_guest_boots_the_rescue_image_on_its_own_disks() -> None:
    xml = rescued(RESCUE)
    assert domain_xml.disks(xml) == (
        domain_xml.DiskPart('vda', f'{HERE}/rescue.raw', 'raw', False),
        domain_xml.DiskPart('vdb', f'{HERE}/vda.qcow2', 'qcow2', False),
        domain_xml.DiskPart('vdc', f'{HERE}/vdb.raw', 'raw', False),
    )
    domain = ElementTree.fromstring(xml)
    assert domain.findtext('os/kernel') == '/rescue/kernel'
    assert domain.findtext('os/initrd') == '/rescue/initrd'
    assert domain.findtext('os/cmdline') == 'rescue'
    assert domain.findtext('uuid') == GUEST
    assert domain.findtext('memory') == '256'


def test_without_a_kernel_the_rescue_disk_is_booted() -> None:
    domain = ElementTree.fromstring(
        rescued(dataclasses.replace(RESCUE, kernel=''))
    )
    boot = domain.find('os/boot')
    assert boot is not None
    assert boot.get('dev') == 'hd'
    assert domain.find('os/kernel') is None


def test_without_a_rescue_disk_nothing_is_renamed() -> None:
    xml = rescued(dataclasses.replace(RESCUE, disk=None))
    assert [part.device for part in domain_xml.disks(xml)] == ['vda', 'vdb']


def test_disks_are_attached_in_the_guest_s_order() -> None:
    many = [DiskSpec(devices.device_name(n), 'raw', 1) for n in (27, 1, 26, 0)]
    assert [d for d, _, _ in devices.attached(many)] == [
        'vda', 'vdb', 'vdaa', 'vdab',
    ]  # fmt: skip
    behind = devices.attached(many, RESCUE)
    assert [(device, name) for device, name, _ in behind] == [
        ('vda', 'rescue'),
        ('vdb', 'vda'),
        ('vdc', 'vdb'),
        ('vdd', 'vdaa'),
        ('vde', 'vdab'),
    ]


@pytest.mark.parametrize(
    ('number', 'name'),
    [(0, 'vda'), (25, 'vdz'), (26, 'vdaa'), (51, 'vdaz'), (52, 'vdba')],
)
def test_names_of_devices(number: int, name: str) -> None:
    assert devices.device_name(number) == name


# -- interfaces ---------------------------------------------------------------
MAC = '52:54:00:01:02:03'


@pytest.mark.parametrize('kind', ['bridge', 'network'])
def test_an_interface(kind: str) -> None:
    spec = dataclasses.replace(
        SPEC, interfaces=(InterfaceSpec(MAC, f'{kind}:lan0'),)
    )
    for rescue in (None, RESCUE):
        domain = ElementTree.fromstring(
            domain_xml.build(spec, HERE, MACHINE, rescue)
        )
        [interface] = domain.iterfind('devices/interface')
        assert interface.get('type') == kind
        assert {e.tag: e.attrib for e in interface} == {
            'mac': {'address': MAC},
            'source': {kind: 'lan0'},
            'model': {'type': 'virtio'},
        }


def test_no_interface_unless_asked_for() -> None:
    assert built().find('devices/interface') is None


PLUGGED = f"""
<domain><devices>
  <interface type='network'>
    <mac address='{MAC}'/>
    <source network='lan' portid='0' bridge='virbr0'/>
    <target dev='vnet7'/><model type='virtio'/>
  </interface>
  <interface type='bridge'><source bridge='lan'/></interface>
  <interface type='user'/>
</devices></domain>
"""


def test_an_interface_is_plugged_in_at_its_new_host() -> None:
    moved = domain_xml.moved(PLUGGED, HERE, HERE, 'network:lan', 'bridge:br1')
    first, second, third = ElementTree.fromstring(moved).iterfind(
        'devices/interface'
    )
    assert first.get('type') == 'bridge'
    assert {e.tag: e.attrib for e in first} == {
        'mac': {'address': MAC},
        'source': {'bridge': 'br1'},
        'model': {'type': 'virtio'},
    }
    # A bridge that happens to have the network's name is not it.
    assert second.get('type') == 'bridge'
    source = second.find('source')
    assert source is not None
    assert source.attrib == {'bridge': 'lan'}
    assert third.get('type') == 'user'


@pytest.mark.parametrize('networks', [('', 'bridge:a'), ('bridge:a', ''),
                                      ('bridge:a', 'bridge:a')])  # fmt: skip
def test_where_nothing_else_is_named_it_stays(
    networks: tuple[str, str],
) -> None:
    assert domain_xml.moved(PLUGGED, HERE, HERE, *networks) is PLUGGED
