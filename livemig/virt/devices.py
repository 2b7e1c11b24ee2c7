"""The order and the names of a guest's disks. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from livemig.virt.driver import DiskSpec, RescueSpec

#: Name of the rescue disk, before its format, in the guest's directory.
RESCUE = 'rescue'


def attached(
    disks: Sequence[DiskSpec], rescue: RescueSpec | None = None
) -> list[tuple[str, str, DiskSpec]]:
    """(device, name, disk) of all disks a guest has, in its own order.

    The guest finds a rescue disk where its first one was, and all of its
    own, in their order, behind that. The name is that of the file: it
    stays, whatever the device is called meanwhile.
    """
    own = sorted(disks, key=lambda disk: (len(disk.device), disk.device))
    if rescue is None or rescue.disk is None:
        return [(disk.device, disk.device, disk) for disk in own]
    found = [(device_name(0), RESCUE, rescue.disk)]
    for number, disk in enumerate(own, start=1):
        found.append((device_name(number), disk.device, disk))
    return found


def device_name(number: int) -> str:
    """vda, vdb ... vdz, vdaa ..."""
    letters = ''
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord('a') + letter) + letters
    return f'vd{letters}'
