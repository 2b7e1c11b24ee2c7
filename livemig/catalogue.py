"""Keeps the flavors and images there are, as one YAML file says."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import jsonschema
import yaml
from oslo_log import log

from livemig import concurrency, exception

LOG = log.getLogger(__name__)

GIB = 1024**3

_NAME = {'type': 'string', 'minLength': 1, 'maxLength': 255}
_PATH = {'type': 'string', 'pattern': '^/'}
_COUNT = {'type': 'integer', 'minimum': 1, 'maximum': 2**31 - 1}
_SIZE = {'type': 'integer', 'minimum': 0, 'maximum': 2**31 - 1}
_WORDS = {'type': 'object', 'additionalProperties': {'type': 'string'}}

_FLAVOR = {
    'type': 'object',
    'properties': {
        'id': {
            'type': 'string',
            'pattern': r'^[a-zA-Z0-9._-]{1,255}\Z',
        },
        'name': _NAME,
        'description': {'type': 'string', 'maxLength': 65535},
        'ram_mib': _COUNT,
        'vcpus': _COUNT,
        'disk_gib': _SIZE,
        'ephemeral_gib': _SIZE,
        'swap_mib': _SIZE,
        'is_public': {'type': 'boolean'},
        'extra_specs': _WORDS,
    },
    'required': ['id', 'name', 'ram_mib', 'vcpus'],
    'additionalProperties': False,
}
_DISK = {
    'type': 'object',
    'properties': {
        'device': {'type': 'string', 'pattern': r'^[a-z]{2,8}\Z'},
        'format': {'enum': ['qcow2', 'raw']},
        'size_gib': _COUNT,
        'size_bytes': {'type': 'integer', 'minimum': 1, 'maximum': 2**62},
        'image_file': _PATH,
        'image_format': {'enum': ['qcow2', 'raw']},
    },
    'required': ['device', 'format'],
    'additionalProperties': False,
    'not': {'required': ['size_gib', 'size_bytes']},
}
_IMAGE = {
    'type': 'object',
    'properties': {
        'id': {
            'type': 'string',
            'pattern': r'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z',
        },
        'name': _NAME,
        'kernel': _PATH,
        'initrd': _PATH,
        'cmdline': {'type': 'string', 'maxLength': 2048},
        'disks': {'type': 'array', 'items': _DISK, 'maxItems': 26},
        'properties': _WORDS,
    },
    'required': ['id', 'name'],
    'additionalProperties': False,
    # A guest needs something to boot from.
    'anyOf': [
        {'required': ['kernel']},
        {'required': ['disks'], 'properties': {'disks': {'minItems': 1}}},
    ],
}
SCHEMA: Mapping[str, Any] = {
    'type': 'object',
    'properties': {
        'flavors': {'type': 'array', 'items': _FLAVOR},
        'images': {'type': 'array', 'items': _IMAGE},
    },
    'required': ['flavors', 'images'],
    'additionalProperties': False,
}


@dataclasses.dataclass(frozen=True)
class Flavor:
    """A size of guests. Units as in Nova: MiB of RAM and swap, GiB else."""

    id: str
    name: str
    ram_mib: int
    vcpus: int
    disk_gib: int = 0
    ephemeral_gib: int = 0
    swap_mib: int = 0
    description: str | None = None
    is_public: bool = True
    extra_specs: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def snapshot(self) -> dict[str, Any]:
        """What an instance keeps of it, so that nothing later needs it."""
        return {
            'id': self.id,
            'name': self.name,
            'ram': self.ram_mib,
            'vcpus': self.vcpus,
            'disk': self.disk_gib,
            'ephemeral': self.ephemeral_gib,
            'swap': self.swap_mib,
            'extra_specs': dict(self.extra_specs),
        }


@dataclasses.dataclass(frozen=True)
class Image:
    """What a guest boots from: a kernel, or its first disk."""

    id: str
    name: str
    kernel: str = ''
    initrd: str = ''
    cmdline: str = ''
    disks: tuple[Mapping[str, Any], ...] = ()
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def snapshot(self, flavor: Flavor) -> dict[str, Any]:
        """What an instance keeps of it. A disk without a size of its own
        is as large as the flavor says."""
        return {
            'id': self.id,
            'name': self.name,
            'kernel': self.kernel,
            'initrd': self.initrd,
            'cmdline': self.cmdline,
            'disks': [_disk(disk, flavor) for disk in self.disks],
            'properties': dict(self.properties),
        }


def _disk(disk: Mapping[str, Any], flavor: Flavor) -> dict[str, Any]:
    size_gib = disk.get('size_gib', flavor.disk_gib)
    return {
        'device': disk['device'],
        'format': disk['format'],
        'size_bytes': disk.get('size_bytes', size_gib * GIB),
        'image_file': disk.get('image_file', ''),
        'image_format': disk.get('image_format', 'raw'),
    }


@dataclasses.dataclass(frozen=True)
class Content:
    """The catalogue as it stands in the file now."""

    flavors: Mapping[str, Flavor]
    images: Mapping[str, Image]

    def flavor(self, flavor_id: str) -> Flavor:
        """:raises FlavorNotFound:"""
        try:
            return self.flavors[flavor_id]
        except KeyError:
            raise exception.FlavorNotFound(flavor_id=flavor_id) from None

    def image(self, image_id: str) -> Image:
        """:raises ImageNotFound:"""
        try:
            return self.images[image_id]
        except KeyError:
            raise exception.ImageNotFound(image_id=image_id) from None


def read(path: str) -> Content:
    """Read a catalogue file.

    :raises CatalogueError: it cannot be read, or naming entry and field.
    """
    wrong = functools.partial(exception.CatalogueError, path=path)
    try:
        with open(path, encoding='utf-8') as file:
            data = yaml.safe_load(file)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise wrong(reason=' '.join(str(error).split())) from error
    misfit = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(SCHEMA).iter_errors(data)
    )
    if misfit is not None:
        raise wrong(
            reason=f'{_place(data, list(misfit.absolute_path))}: '
            f'{misfit.message[:300]}'
        )
    return Content(
        flavors=_by_id(data, 'flavors', Flavor, wrong),
        images=_by_id(data, 'images', _image, wrong),
    )


def _image(**entry: Any) -> Image:
    return Image(**{**entry, 'disks': tuple(entry.get('disks', ()))})


def _by_id(data: Any, part: str, make: Any, wrong: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in data[part]:
        if entry['id'] in found:
            raise wrong(reason=f'{part}: id {entry["id"]} is there twice')
        found[entry['id']] = make(**entry)
    return found


def _place(data: Any, path: list[Any]) -> str:
    """Where an error is: part, entry by name, field."""
    if len(path) < 2:
        return str(path[0]) if path else 'the file'
    part, index, *field = path
    entry = data[part][index]
    name = entry.get('id') if isinstance(entry, dict) else None
    where = f'{part}, entry {index + 1}'
    if name is not None:
        where += f' ({str(name)[:80]})'
    if field:
        where += f', field {".".join(map(str, field))}'
    return where


class Catalogue:
    """The catalogue file, read again when it changes.

    A broken new one is logged, and the last good one stays in use.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = concurrency.Lock()
        self._stamp: object = None
        self._content: Content | None = None
        self._error: exception.CatalogueError | None = None

    def content(self) -> Content:
        """:raises CatalogueError: there never was a good one."""
        stamp = self._read_stamp()
        if stamp != self._stamp or stamp is None:
            with self._lock:
                if stamp != self._stamp or stamp is None:
                    self._read(stamp)
        if self._content is None:
            raise self._error or exception.CatalogueError(
                path=self._path, reason='it was never read'
            )
        return self._content

    def _read(self, stamp: object) -> None:
        try:
            self._content, self._error = read(self._path), None
        except exception.CatalogueError as error:
            told = self._error is not None and str(self._error) == str(error)
            self._error = error
            if not told:
                LOG.error(
                    '%(error)s%(kept)s',
                    {
                        'error': error.message,
                        'kept': ' The one read before stays in use.'
                        if self._content
                        else '',
                    },
                )
        self._stamp = stamp

    def _read_stamp(self) -> object:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino)
