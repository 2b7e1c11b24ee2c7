"""What the fields and parameters of the API mean, in words; ``refusals``
says when an operation is refused.

The words stand in tables apart from the schemas, because most fields come
in several answers and mean the same in each. They go into the OpenAPI
document and into the pages of the API's reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from livemig.api.action import Operation
from livemig.api.meanings.fields import FIELDS
from livemig.api.meanings.parameters import PARAMETERS
from livemig.api.validation import Schema

#: Kinds of what has a meaning.
QUERY, REQUEST, RESPONSE = 'query', 'request', 'response'

Path = tuple[str, ...]

#: What stands in a path for any key of an object that has no fixed ones.
ANY_KEY = '*'

#: Schemas for what is there to be refused.
NEVER: Schema = {'not': {}}

_ALTERNATIVES = ('anyOf', 'oneOf')


def meaning(operation: Operation, kind: str, path: Path) -> str | None:
    """What that field or parameter means.

    :param path: its name, after the names of what it is in.
    """
    place = place_of(operation, kind, path)
    return None if place is None else _TABLES[place[0]][place[1]]


def place_of(
    operation: Operation, kind: str, path: Path
) -> tuple[str, str] | None:
    """Which table and entry say it: what is said of the operation wins over
    what is said of its resource, and the longer name over the shorter."""
    resource = operation.name.partition(':')[0]
    for table in (
        f'{operation.name} {kind}',
        f'{resource} {kind}',
        resource,
        kind,
        '',
    ):
        entries = _TABLES.get(table, {})
        for start in range(len(path)):
            name = '.'.join(path[start:])
            if name in entries:
                return table, name
    return None


_TABLES: Mapping[str, Mapping[str, str]] = {**FIELDS, **PARAMETERS}


# -- schemas ----------------------------------------------------------------
def walk(schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Each property of what the schema describes, outer ones first."""
    for word in _ALTERNATIVES:
        for one in schema.get(word, ()):
            yield from walk(one, path)
    for name, of_one in schema.get('properties', {}).items():
        if of_one != NEVER:
            yield (*path, name), of_one
            yield from walk(of_one, (*path, name))
    for word, step in (('items', ()), ('additionalProperties', (ANY_KEY,))):
        if isinstance(schema.get(word), Mapping):
            yield from walk(schema[word], (*path, *step))


def described(
    schema: Schema, operation: Operation, kind: str, path: Path = ()
) -> dict[str, Any]:
    """The same schema with the meaning of each property in it."""
    told: dict[str, Any] = dict(schema)
    for word in _ALTERNATIVES:
        if word in told:
            told[word] = [
                described(one, operation, kind, path) for one in told[word]
            ]
    if 'properties' in told:
        told['properties'] = {
            name: _with_meaning(of_one, operation, kind, (*path, name))
            for name, of_one in told['properties'].items()
        }
    for word, step in (('items', ()), ('additionalProperties', (ANY_KEY,))):
        if isinstance(told.get(word), Mapping):
            told[word] = described(told[word], operation, kind, (*path, *step))
    return told


def _with_meaning(
    schema: Schema, operation: Operation, kind: str, path: Path
) -> dict[str, Any]:
    told = described(schema, operation, kind, path)
    words = meaning(operation, kind, path)
    return told if words is None else {'description': words, **told}
