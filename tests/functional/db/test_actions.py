"""Instance actions and events as the Store promises them."""

import pytest

from livemig import exception


@pytest.fixture
def action(db):
    return db.action_start(
        {
            'instance_uuid': 'one',
            'action': 'live-migration',
            'request_id': 'req-1',
            'user_id': 'u',
            'project_id': 'p',
        }
    )


def events(db):
    return db.action_get('one', 'req-1')['events']


def test_start_keeps_what_was_asked(action, now):
    assert action['action'] == 'live-migration'
    assert action['message'] is None
    assert action['start_time'] == action['created_at'] == now.value
    assert action['updated_at'] == now.value


def test_the_same_request_twice_is_one(db, action):
    again = db.action_start(
        {'instance_uuid': 'one', 'action': 'other', 'request_id': 'req-1'}
    )
    assert again == action
    elsewhere = db.action_start(
        {'instance_uuid': 'two', 'action': 'other', 'request_id': 'req-1'}
    )
    assert elsewhere['id'] != action['id']


def test_unknown_columns(db):
    with pytest.raises(ValueError, match='instance_actions'):
        db.action_start({'colour': 'red'})


def test_get(db, action):
    assert db.action_get('one', 'req-1') == {**action, 'events': []}
    assert db.action_get('one', 'req-2') is None
    assert db.action_get('two', 'req-1') is None


def test_list_pages_newest_first(db, now):
    for number in range(5):
        now.forward(seconds=1)
        db.action_start(
            {
                'instance_uuid': 'one',
                'action': 'x',
                'request_id': f'r{number}',
            }
        )
    db.action_start(
        {'instance_uuid': 'two', 'action': 'x', 'request_id': 'other'}
    )

    def listed(filters=(), **kwargs):
        rows = db.action_list('one', dict(filters), **kwargs)
        return ' '.join(row['request_id'] for row in rows)

    assert listed() == 'r4 r3 r2 r1 r0'
    assert listed(limit=2) == 'r4 r3'
    assert listed(limit=2, marker='r3') == 'r2 r1'
    with pytest.raises(exception.MarkerNotFound):
        listed(marker='other')
    since = db.action_get('one', 'r3')['updated_at']
    assert listed({'changes_since': since}) == 'r4 r3'
    assert listed({'changes_before': since}) == 'r3 r2 r1 r0'
    now.forward(seconds=1)
    db.event_start('one', 'r0', {'event': 'e'})
    assert listed({'changes_since': since}) == 'r4 r3 r0'


# -- events -----------------------------------------------------------------
def test_an_event_from_start_to_end(db, action, now):
    started = now.forward(seconds=1)
    db.event_start(
        'one', 'req-1', {'event': 'e', 'host': 'a', 'start_time': started}
    )
    [event] = events(db)
    assert (event['event'], event['host']) == ('e', 'a')
    assert event['start_time'] == started
    assert (event['finish_time'], event['result']) == (None, None)
    ended = now.forward(seconds=1)
    db.event_finish(
        'one',
        'req-1',
        {
            'event': 'e',
            'host': 'a',
            'finish_time': ended.isoformat(),
            'result': 'Success',
            'details': 'd',
        },
    )
    [event] = events(db)
    assert event['finish_time'] == ended
    assert (event['result'], event['details']) == ('Success', 'd')
    after = db.action_get('one', 'req-1')
    assert after['message'] is None
    assert after['updated_at'] > action['updated_at']


def test_an_error_is_the_actions_message(db, action):
    db.event_start('one', 'req-1', {'event': 'e'})
    db.event_finish(
        'one', 'req-1', {'event': 'e', 'result': 'Error', 'traceback': 't'}
    )
    assert db.action_get('one', 'req-1')['message'] == 'Error'
    assert events(db)[0]['traceback'] == 't'
    assert events(db)[0]['finish_time'] is not None


def test_beginning_an_open_event_again_changes_nothing(db, action):
    db.event_start('one', 'req-1', {'event': 'e', 'host': 'a'})
    before = db.action_get('one', 'req-1')
    db.event_start('one', 'req-1', {'event': 'e', 'host': 'a'})
    assert db.action_get('one', 'req-1') == before
    db.event_start('one', 'req-1', {'event': 'e', 'host': 'b'})
    db.event_start('one', 'req-1', {'event': 'f', 'host': 'a'})
    assert [(e['event'], e['host']) for e in events(db)] == [
        ('f', 'a'),
        ('e', 'b'),
        ('e', 'a'),
    ]


def test_a_finished_event_may_begin_again(db, action):
    for result in ('Error', 'Success'):
        db.event_start('one', 'req-1', {'event': 'e', 'host': 'a'})
        db.event_finish(
            'one', 'req-1', {'event': 'e', 'host': 'a', 'result': result}
        )
    assert [e['result'] for e in events(db)] == ['Success', 'Error']


def test_what_is_not_open_is_not_ended(db, action):
    db.event_start('one', 'req-1', {'event': 'e', 'host': 'a'})
    before = db.action_get('one', 'req-1')
    for values in (
        {'event': 'e', 'host': 'b', 'result': 'Error'},
        {'event': 'e', 'result': 'Error'},
        {'event': 'f', 'host': 'a', 'result': 'Error'},
    ):
        db.event_finish('one', 'req-1', values)
    assert db.action_get('one', 'req-1') == before


def test_events_of_no_action_are_dropped(db, action):
    db.event_start('one', 'req-9', {'event': 'e'})
    db.event_finish('one', 'req-9', {'event': 'e', 'result': 'Error'})
    assert db.action_get('one', 'req-9') is None
    assert events(db) == []


def test_a_request_and_its_action_are_written_together(db, make_migration):
    row = make_migration()
    update = (row['id'], {'abort_request_id': 'req-9'})
    action = {'action': 'live_migration_cancel', 'request_id': 'req-9'}
    assert db.migration_update(*update, {'status': 'running'}, action) is None
    assert db.action_get('one', 'req-9') is None
    changed = db.migration_update(*update, {'status': 'accepted'}, action)
    assert changed['abort_request_id'] == 'req-9'
    assert db.action_get('one', 'req-9')['action'] == action['action']
    with pytest.raises(Exception, match='(?i)null|default value'):
        db.migration_update(
            row['id'], {'abort_request_id': 'req-10'}, {}, {'request_id': 'r'}
        )
    assert db.migration_get(row['id'])['abort_request_id'] == 'req-9'
