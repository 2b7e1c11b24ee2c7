"""The note a destination keeps of what one migration makes there.

Written and synced before anything is made, beside the instance's directory
so that also the making of the directory is recorded. Whoever undoes a
migration removes what its note names, and nothing else. Hosts may share the
directory: each sees its own notes only.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator

from livemig.virt.libvirt import files

#: The note of a guest that is spawned here; migrations count from 1.
SPAWN = 0

_NAME = re.compile(r'\.livemig-migration-([0-9]+)-([0-9a-f-]{36})-(.+)\.json')


class Unreadable(Exception):
    """A note is there, but does not say what was made."""


@dataclasses.dataclass(frozen=True)
class Note:
    """What a migration has made, or was about to make, at this host."""

    guest_id: str
    migration_id: int
    #: The instance's directory itself.
    directory: bool
    #: Names of files in it.
    names: tuple[str, ...]


def _path(
    place: files.Place, guest_id: str, migration_id: int, host: str = ''
) -> str:
    """:param host: whose note; '': ours."""
    place.directory(guest_id)  # a uuid, or ValueError
    return (
        f'{place.path}/.livemig-migration-{int(migration_id)}-{guest_id}-'
        f'{host or place.host}.json'
    )


def sees(
    place: files.Place, guest_id: str, migration_id: int, host: str
) -> bool:
    """Is that host's note of this migration here too? Then both hosts see
    one directory."""
    return os.path.exists(_path(place, guest_id, migration_id, host))


def write(place: files.Place, note: Note) -> None:
    files.write_json(
        _path(place, note.guest_id, note.migration_id),
        dataclasses.asdict(note),
    )


def read(place: files.Place, guest_id: str, migration_id: int) -> Note | None:
    """The note of this migration, or None.

    :raises Unreadable:
    """
    path = _path(place, guest_id, migration_id)
    try:
        with open(path, encoding='utf-8') as file:
            data = json.load(file)
        note = Note(
            guest_id=data['guest_id'],
            migration_id=data['migration_id'],
            directory=bool(data['directory']),
            names=tuple(data['names']),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f'{path} is damaged: {error}') from error
    if note.guest_id != guest_id or note.migration_id != migration_id:
        raise Unreadable(f'{path} is about another migration')
    if not all(_is_name(n) for n in note.names):
        raise Unreadable(f'{path} names files elsewhere')
    return note


def all_here(place: files.Place) -> list[tuple[str, int]]:
    """(guest id, migration id) of all notes of migrations to this host."""
    return sorted(one for one in _all(place) if one[1] != SPAWN)


def others(place: files.Place, guest_id: str, migration_id: int) -> list[int]:
    """Ids of other migrations of this guest that have a note here."""
    return [
        number
        for guest, number in all_here(place)
        if guest == guest_id and number != migration_id
    ]


def drop(place: files.Place, guest_id: str, migration_id: int) -> None:
    path = _path(place, guest_id, migration_id)
    files.remove(path)
    if os.path.isdir(place.path):
        files.sync_directory(place.path)


def drop_all(place: files.Place, guest_id: str) -> None:
    """Forget all notes about a guest that is destroyed."""
    for guest, number in _all(place):
        if guest == guest_id:
            drop(place, guest_id, number)


def _all(place: files.Place) -> Iterator[tuple[str, int]]:
    try:
        names = os.listdir(place.path)
    except FileNotFoundError:
        return
    for name in names:
        match = _NAME.fullmatch(name)
        if match is not None and match[3] == place.host:
            yield match[2], int(match[1])


def _is_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and name not in ('', '.', '..')
        and '/' not in name
        and '\0' not in name
    )
