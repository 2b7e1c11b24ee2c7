"""The XML of guests: built and changed as a tree, never as text. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from xml.etree import ElementTree

from livemig.virt.driver import DiskSpec, GuestSpec

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


def disk_path(instance_dir: str, disk: DiskSpec) -> str:
    return f'{instance_dir}/{disk.device}.{disk.format}'


def build(spec: GuestSpec, instance_dir: str, machine: Machine) -> str:
    """The definition of a new guest.

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
    _add_os(domain, spec, machine)
    if machine.arch in ('x86_64', 'i686'):
        ElementTree.SubElement(_add(domain, 'features'), 'acpi')
    _add_cpu(domain, machine)
    _add(domain, 'clock', offset='utc')
    _add(domain, 'on_poweroff', 'destroy')
    _add(domain, 'on_reboot', 'restart')
    _add(domain, 'on_crash', 'destroy')
    devices = _add(domain, 'devices')
    for disk in spec.disks:
        _add_disk(devices, disk, instance_dir, machine.cache)
    # Appended to: the log goes on where it was after a migration.
    serial = _add(devices, 'serial', type='file')
    _add(serial, 'source', path=f'{instance_dir}/{CONSOLE}', append='on')
    _add(serial, 'target', port='0')
    _add(devices, 'memballoon', model='none')
    return ElementTree.tostring(domain, encoding='unicode')


def _add_os(
    domain: ElementTree.Element, spec: GuestSpec, machine: Machine
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
    disk: DiskSpec,
    instance_dir: str,
    cache: str,
) -> None:
    element = _add(devices, 'disk', type='file', device='disk')
    _add(element, 'driver', name='qemu', type=disk.format, cache=cache)
    _add(element, 'source', file=disk_path(instance_dir, disk))
    _add(element, 'target', dev=disk.device, bus='virtio')


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


def moved(xml: str, old_dir: str, new_dir: str) -> str:
    """The same guest with all its files in another directory.

    Only whole path components are matched: the directory itself and what
    lies below. The guest's metadata are nobody's paths and stay.
    """
    if old_dir == new_dir:
        return xml
    domain = parse(xml)
    for child in domain:
        if child.tag != 'metadata':
            _move_paths(child, old_dir, new_dir)
    return ElementTree.tostring(domain, encoding='unicode')


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
