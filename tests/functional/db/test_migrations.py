"""Migrations as the Store promises them."""

import pytest

from livemig import exception
from livemig.objects.migration_states import Status

ACTION = {'action': 'live-migration', 'request_id': 'req-1'}


def ids(rows):
    return [row['id'] for row in rows]


# -- begin ------------------------------------------------------------------
def test_begin_changes_all_three(db, make_instance):
    make_instance()
    row = db.migration_begin(
        'one',
        {'task_state': 'migrating'},
        {'task_state': None, 'vm_state': ['active', 'paused']},
        {
            'status': Status.ACCEPTED,
            'migration_type': 'live-migration',
            'plan': {'steps': [1, 2]},
            'memory_total': 2**40,
            'block_migration': None,
        },
        ACTION,
    )
    assert row['id'] > 0
    assert len(row['uuid']) == 36
    assert row['instance_uuid'] == 'one'
    assert row['status'] == 'accepted'
    assert row['plan'] == {'steps': [1, 2]}
    assert row['memory_total'] == 2**40
    assert (row['hidden'], row['forced']) == (False, False)
    assert row['updated_at'] is None
    assert db.migration_get(row['id']) == row
    assert db.instance_get('one')['task_state'] == 'migrating'
    assert db.action_get('one', 'req-1')['action'] == 'live-migration'


def test_begin_of_the_unexpected_does_nothing(db, make_instance):
    before = make_instance(task_state='deleting')
    for uuid in ('one', 'two'):
        assert (
            db.migration_begin(
                uuid,
                {'task_state': 'migrating'},
                {'task_state': None},
                {'status': 'accepted'},
                ACTION,
            )
            is None
        )
    assert db.instance_get('one') == before
    assert db.migration_list({}) == []
    assert db.action_get('one', 'req-1') is None


def test_begin_of_the_same_request_keeps_its_action(db, make_migration):
    first = make_migration()
    second = make_migration()
    assert first['id'] != second['id']
    assert len(db.action_list('one', {})) == 2  # create, live-migration


# -- update, fire -----------------------------------------------------------
def test_update_is_guarded(db, make_migration, now):
    row = make_migration(status='running')
    asked = now.forward(seconds=1)
    values = {'abort_requested_at': asked, 'abort_requested_by': 'u'}
    guard = {'status': ['queued', 'running'], 'abort_requested_at': None}
    won = db.migration_update(row['id'], values, guard)
    assert won['abort_requested_at'] == asked
    assert won['updated_at'] > asked
    assert db.migration_update(row['id'], values, guard) is None
    again = db.migration_update(
        row['id'],
        {'abort_requested_at': None, 'elapsed_s': 0.1234567890123},
        {'abort_requested_at': asked},
    )
    assert again['abort_requested_at'] is None
    assert again['elapsed_s'] == 0.1234567890123


def test_fire_swaps_the_status(db, make_migration):
    row = make_migration()
    fired = db.migration_fire(
        row['id'], 'accepted', {'status': 'queued', 'source_compute': 'a'}
    )
    assert (fired['status'], fired['source_compute']) == ('queued', 'a')
    lost = db.migration_fire(row['id'], 'accepted', {'status': 'error'})
    assert lost is None
    assert db.migration_get(row['id']) == fired


def test_fire_changes_the_instance_only_if_it_won(
    db, make_instance, make_migration
):
    make_instance(task_state='migrating')
    row = make_migration()
    clear = ({'task_state': None}, {'task_state': 'migrating'})
    assert not db.migration_fire(
        row['id'], 'running', {'status': 'failed'}, *clear
    )
    assert db.instance_get('one')['task_state'] == 'migrating'
    assert db.migration_fire(
        row['id'], 'accepted', {'status': 'error'}, *clear
    )
    assert db.instance_get('one')['task_state'] is None


def test_an_instance_that_changed_or_went_stops_no_end(
    db, make_instance, make_migration
):
    make_instance(task_state='deleting')
    clear = ({'task_state': None}, {'task_state': 'migrating'})
    row = make_migration()
    assert db.migration_fire(
        row['id'], 'accepted', {'status': 'error'}, *clear
    )
    assert db.instance_get('one')['task_state'] == 'deleting'
    row = make_migration()
    db.instance_destroy('one')
    fired = db.migration_fire(
        row['id'], 'accepted', {'status': 'error'}, {'task_state': 'x'}
    )
    assert fired['status'] == 'error'
    assert db.instance_get('one', deleted=True)['task_state'] is None


def test_fire_needs_a_status(db, make_migration):
    with pytest.raises(ValueError, match='status'):
        db.migration_fire(make_migration()['id'], 'accepted', {})


@pytest.mark.parametrize('number', [-1, 0, 99, 2**31, 10**30])
def test_ids_that_are_none(db, number):
    assert db.migration_get(number) is None
    assert db.migration_update(number, {'reason': 'x'}) is None
    assert db.migration_fire(number, 'accepted', {'status': 'error'}) is None
    assert db.migration_list({'id': number}) == []


# -- the list ---------------------------------------------------------------
@pytest.fixture
def three(db, make_migration):
    return [
        make_migration('one', source_compute='a', dest_compute='b'),
        make_migration(
            'two', source_compute='b', dest_compute='c', status='running'
        ),
        make_migration('one', source_compute='c', project_id='p'),
    ]


@pytest.mark.parametrize(
    ('filters', 'found'),
    [
        ({}, [2, 1, 0]),
        ({'host': 'b'}, [1, 0]),
        ({'host': ['a', 'c']}, [2, 1, 0]),
        ({'host': 'b', 'status': 'running'}, [1]),
        ({'status': ['accepted', Status.ERROR]}, [2, 0]),
        ({'instance_uuid': 'one'}, [2, 0]),
        ({'project_id': 'p'}, [2]),
        ({'dest_compute': None}, [2]),
        ({'hidden': True}, []),
        ({'migration_type': "x' OR 1=1 --"}, []),
    ],
)
def test_filters(db, three, filters, found):
    assert ids(db.migration_list(filters)) == ids([three[n] for n in found])


def test_filters_that_cannot_be(db):
    for filters in ({'colour': 'red'}, {'plan': {}}, {'name': 'x'}):
        with pytest.raises(ValueError, match='migrations'):
            db.migration_list(filters)


def test_changes(db, three, now):
    now.forward(seconds=1)
    first = db.migration_update(three[0]['id'], {'reason': 'x'})
    now.forward(seconds=1)
    second = db.migration_update(three[2]['id'], {'reason': 'x'})
    since = db.migration_list({'changes_since': second['updated_at']})
    before = db.migration_list({'changes_before': first['updated_at']})
    assert (ids(since), ids(before)) == ([three[2]['id']], [three[0]['id']])


def test_pages_with_equal_times(db, make_migration, now):
    same = now.value
    db._now = lambda: same
    made = [make_migration(status=s) for s in ['error', 'running'] * 4]
    found, marker = [], None
    while page := db.migration_list(
        {'status': 'error'}, limit=3, marker=marker
    ):
        found += ids(page)
        marker = page[-1]['uuid']
    assert found == ids(made[-2::-2])


def test_markers(db, three):
    page = db.migration_list({}, marker=three[1]['uuid'])
    assert ids(page) == [three[0]['id']]
    assert db.migration_list({}, limit=0) == []
    for marker in ('x', str(three[1]['id'])):
        with pytest.raises(exception.MarkerNotFound):
            db.migration_list({}, marker=marker)


def test_an_id_is_never_given_again(db, make_migration, now):
    """It is part of an URL; SQLite would, without AUTOINCREMENT."""
    row = make_migration(status='failed')
    assert db.purge(now.forward(days=1))['migrations'] == 1
    assert make_migration()['id'] > row['id']
