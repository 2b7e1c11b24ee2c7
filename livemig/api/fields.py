"""Turns tables of fields into answers, and into the schemas of answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from livemig.api import microversion
from livemig.api.action import Since
from livemig.api.microversion import Microversion
from livemig.api.validation import Schema, closed

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
    return closed(
        {field.name: field.schema for field in spoken},
        *(field.name for field in spoken if not field.optional),
    )


def nested(
    name: str,
    of: Fields,
    value: Callable[[Any], Any],
    *,
    optional: bool = False,
) -> tuple[Field, ...]:
    """One key whose value is a list of objects that these fields make."""
    starts = (microversion.FIRST, *borders_of(of))
    ends = (*(start.previous for start in starts[1:]), microversion.LATEST)
    return tuple(
        Field(
            name,
            {'type': 'array', 'items': schema_at(of, first)},
            value,
            first,
            last,
            optional,
        )
        for first, last in zip(starts, ends, strict=True)
    )


def borders_of(
    fields: Fields, first: Microversion = microversion.FIRST
) -> list[Microversion]:
    """The versions after ``first`` at which an object of these changes."""
    return sorted(
        {
            border
            for field in fields
            for border in (field.first, field.last.next)
            if first < border <= microversion.LATEST
        }
    )


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
    versions = {
        first,
        *(b for b in borders if b > first),
        *borders_of(fields, first),
    }
    return tuple(
        (version, wrap(schema_at(fields, version), version))
        for version in sorted(versions)
    )


def one(key: str) -> Callable[[Schema, Microversion], Schema]:
    """``{key: object}``"""
    return lambda schema, _version: closed({key: schema}, key)


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
        return closed(properties, key)

    return wrap


LINKS: Schema = {
    'type': 'array',
    'items': closed(
        {
            'rel': {'enum': ['self', 'bookmark', 'describedby', 'next']},
            'href': {'type': 'string'},
            'type': {'type': 'string'},
        },
        'rel',
        'href',
    ),
}
