"""The XML of guests: built and changed as a tree, never as text. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from xml.etree import ElementTree

from livemig.virt.devices import attached
from livemig.virt.driver import GuestSpec, InterfaceSpec, RescueSpec

#: What XML 1.0 cannot hold at all, not even escaped.
_NO_XML = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')

CONSOLE = 'console.log'


class BadText(ValueError):
    """A text that XML cannot hold."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """What this host gives to its new guests."""

    virt_type: str
    arch: str
    machine_type: str = ''
    cpu_mode: str = ''
    #: QEMU's cache mode for disks.
    cache: str = 'none'


@dataclasses.dataclass(frozen=True)
class DiskPart:
    """A disk as the domain's XML tells it."""

    device: str
    path: str
    format: str
    read_only: bool


def disk_path(instance_dir: str, name: str, format_: str) -> str:
    return f'{instance_dir}/{name}.{format_}'


def build(
    spec: GuestSpec,
    instance_dir: str,
    machine: Machine,
    rescue: RescueSpec | None = None,
) -> str:
    """The definition of a guest.

    :param rescue: it boots that, with its own disks behind.
    :raises BadText:
    """
    domain = ElementTree.Element('domain', type=machine.virt_type)
    # Names must be unique on a host, and display names are not.
    _add(domain, 'name', f'livemig-{spec.guest_id}')
    _add(domain, 'uuid', spec.guest_id)
    title = ' '.join(_NO_XML.sub(' ', spec.name).split())
    if title:
        _add(domain, 'title', title)
    _add(domain, 'memory', str(spec.memory_mib), unit='MiB')
    _add(domain, 'vcpu', str(spec.vcpus))
    _add_os(domain, rescue or spec, machine)
    if machine.arch in ('x86_64', 'i686'):
        ElementTree.SubElement(_add(domain, 'features'), 'acpi')
    _add_cpu(domain, machine)
    _add(domain, 'clock', offset='utc')
    _add(domain, 'on_poweroff', 'destroy')
    _add(domain, 'on_reboot', 'restart')
    _add(domain, 'on_crash', 'destroy')
    devices = _add(domain, 'devices')
    for device, name, disk in attached(spec.disks, rescue):
        path = disk_path(instance_dir, name, disk.format)
        _add_disk(devices, device, path, disk.format, machine.cache)
    for interface in spec.interfaces:
        _add_interface(devices, interface)
    # Appended to: the log goes on where it was after a migration.
    serial = _add(devices, 'serial', type='file')
    _add(serial, 'source', path=f'{instance_dir}/{CONSOLE}', append='on')
    _add(serial, 'target', port='0')
    _add(devices, 'memballoon', model='none')
    return ElementTree.tostring(domain, encoding='unicode')


def _add_os(
    domain: ElementTree.Element,
    spec: GuestSpec | RescueSpec,
    machine: Machine,
) -> None:
    os_ = _add(domain, 'os')
    kind = _add(os_, 'type', 'hvm', arch=machine.arch)
    if machine.machine_type:
        kind.set('machine', machine.machine_type)
    if spec.kernel:
        _add(os_, 'kernel', spec.kernel)
        if spec.initrd:
            _add(os_, 'initrd', spec.initrd)
        if spec.cmdline:
            _add(os_, 'cmdline', spec.cmdline)
    else:
        _add(os_, 'boot', dev='hd')


def _add_cpu(domain: ElementTree.Element, machine: Machine) -> None:
    mode = machine.cpu_mode
    if not mode:
        mode = 'host-model' if machine.virt_type == 'kvm' else 'none'
    if mode != 'none':
        _add(domain, 'cpu', mode=mode)


def _add_disk(
    devices: ElementTree.Element,
    device: str,
    path: str,
    format_: str,
    cache: str,
) -> None:
    element = _add(devices, 'disk', type='file', device='disk')
    _add(element, 'driver', name='qemu', type=format_, cache=cache)
    _add(element, 'source', file=path)
    _add(element, 'target', dev=device, bus='virtio')


def _add_interface(
    devices: ElementTree.Element, interface: InterfaceSpec
) -> None:
    kind, _, name = interface.network.partition(':')
    element = _add(devices, 'interface', type=kind)
    _add(element, 'mac', address=interface.mac)
    _add(element, 'source', **{kind: name})
    _add(element, 'model', type='virtio')


def _add(
    parent: ElementTree.Element,
    tag: str,
    text: str | None = None,
    **attributes: str,
) -> ElementTree.Element:
    for value in (text or '', *attributes.values()):
        if _NO_XML.search(value):
            raise BadText(f'{tag}: {value!r} cannot be written as XML')
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text
    return element


def parse(xml: str) -> ElementTree.Element:
    """The tree of a text that libvirt gave us (its own, trusted)."""
    return ElementTree.fromstring(xml)  # noqa: S314


def disks(xml: str) -> tuple[DiskPart, ...]:
    """The guest's disks that are files or block devices, with a medium."""
    return tuple(_disks(parse(xml)))


def _disks(domain: ElementTree.Element) -> Iterable[DiskPart]:
    for disk in domain.iterfind('devices/disk'):
        source = disk.find('source')
        target = disk.find('target')
        if source is None or target is None:
            continue
        path = source.get('file') or source.get('dev')
        if not path:
            continue
        driver = disk.find('driver')
        yield DiskPart(
            device=target.get('dev', ''),
            path=path,
            format=('raw' if driver is None else driver.get('type', 'raw')),
            read_only=(
                disk.find('readonly') is not None
                or disk.get('device', 'disk') != 'disk'
            ),
        )


def moved(
    xml: str,
    old_dir: str,
    new_dir: str,
    old_network: str = '',
    new_network: str = '',
) -> str:
    """The same guest with all its files in another directory, and its
    interfaces on another network.

    Only whole path components are matched: the directory itself and what
    lies below. The guest's metadata are nobody's paths and stay. So do
    interfaces on any other network than the old one.
    """
    plug = bool(old_network and new_network) and old_network != new_network
    if old_dir == new_dir and not plug:
        return xml
    domain = parse(xml)
    for child in domain:
        if child.tag != 'metadata':
            _move_paths(child, old_dir, new_dir)
    if plug:
        for interface in domain.iterfind('devices/interface'):
            _replug(interface, old_network, new_network)
    return ElementTree.tostring(domain, encoding='unicode')


def _replug(interface: ElementTree.Element, old: str, new: str) -> None:
    kind, _, name = old.partition(':')
    source = interface.find('source')
    if (
        source is None
        or interface.get('type') != kind
        or source.get(kind) != name
    ):
        return
    kind, _, name = new.partition(':')
    interface.set('type', kind)
    # A running one's source also tells the port it has here.
    source.attrib.clear()
    source.set(kind, name)
    for own in interface.findall('target'):
        interface.remove(own)


#: Where paths stand in a domain's XML: attributes, and texts of elements
#: (https://libvirt.org/formatdomain.html).
_PATH_ATTRIBUTES = ('file', 'path', 'dir', 'template')
_PATH_ELEMENTS = frozenset({'kernel', 'initrd', 'nvram', 'loader', 'dtb'})


def _move_paths(top: ElementTree.Element, old_dir: str, new_dir: str) -> None:
    for element in top.iter():
        for name in _PATH_ATTRIBUTES:
            value = element.get(name)
            if value is not None:
                element.set(name, _move(value, old_dir, new_dir))
        if element.tag in _PATH_ELEMENTS and element.text:
            element.text = _move(element.text, old_dir, new_dir)


def _move(path: str, old_dir: str, new_dir: str) -> str:
    if path == old_dir or path.startswith(f'{old_dir}/'):
        return new_dir + path[len(old_dir) :]
    return path
