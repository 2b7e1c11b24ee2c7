"""Turns tables of fields into answers, and into the schemas of answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from livemig.api import microversion
from livemig.api.action import Since
from livemig.api.microversion import Microversion
from livemig.api.validation import Schema

#: What a field's function returns to leave the field out this time.
ABSENT: Any = object()


@dataclasses.dataclass(frozen=True)
class Field:
    """One key of an answer.

    :ivar value: its value, of whatever the table is about.
    :ivar optional: it may be left out.
    """

    name: str
    schema: Schema
    value: Callable[[Any], Any]
    first: Microversion = microversion.FIRST
    last: Microversion = microversion.LATEST
    optional: bool = False

    def speaks(self, version: Microversion) -> bool:
        return self.first <= version <= self.last


Fields = Sequence[Field]


def render(fields: Fields, version: Microversion, of: Any) -> dict[str, Any]:
    """The object of the wire: each field of this version."""
    rendered = {}
    for field in fields:
        if field.speaks(version):
            value = field.value(of)
            if value is not ABSENT:
                rendered[field.name] = value
    return rendered


def schema_at(fields: Fields, version: Microversion) -> Schema:
    """The schema of what ``render`` makes at that version."""
    spoken = [field for field in fields if field.speaks(version)]
    return {
        'type': 'object',
        'properties': {field.name: field.schema for field in spoken},
        'required': [field.name for field in spoken if not field.optional],
        'additionalProperties': False,
    }


def schemas(
    fields: Fields,
    wrap: Callable[[Schema, Microversion], Schema],
    first: Microversion = microversion.FIRST,
    borders: Sequence[Microversion] = (),
) -> Since:
    """The schemas of an answer made of these fields.

    :param wrap: what stands around the object.
    :param first: the operation's first version.
    :param borders: versions at which ``wrap`` changes.
    """
    versions = {first, *(b for b in borders if b > first)}
    for field in fields:
        versions |= {
            border
            for border in (field.first, field.last.next)
            if first < border <= microversion.LATEST
        }
    return tuple(
        (version, wrap(schema_at(fields, version), version))
        for version in sorted(versions)
    )


def one(key: str) -> Callable[[Schema, Microversion], Schema]:
    """``{key: object}``"""
    return lambda schema, _version: _object({key: schema}, [key])


def many(
    key: str, links_since: Microversion | None = None, links_key: str = ''
) -> Callable[[Schema, Microversion], Schema]:
    """``{key: [object, ...]}``, from some version on with links."""

    def wrap(schema: Schema, version: Microversion) -> Schema:
        properties: dict[str, Schema] = {
            key: {'type': 'array', 'items': schema}
        }
        if links_since is not None and version >= links_since:
            properties[links_key or f'{key}_links'] = LINKS
        return _object(properties, [key])

    return wrap


def _object(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    return {
        'type': 'object',
        'properties': dict(properties),
        'required': required,
        'additionalProperties': False,
    }


LINKS: Schema = {
    'type': 'array',
    'items': _object(
        {
            'rel': {'enum': ['self', 'bookmark', 'describedby', 'next']},
            'href': {'type': 'string'},
            'type': {'type': 'string'},
        },
        ['rel', 'href'],
    ),
}
