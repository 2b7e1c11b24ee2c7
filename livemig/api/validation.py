"""Decides whether a body or query has the form its schema asks for."""

from __future__ import annotations

import datetime
import difflib
import functools
import json
import math
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import jsonschema.protocols
import jsonschema.validators
from oslo_utils import timeutils, uuidutils

from livemig import exception

Schema = Mapping[str, Any]

JSON_TYPES = frozenset(
    {
        '',
        # A client that says nothing of it, by way of old libraries.
        'text/plain',
        'application/json',
        'application/vnd.openstack.compute+json',
    }
)

#: More pairs in a query than any client has a reason for.
MAX_QUERY_FIELDS = 500

# -- building blocks of the schemas -----------------------------------------
_TRUE = ('True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes')
_FALSE = ('False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No',
          'no')  # fmt: skip
BOOLEAN: Schema = {'enum': [True, False, *_TRUE, *_FALSE]}
BOOLEAN_WORD: Schema = {'enum': [*_TRUE, *_FALSE]}
HOST: Schema = {
    'type': 'string',
    'minLength': 1,
    'maxLength': 255,
    'pattern': '^[a-zA-Z0-9._-]+$',
}
UUID: Schema = {'type': 'string', 'format': 'uuid'}
NULLABLE_STRING: Schema = {'type': ['string', 'null']}
TIME: Schema = {'type': 'string', 'format': 'date-time'}
#: A query parameter that may come once.
ONCE: Schema = {'type': 'string'}
#: A query parameter that may come several times (any of).
MANY: Schema = {'type': ['string', 'array'], 'items': {'type': 'string'}}
LIMIT: Schema = {'type': 'string', 'pattern': '^[0-9]+$'}
PAGING: Mapping[str, Schema] = {'limit': LIMIT, 'marker': ONCE}


#: What no value suits.
NO: Schema = {'not': {}}


def closed(properties: Mapping[str, Schema], *required: str) -> Schema:
    """An object with these properties and no others."""
    return {
        'type': 'object',
        'properties': dict(properties),
        'required': list(required),
        'additionalProperties': False,
    }


def open_query(properties: Mapping[str, Schema]) -> Schema:
    """A query of which what is not known is ignored, as Nova did once."""
    return {'type': 'object', 'properties': dict(properties)}


class InvalidInput(exception.LivemigError):
    """What was sent has not the form it must have."""

    template = 'Invalid input for {where}: {reason}'


def is_true(value: object) -> bool:
    """The meaning of a value that BOOLEAN accepts."""
    return value is True or (isinstance(value, str) and value in _TRUE)


def parse_time(text: str) -> datetime.datetime:
    """A time from a query, aware UTC. :raises ValueError:"""
    parsed = timeutils.parse_isotime(text)
    utc: datetime.datetime = parsed.astimezone(datetime.UTC)
    return utc


# -- checking ---------------------------------------------------------------
_formats = jsonschema.FormatChecker(formats=())


@_formats.checks('uuid')
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or uuidutils.is_uuid_like(value)


@_formats.checks('date-time', raises=(ValueError, OverflowError))
def _is_time(value: object) -> bool:
    if isinstance(value, str):
        parse_time(value)
    return True


@_formats.checks('regex', raises=(re.error, OverflowError, RecursionError))
def _is_regex(value: object) -> bool:
    if isinstance(value, str):
        re.compile(value)
    return True


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # In Python "$" also matches before a line feed at the end; the JSON
    # Schema language knows no such exception.
    return re.compile(re.sub(r'\$$', r'\\Z', pattern), re.ASCII)


def _pattern(
    _validator: Any, pattern: str, value: object, _schema: Schema
) -> Iterator[jsonschema.ValidationError]:
    if isinstance(value, str) and not _compiled(pattern).search(value):
        yield jsonschema.ValidationError(
            f'{value!r} does not match {pattern!r}'
        )


def _is_boolean_alike(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _enum(
    _validator: Any, allowed: list[Any], value: object, _schema: Schema
) -> Iterator[jsonschema.ValidationError]:
    # In Python 1 == True; in JSON they are different things.
    if not any(_is_boolean_alike(value, one) for one in allowed):
        yield jsonschema.ValidationError(f'{value!r} is none of {allowed!r}')


_extend: Any = jsonschema.validators.extend
_Validator: Any = _extend(
    jsonschema.Draft202012Validator, {'pattern': _pattern, 'enum': _enum}
)


@functools.cache
def _validator_of(schema_text: str) -> Any:
    schema = json.loads(schema_text)
    _Validator.check_schema(schema)
    return _Validator(schema, format_checker=_formats)


class Checker:
    """A schema made ready for use; made once, at the start."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._validator = _validator_of(json.dumps(schema))

    def check(self, value: object, where: str) -> None:
        """:raises InvalidInput: naming the place and the reason."""
        error = self._first_error(value)
        if error is not None:
            raise _invalid(where, *_place_and_reason(error, 'key'))

    def check_query(self, query: Mapping[str, Any]) -> None:
        """As check(), in words that suit a query of read_query()."""
        error = self._first_error(query)
        if error is None:
            return
        path = list(error.absolute_path)
        if (
            len(path) == 1
            and isinstance(error.instance, list)
            and error.validator != 'not'
        ):
            # It is a list since it came twice. One that may come twice is
            # refused for one of its items, not as a whole.
            reason = f'{_named(path[0])} may be given only once.'
            raise _invalid('the query', [], reason)
        raise _invalid('the query', *_place_and_reason(error, 'parameter'))

    def _first_error(self, value: object) -> jsonschema.ValidationError | None:
        error: jsonschema.ValidationError | None = (
            jsonschema.exceptions.best_match(
                self._validator.iter_errors(value)
            )
        )
        while error is not None and (near := _nearest(error)):
            error = near
        return error


def _nearest(
    error: jsonschema.ValidationError,
) -> jsonschema.ValidationError | None:
    """Where a value has none of several forms: what is wrong with it as
    the one whose type it has."""
    for one in error.context or ():
        if one.path or one.validator != 'type':
            return one
    return None


_Path = list[int | str]


def _invalid(where: str, path: _Path, reason: str) -> InvalidInput:
    steps = ''.join(
        f'[{step}]' if isinstance(step, int) else f'.{step}' for step in path
    )
    return InvalidInput(
        where=_shortened(f'{where}{steps}', 120),
        reason=_shortened(reason, 300),
    )


def _place_and_reason(
    error: jsonschema.ValidationError, word: str
) -> tuple[_Path, str]:
    """Where it is and what is wrong there, in words for a client.

    :param word: what the names of what was sent are called.
    """
    path = list(error.absolute_path)
    if error.validator == 'additionalProperties':
        return path, _unknown_among(error, word)
    if error.validator == 'not' and path:
        # A name that no value suits.
        return path[:-1], f'unknown {word} {_named(path[-1])}.'
    # The value at length would leave no room for what is wrong with it.
    value = _shortened(repr(error.instance), 100)
    if error.context:
        types = ' or '.join(str(one.validator_value) for one in error.context)
        return path, f'{value} is not of type {types}'
    return path, error.message.replace(repr(error.instance), value)


def _unknown_among(error: jsonschema.ValidationError, word: str) -> str:
    schema: Any = error.schema
    sent: Any = error.instance
    properties = schema.get('properties', {})
    patterns = schema.get('patternProperties', ())
    unknown = sorted(
        name
        for name in sent
        if name not in properties
        and not any(_compiled(pattern).search(name) for pattern in patterns)
    )
    shown = ', '.join(_named(name) for name in unknown[:5])
    more = ' and more' if len(unknown) > 5 else ''
    plural = 's' if len(unknown) > 1 else ''
    known = [name for name in properties if properties[name] != NO]
    rather = _rather(unknown[:5], known)
    return f'unknown {word}{plural} {shown}{more}{rather}'


def _rather(unknown: list[str], known: list[str]) -> str:
    """What may have been meant: all there are, if they are few."""
    if 0 < len(known) <= 8:
        return f'; known: {", ".join(known)}.'
    near = {
        name
        for wrong in unknown
        for name in difflib.get_close_matches(wrong[:40], known, 1)
    }
    return f'; did you mean {", ".join(sorted(near))}?' if near else '.'


def _named(name: object) -> str:
    text = _shortened(str(name), 40)
    return text if _PLAIN.fullmatch(text) else repr(text)


_PLAIN = re.compile(r'[\w.:-]+')


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f'{text[: length - 3]}...'


# -- reading ----------------------------------------------------------------
def read_json(raw: bytes) -> Any:
    """What a body says. :raises InvalidInput: it is no (clean) JSON."""
    try:
        text = raw.decode('utf-8')
        body = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite
        )
        # Neither databases nor messages can carry halves of surrogate
        # pairs, nor NUL; the latter stands escaped in JSON.
        json.dumps(body, ensure_ascii=False).encode('utf-8')
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            where='the body',
            reason='it is not JSON.'
            if not raw.strip()
            else f'it is not JSON: {_shortened(str(error), 120)}',
        ) from None
    if _NUL.search(text):
        raise InvalidInput(where='the body', reason='it has a NUL character.')
    return body


#: After an even number of backslashes: those are backslashes themselves.
_NUL = re.compile(r'(?<!\\)(?:\\\\)*\\u0000')


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f'{digits[:40]} is beyond all numbers')
    return number


def _no_constant(word: str) -> Any:
    raise ValueError(f'{word} is no JSON')


def read_query(raw: str) -> dict[str, Any]:
    """The parameters of a query: a text, or a list if it came several
    times. :raises InvalidInput: no UTF-8, or too much of it."""
    try:
        # Octets that nobody quoted come as WSGI has them.
        pairs = urllib.parse.parse_qsl(
            raw.encode('latin-1').decode('utf-8'),
            keep_blank_values=True,
            errors='strict',
            max_num_fields=MAX_QUERY_FIELDS,
        )
    except ValueError as error:
        raise InvalidInput(
            where='the query', reason=_shortened(str(error), 120)
        ) from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if '\0' in name or '\0' in value:
            raise InvalidInput(
                where='the query', reason='it has a NUL character.'
            )
        before = found.get(name)
        if before is None:
            found[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    return found
