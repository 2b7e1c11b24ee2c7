"""What the schemas' words mean."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemig.api import validation
from livemig.api.validation import Checker, InvalidInput


def fits(schema, value) -> bool:
    try:
        Checker(schema).check(value, 'it')
    except InvalidInput:
        return False
    return True


#: Nova's own list.
WORDS = (
    'True TRUE true 1 ON On on YES Yes yes '
    'False FALSE false 0 OFF Off off NO No no'
)


def test_booleans() -> None:
    words = WORDS.split()
    for good in (True, False, *words):
        assert fits(validation.BOOLEAN, good)
    for bad in (0, 1, None, '', 'TrUe', 'y', 't', [], 1.0):
        assert not fits(validation.BOOLEAN, bad)
    assert [validation.is_true(word) for word in words] == (
        [True] * 10 + [False] * 10
    )
    assert validation.is_true(True)
    assert not validation.is_true(None)


@pytest.mark.parametrize(
    ('host', 'good'),
    [
        ('h', True), ('host-1_a.B', True), ('h' * 255, True),
        ('', False), ('h' * 256, False), ('a b', False), ('a/b', False),
        ('h\n', False), ('\nh', False), ('hö', False), ('h\0', False),
        (None, False), (1, False), ('[::1]', False),
    ],
)  # fmt: skip
def test_hosts(host, good) -> None:
    assert fits(validation.HOST, host) is good


@pytest.mark.parametrize(
    ('text', 'good'),
    [
        ('0', True), ('1000', True), ('9' * 6000, True),
        ('', False), ('-1', False), ('1.0', False), ('x', False),
        ('1\n', False), ('١', False), ('+1', False), (' 1', False),
    ],
)  # fmt: skip
def test_limits(text, good) -> None:
    assert fits(validation.LIMIT, text) is good


@pytest.mark.parametrize(
    ('text', 'good'),
    [
        ('2026-01-01T00:00:00Z', True),
        ('2026-01-01T00:00:00.123456', True),
        ('2026-01-01T02:00:00+02:00', True),
        ('2026-01-01', True),
        ('yesterday', False),
        ('', False),
        ('2026-13-01', False),
        ('0001-01-01T00:00:00+23:00', False),
    ],
)
def test_times(text, good) -> None:
    assert fits(validation.TIME, text) is good


def test_times_become_utc() -> None:
    assert validation.parse_time('2026-01-01T02:00:00+02:00') == (
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    )
    assert validation.parse_time('2026-01-01').tzinfo == datetime.UTC


def test_the_error_names_place_and_reason() -> None:
    schema = validation.closed(
        {'a': {'type': 'array', 'items': {'enum': [1]}}}
    )
    with pytest.raises(InvalidInput, match=r'it\.a\[1\]: 2 is none of'):
        Checker(schema).check({'a': [1, 2]}, 'it')


def test_the_error_is_short() -> None:
    with pytest.raises(InvalidInput) as caught:
        Checker({'type': 'integer'}).check('x' * 100000, 'y' * 1000)
    assert len(caught.value.message) < 500


def told_of_query(schema, query) -> str:
    with pytest.raises(InvalidInput) as caught:
        Checker(schema).check_query(query)
    return caught.value.message


def told_of_body(schema, body) -> str:
    with pytest.raises(InvalidInput) as caught:
        Checker(schema).check(body, 'it')
    return caught.value.message


_NUMBERS = {'anyOf': [{'type': 'integer'}, {'type': 'array', 'items': {}}]}


@pytest.mark.parametrize(
    ('query', 'reason'),
    [
        ({'bogus': '1'}, ': unknown parameter bogus; known: limit, name.'),
        (
            {'b': '1', 'a': ['1', '2']},
            ': unknown parameters a, b; known: limit, name.',
        ),
        ({'a b': '1'}, ": unknown parameter 'a b'; known: limit, name."),
        ({'_a': ['1', '2']}, ': unknown parameter _a.'),
        ({'limit': ['1', '2']}, ': limit may be given only once.'),
        ({'name': ['1', '2']}, ".name[0]: '1' is none of ['a', 'b']"),
    ],
)
def test_what_is_wrong_with_a_query(query, reason) -> None:
    words = {'enum': ['a', 'b']}
    schema = {
        **validation.closed(
            {
                'limit': validation.LIMIT,
                'name': {'anyOf': [words, {'type': 'array', 'items': words}]},
                'joined': validation.NO,
            }
        ),
        'patternProperties': {'^_': validation.NO},
    }
    assert told_of_query(schema, query) == (
        f'Invalid input for the query{reason}'
    )


@pytest.mark.parametrize(
    ('body', 'reason'),
    [
        ({'c': 1}, 'it: unknown key c; known: a, b.'),
        ({'a': {'b': 1, 'c': 2}}, 'it.a: unknown keys b, c.'),
        ({'b': 'x'}, "it.b: 'x' is not of type integer or array"),
        ('x', "it: 'x' is not of type null or object"),
    ],
)
def test_what_is_wrong_with_a_body(body, reason) -> None:
    """Also where there are several forms, of which it has none."""
    closed = validation.closed({'a': validation.closed({}), 'b': _NUMBERS})
    told = told_of_body({'anyOf': [{'type': 'null'}, closed]}, body)
    assert told == f'Invalid input for {reason}'


def test_of_many_names_only_those_that_are_alike_are_told() -> None:
    many = validation.closed({f'name_{n}': {} for n in range(9)})
    assert told_of_body(many, {'nam_7': 1, 'zzz': 1}).endswith(
        'unknown keys nam_7, zzz; did you mean name_7?'
    )
    wrong = {f'z{n}': 1 for n in range(1000)}
    assert told_of_body(many, wrong).endswith(
        'unknown keys z0, z1, z10, z100, z101 and more.'
    )


def test_the_value_leaves_room_for_what_is_wrong_with_it() -> None:
    schema = {'type': 'string', 'maxLength': 255}
    assert told_of_body(schema, 'x' * 256).endswith('xxx... is too long')


def test_query() -> None:
    read = validation.read_query
    assert read('') == {}
    assert read('a=1&b=&c') == {'a': '1', 'b': '', 'c': ''}
    assert read('a=1&a=2&a=3') == {'a': ['1', '2', '3']}
    assert read('a=%C3%A9+b') == {'a': 'é b'}
    # Octets that a client did not quote, as WSGI hands them on.
    assert read('é='.encode().decode('latin-1')) == {'é': ''}


@pytest.mark.parametrize('raw', ['a=\xe9', 'a=%e9', 'a=\0', '%00=a', 'a=é€'])
def test_queries_that_are_none(raw) -> None:
    with pytest.raises(InvalidInput, match='the query'):
        validation.read_query(raw)


@pytest.mark.parametrize('number', ['1e999', '-1e999', 'NaN', '-Infinity'])
def test_numbers_that_are_none(number) -> None:
    with pytest.raises(InvalidInput, match='it is not JSON'):
        validation.read_json(f'{{"a": [{number}]}}'.encode())
    assert validation.read_json(b'[1e308, -1.5]') == [1e308, -1.5]


def test_a_backslash_is_no_nul() -> None:
    read = validation.read_json
    assert read(rb'{"a": "\\u0000"}') == {'a': r'\u0000'}
    for raw in (rb'{"a": "\u0000"}', rb'{"\\\u0000": 1}', rb'["b\\\\\u0000"]'):
        with pytest.raises(InvalidInput, match='NUL'):
            read(raw)


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused(raw) -> None:
    try:
        validation.read_json(raw)
    except InvalidInput as error:
        assert len(error.message) < 400


@given(st.text(max_size=200))
def test_any_query_is_read_or_refused(raw) -> None:
    try:
        found = validation.read_query(raw)
    except InvalidInput:
        return
    assert all('\0' not in name for name in found)
