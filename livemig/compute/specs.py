"""The record of an instance -> what the driver is to build. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from livemig.objects.instance import Instance
from livemig.virt import driver as virt

GIB = 1024**3


def spec_of(instance: Instance, guest_network: str = '') -> virt.GuestSpec:
    """The guest itself.

    :param guest_network: of its host; '': no interface. There is none
        either while the record has no MAC address.
    """
    image = instance.image or {}
    disks = []
    for index, disk in enumerate(image.get('disks') or []):
        size = int(disk.get('size_bytes') or 0)
        if index == 0:
            size = max(size, instance.root_gb * GIB)
        disks.append(_disk(disk, size))
    interfaces: tuple[virt.InterfaceSpec, ...] = ()
    if guest_network and instance.mac_address:
        interfaces = (virt.InterfaceSpec(instance.mac_address, guest_network),)
    return virt.GuestSpec(
        guest_id=instance.uuid,
        name=instance.display_name,
        memory_mib=instance.memory_mb,
        vcpus=instance.vcpus,
        kernel=image.get('kernel') or '',
        initrd=image.get('initrd') or '',
        cmdline=image.get('cmdline') or '',
        disks=tuple(disks),
        interfaces=interfaces,
    )


def rescue_of(instance: Instance) -> virt.RescueSpec | None:
    """What it is rescued with: kernel and first disk of that image."""
    image = instance.rescue
    if not image:
        return None
    disk = None
    for first in (image.get('disks') or [])[:1]:
        size = int(first.get('size_bytes') or 0)
        disk = _disk(first, size or instance.root_gb * GIB)
    return virt.RescueSpec(
        kernel=image.get('kernel') or '',
        initrd=image.get('initrd') or '',
        cmdline=image.get('cmdline') or '',
        disk=disk,
    )


def _disk(disk: Mapping[str, Any], size_bytes: int) -> virt.DiskSpec:
    return virt.DiskSpec(
        device=disk['device'],
        format=disk.get('format', 'qcow2'),
        size_bytes=size_bytes,
        image_file=disk.get('image_file') or '',
        image_format=disk.get('image_format') or 'raw',
    )


def mac_of(instance_uuid: str) -> str:
    """A MAC address for a new instance, of those that QEMU's and KVM's
    guests have by custom."""
    digest = hashlib.sha256(instance_uuid.encode()).digest()
    return '52:54:00:' + ':'.join(f'{byte:02x}' for byte in digest[:3])
