"""Makes a guest's directory and disks so that exactly that can be undone.

For a new guest and for one that is about to come. What a crash has left
half done is known from the note (``notes``) and is made again.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence

from livemig.virt.libvirt import disks, domain_xml, files, notes

#: virtlogd turns the console's log over to console.log.0 and so on.
_TURNED_OVER = re.compile(re.escape(domain_xml.CONSOLE) + r'\.[0-9]+')


@dataclasses.dataclass(frozen=True)
class NewDisk:
    """A disk to be made in the guest's directory."""

    name: str
    format: str
    size_bytes: int
    backing_file: str = ''
    backing_format: str = ''
    #: Copied into it.
    image_file: str = ''
    image_format: str = 'raw'


class InTheWay(Exception):
    """A file that is there and was not made by this."""

    def __init__(self, path: str) -> None:
        super().__init__(f'{path} is there already')


def make(
    place: files.Place,
    guest_id: str,
    migration_id: int,
    new: Sequence[NewDisk],
    *,
    use_existing: bool,
) -> None:
    """Note, then make, the directory, the console's file and the disks.

    :param use_existing: a disk that is there and was not made by this is
        used as it is; else it is an error.
    :raises InTheWay:
    :raises disks.ImageError:
    :raises OSError:
    :raises notes.Unreadable:
    """
    directory = place.directory(guest_id)
    os.makedirs(place.path, mode=0o755, exist_ok=True)
    before = notes.read(place, guest_id, migration_id)
    ours = set(before.names) if before else set()
    to_make = []
    for disk in new:
        path = f'{directory}/{disk.name}'
        if os.path.lexists(path) and disk.name not in ours:
            if not use_existing:
                raise InTheWay(path)
        else:
            to_make.append(disk)
    names = [disk.name for disk in to_make]
    console = f'{directory}/{domain_xml.CONSOLE}'
    if domain_xml.CONSOLE in ours or not os.path.lexists(console):
        names.append(domain_xml.CONSOLE)
    made_directory = before is not None and before.directory
    note = notes.Note(
        guest_id=guest_id,
        migration_id=migration_id,
        directory=made_directory or not os.path.isdir(directory),
        names=tuple(names),
    )
    notes.write(place, note)
    place.make_directory(guest_id)
    place.make_file(console)
    for disk in to_make:
        make_disk(place, directory, disk)


def make_disk(place: files.Place, directory: str, disk: NewDisk) -> None:
    """One disk, instead of whatever has its name.

    :raises disks.ImageError:
    :raises OSError:
    """
    path = f'{directory}/{disk.name}'
    files.remove(path)
    # First an empty file of the right owner and mode: an image is not for
    # everybody's eyes.
    place.make_file(path)
    if disk.image_file:
        disks.convert(
            disk.image_file,
            disk.image_format,
            path,
            disk.format,
            disk.size_bytes,
        )
    else:
        disks.create(
            path,
            disk.format,
            disk.size_bytes,
            disk.backing_file,
            disk.backing_format,
        )
    place.owner.give(path)


def undo(place: files.Place, guest_id: str, migration_id: int) -> list[str]:
    """Remove what the note names, then the note; no note: nothing.

    :returns: names of others' files for which the directory was left.
    :raises files.InUse: a QEMU has one of the disks open; nothing has been
        removed.
    :raises notes.Unreadable:
    :raises OSError:
    """
    note = notes.read(place, guest_id, migration_id)
    if note is None:
        return []
    directory = place.directory(guest_id)
    paths = _noted_files(directory, note)
    for path in paths:
        if files.in_use(path):
            raise files.InUse(path)
    for path in paths:
        files.remove(path)
    left: list[str] = []
    if note.directory and os.path.isdir(directory):
        left = sorted(os.listdir(directory))
        if not left:
            os.rmdir(directory)
    notes.drop(place, guest_id, migration_id)
    return left


def _noted_files(directory: str, note: notes.Note) -> list[str]:
    names = set(note.names)
    if domain_xml.CONSOLE in names and os.path.isdir(directory):
        names.update(filter(_TURNED_OVER.fullmatch, os.listdir(directory)))
    return sorted(f'{directory}/{name}' for name in names)


def done(place: files.Place, guest_id: str, migration_id: int) -> None:
    """What was made stays: drop the note."""
    notes.drop(place, guest_id, migration_id)
