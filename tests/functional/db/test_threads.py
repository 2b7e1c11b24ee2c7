"""Sixteen at once: one winner, no error, nothing twice."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from livemig.db.models import EVENTS, INSTANCES

THREADS = 16


def at_once(work):
    """``work(number)`` in each thread, begun together; their results."""
    barrier = threading.Barrier(THREADS, timeout=60)

    def run(number):
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


@pytest.fixture
def db(url):
    """With the real clock, which threads may share."""
    from livemig.db.api import Database

    made = Database(url)
    yield made
    made.dispose()


def test_one_wins_a_swap(db, make_instance):
    make_instance()
    results = at_once(
        lambda number: db.instance_update(
            'one', {'task_state': f't{number}'}, {'task_state': None}
        )
    )
    [winner] = [row for row in results if row is not None]
    assert db.instance_get('one') == winner


def test_one_begins_a_migration(db, make_instance):
    make_instance()
    results = at_once(
        lambda number: db.migration_begin(
            'one',
            {'task_state': 'migrating'},
            {'task_state': None},
            {'status': 'accepted'},
            {'action': 'live-migration', 'request_id': f'req-{number}'},
        )
    )
    [winner] = [row for row in results if row is not None]
    assert db.migration_list({}) == [winner]
    assert len(db.action_list('one', {})) == 2  # create, live-migration


def test_one_fires(db, make_instance, make_migration):
    make_instance(task_state='migrating')
    row = make_migration(status='running')
    ends = ['completed', 'failed', 'cancelled', 'error']
    results = at_once(
        lambda number: db.migration_fire(
            row['id'],
            'running',
            {'status': ends[number % 4]},
            {'task_state': None, 'progress': number},
            {'task_state': 'migrating'},
        )
    )
    [winner] = [n for n, row in enumerate(results) if row is not None]
    assert db.migration_get(row['id']) == results[winner]
    assert db.instance_get('one')['progress'] == winner


def test_read_then_swap_loses_no_update(db, make_instance):
    """In one transaction: what SQLite refuses after a plain BEGIN."""
    make_instance(progress=0)

    def add_one(conn):
        row = conn.execute(
            sa.select(INSTANCES.c.progress).where(INSTANCES.c.uuid == 'one')
        ).one()
        return conn.execute(
            sa.update(INSTANCES)
            .where(
                INSTANCES.c.uuid == 'one',
                INSTANCES.c.progress == row.progress,
            )
            .values(progress=row.progress + 1)
        ).rowcount

    results = at_once(
        lambda _: sum(db.transactions.write(add_one) for _ in range(20))
    )
    assert sum(results) > 0
    assert db.instance_get('one')['progress'] == sum(results)


def test_readers_and_writers(db, make_instance):
    make_instance(progress=0)

    def work(number):
        for _ in range(10):
            if number % 2:
                assert db.instance_list({}, limit=10)
            else:
                assert db.instance_update('one', {'progress': number})

    at_once(work)


def test_one_action_for_a_request(db):
    values = {'instance_uuid': 'one', 'action': 'x', 'request_id': 'r'}
    results = at_once(
        lambda number: db.action_start({**values, 'user_id': str(number)})
    )
    assert len({row['id'] for row in results}) == 1
    assert len({row['user_id'] for row in results}) == 1


def test_one_open_event(db):
    for number in range(THREADS):
        db.action_start(
            {
                'instance_uuid': 'one',
                'action': 'x',
                'request_id': f'r{number}',
            }
        )

    def begin(number):
        # All of them for r0, and each for its own: neighbours in an index.
        for request in ('r0', f'r{number}'):
            db.event_start('one', request, {'event': 'e', 'host': 'a'})
            db.event_start('one', request, {'event': 'e', 'host': 'a'})

    at_once(begin)
    with db.transactions.engine.connect() as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(EVENTS)) == (
            THREADS
        )


def test_one_service(db):
    at_once(
        lambda number: [
            db.service_report(
                {'host': host, 'binary': 'b', 'facts': {'n': number}}
            )
            for host in ('same', f'own{number}', 'same')
        ]
    )
    hosts = sorted(row['host'] for row in db.service_list({}))
    assert hosts == sorted(['same', *(f'own{n}' for n in range(THREADS))])


def test_begin_fire_and_events_together(db, make_instance):
    """The whole life of sixteen migrations side by side."""
    for number in range(THREADS):
        make_instance(f'i{number}')

    def live(number):
        uuid, request = f'i{number}', f'req-{number}'
        row = db.migration_begin(
            uuid,
            {'task_state': 'migrating'},
            {'task_state': None},
            {'status': 'accepted'},
            {'action': 'live-migration', 'request_id': request},
        )
        steps = ['accepted', 'queued', 'preparing', 'running', 'completed']
        for before, after in zip(steps, steps[1:], strict=False):
            event = {'event': after, 'host': 'a'}
            db.event_start(uuid, request, event)
            assert db.migration_fire(
                row['id'],
                before,
                {'status': after},
                {'progress': 1},
                {'task_state': 'migrating'},
            )
            db.event_finish(uuid, request, {**event, 'result': 'Success'})
        return db.action_get(uuid, request)['events']

    for events in at_once(live):
        assert [e['result'] for e in events] == ['Success'] * 4
