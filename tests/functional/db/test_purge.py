"""What purge forgets, and what it must not."""

import pytest

from livemig.db import purge

TABLES = ('instances', 'migrations', 'instance_actions',
          'instance_action_events', 'instance_faults')  # fmt: skip


def count(db):
    with db.transactions.engine.connect() as conn:
        return {
            name: conn.exec_driver_sql(
                f'SELECT count(*) FROM {name}'
            ).scalar_one()
            for name in TABLES
        }


@pytest.fixture
def old(db, make_instance, make_migration, now):
    """One long deleted instance and one live one, both with all records."""
    for name in ('gone', 'live'):
        make_instance(name)
        make_migration(name, status='failed')
        make_migration(name, status='completed', ended_at=now.value)
        db.event_start(name, 'req-migrate', {'event': 'e'})
        db.instance_fault_add(name, {'code': 500})
    db.instance_destroy('gone')
    return now.forward(days=30)


ALL_OF_GONE = {
    'instances': 1,
    'migrations': 2,
    'instance_actions': 2,
    'instance_action_events': 1,
    'instance_faults': 1,
}


def test_purge_removes_what_it_counted(db, old):
    before = count(db)
    expected = {**ALL_OF_GONE, 'migrations': 4}
    assert db.purge(old, dry_run=True) == expected
    assert count(db) == before
    assert db.purge(old) == expected
    assert count(db) == {k: before[k] - n for k, n in expected.items()}
    assert db.purge(old) == {}
    assert db.instance_get('gone', deleted=True) is None
    assert len(db.action_list('live', {})) == 2


def test_what_is_not_old_stays(db, make_instance, make_migration, now):
    make_instance('gone')
    make_migration('gone', status='failed')
    time = now.value
    now.forward(seconds=1)
    db.instance_destroy('gone')
    make_migration('live', status='failed', ended_at=now.value)
    before = count(db)
    assert db.purge(time) == {}
    # Ended before, but the instance was deleted after.
    later = time.replace(microsecond=time.microsecond + 1)
    assert db.purge(later) == {'migrations': 1}
    assert count(db)['migrations'] == before['migrations'] - 1


def test_unfinished_migrations_stay_and_hold_their_instance(
    db, make_instance, make_migration, now
):
    make_instance('gone')
    row = make_migration('gone', status='running (post-copy)')
    db.instance_destroy('gone')
    assert db.purge(now.forward(days=30)) == {}
    db.migration_fire(row['id'], row['status'], {'status': 'completed'})
    assert db.purge(now.forward(days=1))['instances'] == 1


def test_more_than_a_batch(db, make_migration, now):
    for _ in range(purge.BATCH + 3):
        make_migration('live', status='failed')
    before = now.forward(days=1)
    assert db.purge(before, dry_run=True) == {'migrations': purge.BATCH + 3}
    assert db.purge(before) == {'migrations': purge.BATCH + 3}
    assert db.migration_list({}) == []


def test_an_error_is_kept_as_long_as_its_instance(
    db, make_instance, make_migration, now
):
    """It tells where something of the guest was left."""
    make_instance('gone')
    make_migration('gone', status='error')
    make_migration('live', status='error')
    assert db.purge(now.forward(days=1)) == {}
    db.instance_destroy('gone')
    assert db.purge(now.forward(days=1))['migrations'] == 1
    (left,) = db.migration_list({})
    assert left['instance_uuid'] == 'live'


def test_a_time_without_a_zone(db, now):
    with pytest.raises(ValueError, match='zone'):
        db.purge(now.value.replace(tzinfo=None))
