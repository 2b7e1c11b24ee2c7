"""Flavors of the API as the Store promises them."""

import pytest

from livemig import exception

SMALL = {
    'flavor_id': 'small',
    'name': 'a small one',
    'ram_mib': 512,
    'vcpus': 1,
}


def test_create_and_get(db, now):
    row = db.flavor_create(SMALL)
    assert {key: row[key] for key in SMALL} == SMALL
    assert (row['disk_gib'], row['ephemeral_gib'], row['swap_mib']) == (
        0,
        0,
        0,
    )
    assert (row['is_public'], row['description']) == (True, None)
    assert (row['created_at'], row['updated_at']) == (now.value, None)
    assert db.flavor_get('small') == row
    assert db.flavor_list() == [row]
    # Letter by letter.
    assert db.flavor_get('Small') is None


@pytest.mark.parametrize(
    'other', [{'name': 'another'}, {'flavor_id': 'another'}]
)
def test_an_id_or_a_name_that_is_taken(db, other):
    first = db.flavor_create(SMALL)
    with pytest.raises(exception.FlavorExists, match='small'):
        db.flavor_create({**SMALL, **other})
    assert db.flavor_list() == [first]


def test_update(db):
    first = db.flavor_create(SMALL)
    row = db.flavor_update('small', {'description': 'x' * 65535})
    assert row == {
        **first,
        'description': 'x' * 65535,
        'updated_at': row['updated_at'],
    }
    assert row['updated_at'] > first['created_at']
    assert db.flavor_update('small', {'description': None})[
        'description'
    ] is None  # fmt: skip
    assert db.flavor_update('large', {'description': 'x'}) is None


def test_extra_specs(db):
    db.flavor_create(SMALL)
    row = db.flavor_extra_specs('small', {'a': '1', 'b': '2'})
    assert row['extra_specs'] == {'a': '1', 'b': '2'}
    row = db.flavor_extra_specs('small', {'b': '3', 'c': '4'}, ['a', 'x'])
    assert row['extra_specs'] == {'b': '3', 'c': '4'}
    assert db.flavor_get('small')['extra_specs'] == {'b': '3', 'c': '4'}
    assert db.flavor_extra_specs('large', {'a': '1'}) is None


def test_destroy(db):
    first = db.flavor_create(SMALL)
    assert db.flavor_destroy('small') is True
    assert db.flavor_destroy('small') is False
    assert db.flavor_get('small') is None
    # Its names are free again; its row's number is not.
    assert db.flavor_create(SMALL)['id'] > first['id']
