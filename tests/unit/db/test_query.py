"""Conditions and values, as SQL text and without a database."""

import enum

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from livemig.db.models import ACTIONS, INSTANCES, MIGRATIONS
from livemig.db.rows import query


def sql(condition, dialect=sqlite):
    return str(condition.compile(dialect=dialect.dialect()))


class Word(enum.StrEnum):
    ACTIVE = 'active'


# -- values -----------------------------------------------------------------
def test_values_become_plain():
    ready = query.to_store(
        INSTANCES,
        {
            'vm_state': Word.ACTIVE,
            'host': None,
            'flavor': {'a': None},
            'launched_at': '2026-01-01T00:00:00Z',
        },
    )
    assert type(ready['vm_state']) is str
    assert ready['host'] is None
    assert ready['flavor'] == {'a': None}
    assert ready['launched_at'].year == 2026


def test_texts_that_no_database_takes_are_mended():
    ready = query.to_store(ACTIONS, {'message': 'a\0b \udcff'})
    assert ready['message'] == 'a\N{REPLACEMENT CHARACTER}b ?'


def test_integers_are_as_wide_as_their_column():
    assert query.to_store(MIGRATIONS, {'memory_total': 2**62})
    for values in ({'memory_total': 2**63}, {'timeout_s': 2**31}):
        with pytest.raises(ValueError, match='range'):
            query.to_store(MIGRATIONS, values)


def test_what_the_store_maintains_is_its_own():
    for name in query.MAINTAINED & {c.name for c in INSTANCES.columns}:
        with pytest.raises(ValueError, match='maintained'):
            query.to_store(INSTANCES, {name: None})


# -- conditions -------------------------------------------------------------
@pytest.mark.parametrize(
    ('wanted', 'text'),
    [
        ('a', 'instances.host = ?'),
        (['a'], 'instances.host = ?'),
        (None, 'instances.host IS NULL'),
        ([None], 'instances.host IS NULL'),
        ([None, 'a'], 'instances.host IS NULL OR instances.host = ?'),
    ],
)
def test_matches(wanted, text):
    assert sql(query.matches(INSTANCES.c.host, wanted)) == text


def test_no_value_is_part_of_the_text():
    evil = "x' OR '1'='1"
    for wanted in (evil, [evil, 'b']):
        assert evil not in sql(query.matches(INSTANCES.c.host, wanted))
    with pytest.raises(ValueError, match='no column'):
        query.conditions(INSTANCES, {evil: 1})
    with pytest.raises(ValueError, match='no column'):
        query.sort_columns(INSTANCES, [(evil, 'asc')])


def test_only_sqlite_gets_the_hint():
    filters = {'changes_since': '2026-01-01T00:00:00Z'}
    [many] = query.conditions(MIGRATIONS, filters, few_changed=False)
    assert sql(many) == 'likely(migrations.updated_at >= ?)'
    [condition] = query.conditions(MIGRATIONS, filters)
    assert sql(condition) == 'unlikely(migrations.updated_at >= ?)'
    for dialect in (postgresql, mysql):
        text = sql(condition, dialect)
        assert text.startswith('(migrations.updated_at >= %')
        assert '= 1' not in text


# -- order ------------------------------------------------------------------
def test_id_makes_the_order_total():
    keys = query.sort_columns(INSTANCES, [('host', 'desc')])
    assert keys == [(INSTANCES.c.host, True), (INSTANCES.c.id, True)]
    keys = query.sort_columns(INSTANCES, [('id', 'asc'), ('host', 'asc')])
    assert [col.name for col, _ in keys] == ['id', 'host']


def test_null_is_the_smallest():
    keys = query.sort_columns(INSTANCES, [('host', 'asc')])
    order = ', '.join(sql(part) for part in query.order_by(keys))
    assert order == (
        'instances.host IS NOT NULL, instances.host, instances.id'
    )


def test_a_page_begins_by_a_bound_that_an_index_can_use():
    keys = query.sort_columns(
        MIGRATIONS, [('created_at', 'desc'), ('id', 'desc')]
    )
    marker = {'created_at': '2026-01-01T00:00:00Z', 'id': 7}
    assert sql(query.after(keys, marker)) == (
        'migrations.created_at <= ? AND (migrations.created_at < ? OR '
        'migrations.created_at = ? AND migrations.id < ?)'
    )


def test_select_without_limit_and_marker():
    keys = query.sort_columns(MIGRATIONS, [('id', 'asc')])
    page = query.select_page(MIGRATIONS, [sa.true()], keys, None, None)
    assert 'LIMIT' not in sql(page)
