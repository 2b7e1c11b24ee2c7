"""Schemas become tables that people can read."""

import apitables
import pytest

from livemig.api.action import Operation
from livemig.api.fields import LINKS
from livemig.api.microversion import LATEST
from livemig.api.microversion import Microversion as V
from livemig.api.validation import BOOLEAN, HOST, MANY, TIME, UUID, closed
from livemig.policy import ANY_USER, Rule

INT = {'type': 'integer'}
TEXT = {'type': 'string'}


@pytest.mark.parametrize(
    ('first', 'last', 'told'),
    [
        (V(2, 1), LATEST, ''),
        (V(2, 23), LATEST, '2.23 and later'),
        (V(2, 1), V(2, 52), 'up to 2.52'),
        (V(2, 30), V(2, 67), '2.30 - 2.67'),
        (V(2, 30), V(2, 30), '2.30'),
    ],
)
def test_versions(first, last, told):
    assert apitables.versions(first, last) == told


@pytest.mark.parametrize(
    ('schema', 'told'),
    [
        ({}, 'anything'),
        (UUID, 'uuid'),
        (TIME, 'time'),
        (BOOLEAN, 'boolean'),
        ({'enum': [*BOOLEAN['enum'], 'auto']}, 'boolean or ``auto``'),
        ({'enum': ['', None]}, 'empty text or null'),
        ({'enum': ['a', 'b', 'c']}, '``a``, ``b`` or ``c``'),
        ({'enum': [f'w{n}' for n in range(40)]}, 'word'),
        (HOST, 'string, at most 255'),
        ({'anyOf': [{'type': 'null'}, UUID]}, 'null or uuid'),
        ({'type': ['string', 'null']}, 'string or null'),
        (MANY, 'string (several)'),
        ({'type': 'string', 'pattern': '^[0-9]+$'}, 'number'),
        ({'type': 'integer', 'minimum': 1, 'maximum': 9}, 'integer, 1 to 9'),
        ({'type': 'array', 'maxItems': 0}, 'empty list'),
        ({'type': 'array', 'items': INT}, 'list of integers'),
        ({'type': 'object', 'maxProperties': 0}, 'empty object'),
        (LINKS, 'list of links'),
    ],
)
def test_types(schema, told):
    assert apitables.type_of(schema) == told


def operation(**more):
    return Operation(
        name='services:index',
        method='GET',
        path='/',
        summary='List.',
        handler=lambda call: None,
        policy=Rule('rule', ANY_USER, 'List.'),
        success=200,
        **more,
    )


def rows(since, kind='response', **more):
    return [
        (row.name, row.type, row.versions)
        for row in apitables.fields(operation(**more), kind, since)
    ]


def test_a_field_has_the_versions_in_which_it_is_there():
    since = (
        (V(2, 1), closed({'id': INT, 'old': TEXT}, 'id')),
        (V(2, 53), closed({'id': UUID}, 'id')),
        (V(2, 200), closed({'id': UUID, 'own': TEXT}, 'id')),
    )
    assert rows(since) == [
        ('id', 'integer', 'up to 2.52'),
        ('id', 'uuid', '2.53 and later'),
        ('old', 'string', 'up to 2.52'),
        ('own', 'string', '2.200 and later'),
    ]


def test_versions_before_the_operation_s_first_do_not_count():
    since = ((V(2, 1), closed({'a': INT})), (V(2, 30), closed({'b': INT})))
    assert rows(since, first=V(2, 30)) == [('b', 'integer', '')]


def test_what_is_in_an_object_stands_below_it():
    schema = closed(
        {
            'services': {
                'type': 'array',
                'items': closed({'id': INT, 'host': TEXT}, 'id'),
            },
            'services_links': LINKS,
        },
        'services',
    )
    found = apitables.fields(operation(), 'response', ((V(2, 1), schema),))
    (_, outer), (heading, inner) = apitables.parts(found)
    assert [row.name for row in outer] == ['services', 'services_links']
    assert heading == 'In the list ``services``, each:'
    assert [row.title('response') for row in inner] == [
        '``id``',
        '``host`` (optional)',
    ]


def test_rows_that_say_the_same_become_one():
    given = [['a', 'x', 'y'], ['b', 'z', 'y'], ['c', 'x', 'y']]
    assert apitables.joined(given) == [['a, c', 'x', 'y'], ['b', 'z', 'y']]


def test_a_table():
    assert apitables.table([['a', 'b'], ['', 'c\nd']], (1, 2))[4:] == [
        '',
        '   * - a',
        '     - b',
        '   * -',
        '     - c\n       d',
    ]
