"""The reference of the API: its tables are the records', its examples are
what really goes over the wire, and each field has a meaning."""

from __future__ import annotations

import re

import genapiref
import pytest

from livemig.api import meanings
from livemig.api.meanings import refusals
from livemig.api.operations import OPERATIONS
from tests.functional.api import recorded

GENERATED = genapiref.render()
TABLES: dict[str, dict[str, str]] = {
    **meanings.FIELDS,
    **meanings.PARAMETERS,
}

each = pytest.mark.parametrize('record', OPERATIONS, ids=lambda o: o.name)


def properties(record):
    """Of all versions: (kind, path)."""
    return {
        (kind, path)
        for kind, since in (
            (meanings.QUERY, record.query),
            (meanings.REQUEST, record.request),
            (meanings.RESPONSE, record.response),
        )
        for _first, schema in since
        for path, _of_one in meanings.walk(schema)
        if path[-1] != meanings.ANY_KEY
    }


# -- the words --------------------------------------------------------------
@each
def test_each_field_and_parameter_has_a_meaning(record) -> None:
    silent = [
        found
        for found in properties(record)
        if meanings.meaning(record, *found) is None
    ]
    assert silent == []


def test_no_word_is_about_nothing() -> None:
    """A text may stand in several tables; one of them is used."""
    used = {
        meanings.meaning(record, *found)
        for record in OPERATIONS
        for found in properties(record)
    }
    told = {text for table in TABLES.values() for text in table.values()}
    other_parameters = {TABLES['images query']['*']}
    assert told - used == other_parameters


def test_no_refusal_is_about_nothing() -> None:
    met = {error for record in OPERATIONS for error in record.errors}
    told = {error for table in refusals.REFUSALS.values() for error in table}
    assert told == met
    known = {'', *(record.name for record in OPERATIONS)}
    known |= {record.name.partition(':')[0] for record in OPERATIONS}
    assert refusals.REFUSALS.keys() <= known


def test_words_are_sentences() -> None:
    for table in (*TABLES.values(), *refusals.REFUSALS.values()):
        for text in table.values():
            assert re.search(r'[.]$', text), text
            assert text.count('``') % 2 == 0, text


def test_the_word_of_an_operation_wins() -> None:
    (create,) = (one for one in OPERATIONS if one.name == 'servers:create')
    asked, told = (
        meanings.meaning(create, kind, ('server', 'adminPass'))
        for kind in (meanings.REQUEST, meanings.RESPONSE)
    )
    assert asked is not None
    assert told is not None
    assert asked != told


# -- the pages --------------------------------------------------------------
@pytest.mark.parametrize('name', GENERATED)
def test_the_tables_are_the_records(name: str) -> None:
    kept = (genapiref.DIRECTORY / name).read_text('utf-8')
    assert kept == GENERATED[name], 'run tools/genapiref.py'


def test_each_operation_is_on_one_page() -> None:
    told = [
        one.name
        for page in genapiref.PAGES
        for one in genapiref.operations_of(page)
    ]
    assert sorted(told) == sorted(one.name for one in OPERATIONS)


def test_each_page_is_reached_and_has_its_tables() -> None:
    index = (genapiref.DIRECTORY / 'index.rst').read_text('utf-8')
    assert '.. include:: operations.inc' in index
    for page in genapiref.PAGES:
        assert f'\n   {page}\n' in index
        text = (genapiref.DIRECTORY / f'{page}.rst').read_text('utf-8')
        assert f'.. include:: {page}.inc' in text


def test_a_page_has_what_people_look_for() -> None:
    page = GENERATED['live-migration.inc']
    start = page.index('.. _api-server-migrations-abort:')
    abort = page[start : page.index('.. _api-', start + 1)]
    for text in (
        'DELETE /v2.1/servers/{server_id}/migrations/{migration_id}',
        ':Versions: 2.24 and later',
        ':Rights: ``os_compute_api:servers:migrations:delete`` (admin)',
        ':Success: 202 Accepted',
        'The server is locked.',
        'server_migrations-abort.txt',
    ):
        assert text in abort


def test_the_script_sees_a_table_that_is_out_of_date(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(genapiref, 'DIRECTORY', tmp_path)
    assert genapiref.main(['--check']) == 1
    assert genapiref.main([]) == 0
    assert genapiref.main(['--check']) == 0
    page = tmp_path / 'zones.inc'
    page.write_text(page.read_text('utf-8') + 'more', 'utf-8')
    capsys.readouterr()
    assert genapiref.main(['--check']) == 1
    assert 'zones.inc is out of date' in capsys.readouterr().out
    assert genapiref.main(['--colour']) == 2


# -- the examples -----------------------------------------------------------
@each
def test_the_example_is_what_happens(record) -> None:
    kept = recorded.file_of(record).read_text('utf-8')
    assert kept == recorded.record(record), 'run tools/genapiref.py --examples'


def test_there_is_no_example_of_anything_else() -> None:
    kept = set(recorded.DIRECTORY.iterdir())
    assert kept == {recorded.file_of(record) for record in OPERATIONS}
