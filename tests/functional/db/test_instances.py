"""Instances as the Store promises them."""

import datetime
import itertools

import pytest

from livemig import exception
from livemig.objects.instance_states import VmState

UTC = datetime.UTC
CREATE = {'action': 'create', 'request_id': 'req-create'}


def uuids(rows):
    return [row['uuid'] for row in rows]


# -- create, read -----------------------------------------------------------
def test_create_keeps_values_and_the_action(db, now):
    before = now.value
    row = db.instance_create(
        {
            'uuid': 'one',
            'display_name': 'Küche \N{GRINNING FACE}',
            'vm_state': VmState.BUILDING,
            'power_state': 0,
            'flavor': {'id': '1', 'extra_specs': {}},
            'metadata': {'k': 'v'},
            'launched_at': '2026-01-02T03:04:05.678901+01:00',
        },
        {'action': 'create', 'request_id': 'req-1', 'user_id': 'u'},
    )
    assert row['display_name'] == 'Küche \N{GRINNING FACE}'
    assert row['vm_state'] == 'building'
    assert row['metadata'] == {'k': 'v'}
    assert row['flavor'] == {'id': '1', 'extra_specs': {}}
    assert row['image'] is None
    assert row['launched_at'] == datetime.datetime(
        2026, 1, 2, 2, 4, 5, 678901, tzinfo=UTC
    )
    assert row['created_at'] == before + datetime.timedelta(microseconds=1)
    assert row['created_at'].utcoffset() == datetime.timedelta(0)
    assert row['updated_at'] is None
    assert (row['deleted'], row['locked']) == (0, False)
    assert db.instance_get('one') == row
    [action] = db.action_list('one', {})
    assert action['action'] == 'create'
    assert action['user_id'] == 'u'


def test_create_invents_a_uuid(db):
    first = db.instance_create({}, CREATE)
    second = db.instance_create({}, CREATE)
    assert len(first['uuid']) == 36
    assert first['uuid'] != second['uuid']


def test_get_of_nothing(db):
    assert db.instance_get('none') is None
    assert db.instance_get('nu\0l') is None


# -- update -----------------------------------------------------------------
def test_update_sets_updated_at(db, make_instance, now):
    make_instance()
    now.forward(seconds=5)
    row = db.instance_update('one', {'progress': 7})
    assert row['progress'] == 7
    assert row['updated_at'] == now.value
    assert row['created_at'] < row['updated_at']


@pytest.mark.parametrize(
    ('expected', 'wins'),
    [
        ({'task_state': None}, True),
        ({'task_state': 'migrating'}, False),
        ({'task_state': [None, 'migrating']}, True),
        ({'vm_state': ['active', 'paused']}, True),
        ({'vm_state': {VmState.ACTIVE}, 'host': 'alpha'}, True),
        ({'vm_state': 'active', 'host': 'beta'}, False),
        ({'vm_state': []}, False),
        ({'locked': False}, True),
        ({'locked': True}, False),
    ],
)
def test_compare_and_swap(db, make_instance, expected, wins):
    make_instance()
    row = db.instance_update('one', {'task_state': 'deleting'}, expected)
    assert (row is not None) is wins
    assert db.instance_get('one')['task_state'] == (
        'deleting' if wins else None
    )


def test_an_update_that_changes_nothing_counts(db, make_instance):
    make_instance()
    assert db.instance_update('one', {'host': 'alpha'}, {'host': 'alpha'})
    assert db.instance_update('one', {}, {'host': 'alpha'})
    assert db.instance_update('two', {'host': 'alpha'}) is None


@pytest.mark.parametrize(
    'values',
    [
        {'colour': 'red'},
        {'id': 5},
        {'updated_at': None},
        {'deleted': 1},
        {'power_state': 'running'},
        {'power_state': 2**31},
        {'locked': 1},
        {'display_name': 'x' * 256},
        {'host': 7},
        {'launched_at': datetime.datetime(2026, 1, 1)},  # noqa: DTZ001
        {'launched_at': 'yesterday'},
    ],
)
def test_values_no_database_shall_see(db, make_instance, values):
    make_instance()
    with pytest.raises(ValueError, match='.'):
        db.instance_update('one', values)
    with pytest.raises(ValueError, match='.'):
        db.instance_create(values, CREATE)


def test_destroy(db, make_instance, now):
    row = make_instance(task_state='deleting')
    assert db.instance_destroy('one') is True
    assert db.instance_destroy('one') is False
    assert db.instance_destroy('two') is False
    assert db.instance_get('one') is None
    gone = db.instance_get('one', deleted=True)
    assert gone['deleted'] == row['id']
    assert (gone['vm_state'], gone['task_state']) == ('deleted', None)
    assert gone['deleted_at'] == gone['updated_at'] < now.value
    assert db.instance_update('one', {'host': 'beta'}) is None


# -- the list ---------------------------------------------------------------
@pytest.fixture
def three(db, make_instance, now):
    make_instance(
        'a', display_name='web-1', project_id='p1', flavor={'id': 'm1'}
    )
    make_instance(
        'b',
        display_name='web-2',
        project_id='p2',
        host='beta',
        flavor={'id': 'M1', 'name': 'm1'},
    )
    make_instance('c', display_name='db.1', project_id='p1')
    db.instance_update('b', {'task_state': 'migrating'})


@pytest.mark.parametrize(
    ('filters', 'found'),
    [
        ({}, 'cba'),
        ({'project_id': 'p1'}, 'ca'),
        ({'project_id': ['p1', 'p2']}, 'cba'),
        ({'project_id': 'P1'}, ''),
        ({'project_id': []}, ''),
        ({'host': 'beta', 'project_id': 'p2'}, 'b'),
        ({'task_state': None}, 'ca'),
        ({'uuid': ['a', 'c', 'x']}, 'ca'),
        ({'states': [['active', 'migrating']]}, 'b'),
        ({'states': [('active', None)]}, 'cba'),
        ({'states': [('paused', None), ('active', 'migrating')]}, 'b'),
        ({'states': []}, ''),
        ({'power_state': 2**40}, ''),
        ({'host': "beta' OR '1'='1"}, ''),
        ({'host': 'be\0ta'}, ''),
        ({'host': 'be\ud800ta'}, ''),
        ({'name': 'web'}, 'ba'),
        ({'name': '^web-[1]$'}, 'a'),
        ({'name': r'b\.1'}, 'c'),
        ({'name': '(db|x).1'}, 'c'),
        ({'name': 'WEB'}, ''),
        ({'name': ''}, 'cba'),
        ({'name': "'; DROP TABLE instances; --"}, ''),
        ({'name': '%'}, ''),
        ({'flavor_ids': ['m1']}, 'a'),
        ({'flavor_ids': ['m1', 'M1', '1']}, 'ba'),
        ({'flavor_ids': ['m1', 'be\0ta', '\ud800']}, 'a'),
        ({'flavor_ids': []}, ''),
        ({'deleted': True}, ''),
        ({'deleted': None}, 'cba'),
    ],
)
def test_filters(db, three, filters, found):
    assert uuids(db.instance_list(filters)) == list(found)


@pytest.mark.parametrize(
    'filters', [{'colour': 'red'}, {'metadata': {}}, {'host': 5}]
)
def test_filters_that_cannot_be(db, filters):
    with pytest.raises(ValueError, match='instances'):
        db.instance_list(filters)


@pytest.mark.parametrize('name', ['(', '*', '[z-a]', 'a\0', 'x' * 256])
def test_names_that_are_no_regular_expressions(db, three, name):
    with pytest.raises(ValueError, match='regular expression'):
        db.instance_list({'name': name})


def test_names_that_a_database_does_not_take(db, three, backend):
    """Right in Python and in PCRE, not in PostgreSQL."""
    name = '(?P<first>web-1)'
    if backend == 'postgresql':
        with pytest.raises(ValueError, match='regular expression'):
            db.instance_list({'name': name})
    else:
        assert uuids(db.instance_list({'name': name})) == ['a']


def test_a_name_of_null_matches_nothing(db, make_instance):
    make_instance(display_name=None)
    assert db.instance_list({'name': '.*'}) == []


def test_deleted_ones(db, three):
    db.instance_destroy('a')
    assert uuids(db.instance_list({})) == ['c', 'b']
    assert uuids(db.instance_list({'deleted': True})) == ['a']
    assert uuids(db.instance_list({'deleted': None})) == ['c', 'b', 'a']


def test_changes_are_by_updated_at_and_inclusive(db, make_instance, now):
    for name in 'abcd':
        make_instance(name)
    times = {}
    for name in 'abc':
        now.forward(seconds=10)
        times[name] = db.instance_update(name, {'progress': 1})['updated_at']
    db.instance_destroy('c')

    def changed(**filters):
        return uuids(db.instance_list(filters))

    assert changed(changes_since=times['b']) == ['c', 'b']
    assert changed(changes_before=times['b']) == ['b', 'a']
    assert changed(changes_since=times['b'].isoformat()) == ['c', 'b']
    late = times['b'] + datetime.timedelta(microseconds=1)
    assert changed(changes_since=late) == ['c']
    assert changed(changes_since=times['a'], deleted=False) == ['b', 'a']


# -- pages ------------------------------------------------------------------
def pages(db, limit, **kwargs):
    """All pages, as a client fetches them."""
    found, marker = [], None
    while page := db.instance_list(
        {'deleted': None}, limit=limit, marker=marker, **kwargs
    ):
        assert len(page) <= limit
        found += uuids(page)
        marker = page[-1]['uuid']
    return found


SORTS = [
    (('created_at', 'desc'), ('id', 'desc')),
    (('created_at', 'asc'),),
    (('host', 'asc'), ('created_at', 'desc')),
    (('host', 'desc'), ('power_state', 'asc')),
    (('power_state', 'desc'), ('host', 'desc'), ('id', 'asc')),
    (('locked', 'desc'), ('launched_at', 'asc')),
]


@pytest.mark.parametrize('limit', [1, 2, 100])
@pytest.mark.parametrize('sort_keys', SORTS)
def test_pages_hold_each_instance_once_and_in_order(db, sort_keys, limit):
    """Also with equal times and NULLs, which count as the smallest."""
    same = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    db._now = lambda: same
    combinations = itertools.product(
        ['beta', None, 'alpha'], [1, None], [True, False]
    )
    rows = [
        db.instance_create(
            {
                'host': host,
                'power_state': power_state,
                'locked': locked,
                'launched_at': same if locked and host else None,
            },
            CREATE,
        )
        for host, power_state, locked in combinations
    ]
    keys = list(sort_keys)
    if 'id' not in dict(keys):
        keys.append(('id', keys[-1][1]))
    for name, direction in reversed(keys):
        rows.sort(
            key=lambda row: (
                (row[name] is not None, row[name] or 0)
                if row[name] is not None
                else (False,)
            ),
            reverse=direction == 'desc',
        )
    assert pages(db, limit, sort_keys=sort_keys) == uuids(rows)


def test_no_sort_keys_is_newest_first(db, three):
    assert uuids(db.instance_list({}, sort_keys=())) == ['c', 'b', 'a']


def test_limits(db, three):
    assert uuids(db.instance_list({}, limit=2)) == ['c', 'b']
    assert db.instance_list({}, limit=0) == []


def test_markers(db, three):
    assert uuids(db.instance_list({}, marker='b')) == ['a']
    db.instance_destroy('b')
    assert uuids(db.instance_list({}, marker='b')) == ['a']
    with pytest.raises(exception.MarkerNotFound):
        db.instance_list({}, marker='x')
    with pytest.raises(exception.MarkerNotFound):
        db.instance_list({'project_id': 'p1'}, marker='b')


@pytest.mark.parametrize(
    'sort_keys', [[('colour', 'asc')], [('host', 'up')], [('flavor', 'asc')]]
)
def test_sort_keys_that_cannot_be(db, sort_keys):
    with pytest.raises(ValueError, match='.'):
        db.instance_list({}, sort_keys=sort_keys)


# -- faults -----------------------------------------------------------------
def test_the_latest_fault_of_each(db):
    long = 'x' * 100_000 + '\0 \ud800'
    for number in (1, 2):
        for uuid in 'ab':
            db.instance_fault_add(
                uuid, {'code': 500 + number, 'message': uuid, 'details': long}
            )
    db.instance_fault_add('c', {'code': 404, 'message': 'c', 'host': 'h'})
    faults = db.instance_faults(['a', 'c', 'x'])
    assert {f['instance_uuid']: f['code'] for f in faults} == {
        'a': 502,
        'c': 404,
    }
    assert (
        faults[0]['details'] == 'x' * 100_000 + '\N{REPLACEMENT CHARACTER} ?'
    )
    assert faults[0]['created_at'].tzinfo is not None
    assert db.instance_faults([]) == []


# -- an operation begins ----------------------------------------------------
def test_a_change_and_its_action_are_one(db, make_instance):
    """Somebody who sees the one sees the other."""
    make_instance(task_state=None, rescue=None)
    action = {'action': 'rescue', 'request_id': 'req-1', 'user_id': 'u'}
    asked = ({'task_state': 'rescuing', 'rescue': {'kernel': '/k'}},)
    row = db.instance_update('one', *asked, {'task_state': None}, action)
    assert row['rescue'] == {'kernel': '/k'}
    assert db.action_get('one', 'req-1')['user_id'] == 'u'
    again = {**action, 'request_id': 'req-2'}
    assert (
        db.instance_update('one', *asked, {'task_state': None}, again) is None
    )
    assert db.action_get('one', 'req-2') is None
