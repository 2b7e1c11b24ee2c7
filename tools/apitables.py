"""Turns schemas of requests and answers into tables for people."""

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from livemig.api import meanings, microversion
from livemig.api.action import Operation, Since
from livemig.api.fields import LINKS
from livemig.api.microversion import Microversion
from livemig.api.validation import Schema

#: Longer lists of words are not told one by one.
_MANY_WORDS = 24


@dataclasses.dataclass(frozen=True)
class Row:
    """A field or parameter, in the versions in which it looks so.

    :ivar wrapper: the outermost object it is in; '': it is outermost.
    :ivar name: below that.
    """

    wrapper: str
    name: str
    type: str
    required: bool
    versions: str
    meaning: str

    def title(self, kind: str) -> str:
        """Of the query nothing is required."""
        told = f'``{self.name}``'
        if self.required or kind == meanings.QUERY:
            return told
        return f'{told} (optional)'


# -- rst --------------------------------------------------------------------
def table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """A list-table whose first row is its head."""
    lines = ['.. list-table::', '   :header-rows: 1', '   :width: 100%',
             f'   :widths: {" ".join(map(str, widths))}', '']  # fmt: skip
    for row in rows:
        for index, cell in enumerate(row):
            mark = '*' if index == 0 else ' '
            text = cell.replace('\n', '\n       ')
            lines.append(f'   {mark} - {text}'.rstrip())
    return lines


def joined(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows that say the same of several names become one."""
    names: dict[tuple[str, ...], list[str]] = {}
    for name, *rest in rows:
        names.setdefault(tuple(rest), []).append(name)
    return [[', '.join(found), *rest] for rest, found in names.items()]


def variables(path: str) -> list[str]:
    return re.findall(r'\{(\w+)\}', path)


# -- versions ---------------------------------------------------------------
def _before(version: Microversion) -> Microversion:
    """Of 2.200 it is 2.100: nothing is said of those between."""
    own = min(microversion.OWN)
    minor = 100 if version == own else version.minor - 1
    return Microversion(version.major, minor)


def versions(first: Microversion, last: Microversion) -> str:
    """Nothing if it is in all of them."""
    since = first > microversion.FIRST
    until = last < microversion.LATEST
    if since and until:
        return f'{first} - {last}' if first != last else f'{first}'
    if since:
        return f'{first} and later'
    return f'up to {last}' if until else ''


# -- fields -----------------------------------------------------------------
@dataclasses.dataclass
class _Run:
    """Versions in which a field looks the same."""

    first: Microversion
    last: Microversion
    type: str
    required: bool


def fields(operation: Operation, kind: str, since: Since) -> list[Row]:
    """All that ever is in what these schemas describe."""
    runs: dict[meanings.Path, list[_Run]] = {}
    wrappers: set[str] = set()
    borders = [first for first, _ in since[1:]]
    lasts = [*map(_before, borders), operation.last][: len(since)]
    for (first, schema), last in zip(since, lasts, strict=True):
        if last < operation.first:
            continue
        first = max(first, operation.first)
        for path, of_one, required in _leaves(schema):
            if len(path) > 1 and kind != meanings.QUERY:
                wrappers.add(path[0])
            _extend(runs.setdefault(path, []),
                    _Run(first, last, type_of(of_one), required))  # fmt: skip
    return [
        _row(operation, kind, path, run, path[0] in wrappers)
        for path in _ordered(runs)
        for run in runs[path]
    ]


def _extend(runs: list[_Run], run: _Run) -> None:
    known = runs[-1] if runs else None
    same = known and (known.type, known.required) == (run.type, run.required)
    if known and known.last == run.last:
        # Another alternative of the same schema.
        known.required = known.required and run.required
    elif known and same and known.last == _before(run.first):
        known.last = run.last
    else:
        runs.append(run)


def _ordered(paths: Iterable[meanings.Path]) -> list[meanings.Path]:
    """What is in an object comes after it, whichever version brought it."""
    found = list(paths)
    return sorted(found, key=lambda path: found.index(path[:1])
                  if path[:1] in found else len(found))  # fmt: skip


def _row(
    operation: Operation,
    kind: str,
    path: meanings.Path,
    run: _Run,
    is_wrapped: bool,
) -> Row:
    inner = path[1:] if is_wrapped else path
    told = (
        ''
        if (run.first, run.last) == (operation.first, operation.last)
        else versions(run.first, run.last)
    )
    return Row(
        wrapper=path[0] if is_wrapped and inner else '',
        name='.'.join(inner or path),
        type=run.type,
        required=run.required,
        versions=told,
        meaning=meanings.meaning(operation, kind, path) or '',
    )


def _leaves(
    schema: Schema, path: meanings.Path = ()
) -> Iterator[tuple[meanings.Path, Schema, bool]]:
    """Each property with whether it has to be there, outer ones first."""
    if schema == LINKS:
        return
    for word in ('anyOf', 'oneOf'):
        for one in schema.get(word, ()):
            yield from (
                (inner, of_one, False) for inner, of_one, _ in
                _leaves(one, path)
            )  # fmt: skip
    required = schema.get('required', ())
    for name, of_one in schema.get('properties', {}).items():
        if of_one != meanings.NEVER:
            yield (*path, name), of_one, name in required
            yield from _leaves(of_one, (*path, name))
    if isinstance(schema.get('items'), dict):
        yield from _leaves(schema['items'], path)
    others = schema.get('additionalProperties')
    if isinstance(others, dict):
        step = (*path, meanings.ANY_KEY)
        if not path:
            yield step, others, False
        yield from _leaves(others, step)


def parts(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """The outermost rows, then those in each object, with a heading."""
    outer = [row for row in rows if not row.wrapper]
    inner = [row for row in rows if row.wrapper]
    if not inner or len(outer) > 1:
        yield '', outer
    lists = {row.name for row in outer if row.type.startswith('list')}
    for name, found in itertools.groupby(inner, lambda row: row.wrapper):
        if name in lists:
            yield f'In the list ``{name}``, each:', list(found)
        else:
            yield f'In ``{name}``:', list(found)


# -- types ------------------------------------------------------------------
_NAMES = {'null': 'null', 'array': 'list', 'object': 'object'}


def type_of(schema: Schema) -> str:
    """As people say it."""
    for word in ('anyOf', 'oneOf'):
        if word in schema:
            return _alternatives(schema[word])
    if 'const' in schema:
        return f'``{schema["const"]}``'
    if 'enum' in schema:
        return _words(schema['enum'])
    if schema == LINKS:
        return 'list of links'
    names = schema.get('type')
    if names is None:
        return 'anything'
    if isinstance(names, list):
        return _alternatives([{**schema, 'type': name} for name in names])
    return _one_type(names, schema)


def _alternatives(schemas: Sequence[Schema]) -> str:
    """One of something or a list of such: it may come several times."""
    *others, last = schemas
    if others and last.get('items') in ({'type': 'string'}, *others):
        return f'{_alternatives(others)} (several)'
    return ' or '.join(dict.fromkeys(map(type_of, schemas)))


def _one_type(name: str, schema: Schema) -> str:
    if name == 'array':
        if schema.get('maxItems') == 0:
            return 'empty list'
        items = schema.get('items')
        return f'list of {_plural(type_of(items))}' if items else 'list'
    if name == 'object':
        return 'empty object' if schema.get('maxProperties') == 0 else name
    if name == 'string':
        return _string(schema)
    if name == 'integer' and 'minimum' in schema:
        if 'maximum' in schema:
            return f'integer, {schema["minimum"]} to {schema["maximum"]}'
        return f'integer, at least {schema["minimum"]}'
    return name


def _string(schema: Schema) -> str:
    known = {'uuid': 'uuid', 'date-time': 'time', 'regex': 'regular '
             'expression'}  # fmt: skip
    if schema.get('format') in known:
        return known[schema['format']]
    if re.match(r'\^\(?\[[01]-9\]', schema.get('pattern', '')):
        return 'number'
    longest = schema.get('maxLength')
    return f'string, at most {longest}' if longest else 'string'


def _plural(words: str) -> str:
    return words if ' ' in words else f'{words}s'


def _words(allowed: list[Any]) -> str:
    """The many ways to write a boolean are told as one."""
    rest = [word for word in allowed if str(word) not in _BOOLEANS]
    told = ['boolean'] if len(rest) < len(allowed) else []
    if len(rest) > _MANY_WORDS:
        return 'word'
    told += ['empty text' if word == '' else
             'null' if word is None else f'``{word}``'
             for word in rest]  # fmt: skip
    return ' or '.join([', '.join(told[:-1]), told[-1]] if told[1:] else told)


_BOOLEANS = frozenset(
    {
        'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes',
        'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no',
    }
)  # fmt: skip
