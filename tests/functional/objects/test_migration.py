"""Migration.fire, requests and claims, on a real database, also at once."""

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from livemig import exception
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event, Status
from tests.unit.objects.test_migration_states import (
    EVENTS,
    EXPECTED,
    FINAL,
    STATUSES,
)

NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
ROUNDS = 15


def at_once(*works):
    """Run them together; what each returned or raised."""
    barrier = threading.Barrier(len(works), timeout=20)

    def run(work):
        barrier.wait()
        try:
            return work()
        except exception.LivemigError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def again(migration):
    """The same migration in other hands."""
    return Migration.get(migration._context, migration.id)


# -- begin ----------------------------------------------------------------
def test_begin_takes_the_instance(migration, instance, db):
    instance.refresh()
    assert (migration.status, migration.migration_type) == (
        'accepted',
        'live-migration',
    )
    assert instance.task_state == 'migrating'
    actions = [a['action'] for a in db.action_list(instance.uuid, {})]
    assert actions == ['live-migration', 'create']


def test_begin_twice_leaves_the_first_alone(migration, begin, db, instance):
    with pytest.raises(exception.StateConflict, match=instance.uuid):
        begin()
    assert len(db.migration_list({'instance_uuid': instance.uuid})) == 1


def test_of_many_who_begin_one_succeeds(begin, db, instance):
    results = at_once(*[begin] * 8)
    begun = [r for r in results if isinstance(r, Migration)]
    refused = [r for r in results if isinstance(r, exception.StateConflict)]
    assert (len(begun), len(refused)) == (1, 7)
    rows = db.migration_list({'instance_uuid': instance.uuid})
    assert [row['id'] for row in rows] == [begun[0].id]


# -- fire -----------------------------------------------------------------
@pytest.mark.parametrize('status', STATUSES)
def test_fire_goes_where_the_table_says_or_nowhere(migration, put, status):
    for event in EVENTS:
        put(migration, status=status, ended_at=None, reason='before')
        expected = EXPECTED.get((status, event))
        if expected is None:
            with pytest.raises(exception.UnexpectedTransition) as caught:
                migration.fire(Event(event), {'reason': 'never'})
            assert status in caught.value.message
            assert event in caught.value.message
            expected, reason = status, 'before'
        else:
            migration.fire(Event(event), {'reason': 'fired'})
            reason = 'fired'
        assert (migration.status, migration.reason) == (expected, reason)
        kept = again(migration)
        assert (kept.status, kept.reason) == (expected, reason)
        if reason == 'fired':
            assert (kept.ended_at is not None) == (expected in FINAL)


def test_fire_changes_the_instance_in_the_same_step(migration, instance, put):
    put(migration, status='running')
    migration.fire(
        Event.MEMORY_COPIED,
        {'completed_by': 'converged'},
        {'host': 'host2', 'node': 'host2'},
        {'task_state': 'migrating'},
    )
    instance.refresh()
    assert (instance.host, instance.task_state) == ('host2', 'migrating')
    assert migration.completed_by == 'converged'


def test_a_migration_ends_though_its_instance_changed(
    migration, instance, put
):
    """Deleted meanwhile: the guard is about the instance's part only."""
    put(migration, status='running')
    assert instance.swap({'task_state': 'deleting'}, {})
    migration.fire(
        Event.ABORT, None, {'task_state': None}, {'task_state': 'migrating'}
    )
    instance.refresh()
    assert (migration.status, instance.task_state) == ('cancelled', 'deleting')


def test_fire_on_what_is_stale_changes_nothing(migration, instance):
    late = again(migration)
    migration.fire(Event.FAIL, {'reason': 'first'})
    with pytest.raises(exception.StateConflict, match='error'):
        late.fire(Event.ENQUEUE, {'reason': 'late'}, {'host': 'nowhere'})
    assert (late.status, late.reason) == ('error', 'first')
    instance.refresh()
    assert instance.host == 'host1'


def test_of_two_who_fire_one_wins(migration, instance, put):
    for _ in range(ROUNDS):
        put(migration, status='running', reason=None)
        instance.update_values(host='host1')
        ways = {
            'post-migrating': (Event.MEMORY_COPIED, 'moved', 'host2'),
            'cancelled': (Event.ABORT, 'aborted', 'host3'),
        }

        def fire(event, reason, host):
            mine = again(migration)

            def fire_():
                mine.fire(event, {'reason': reason}, {'host': host})
                return mine

            return fire_

        results = at_once(*[fire(*way) for way in ways.values()])
        won = [r for r in results if isinstance(r, Migration)]
        lost = [r for r in results if isinstance(r, exception.StateConflict)]
        assert (len(won), len(lost)) == (1, 1)
        migration.refresh()
        instance.refresh()
        _, reason, host = ways[migration.status]
        assert won[0].status == migration.status
        assert (migration.reason, instance.host) == (reason, host)
        assert lost[0].kwargs['found'] == migration.status


def test_no_other_door_leads_to_a_status(migration):
    with pytest.raises(ValueError, match='fire'):
        migration.save_values(status='completed')
    assert again(migration).status == 'accepted'


def test_figures_of_a_migration_that_is_gone_are_dropped(migration, db):
    migration.save_values(elapsed_s=2.5)
    assert again(migration).elapsed_s == 2.5
    ghost = again(migration)
    ghost.id = migration.id + 1
    ghost.save_values(elapsed_s=99.0)
    assert again(migration).elapsed_s == 2.5


# -- abort ----------------------------------------------------------------
@pytest.mark.parametrize('status', STATUSES)
def test_where_an_abort_may_be_asked_for(migration, put, status):
    put(migration, status=status)
    if status in ('queued', 'preparing', 'running'):
        migration.request_abort('alice', 'req-1')
        kept = again(migration)
        assert (kept.abort_requested_by, kept.abort_request_id) == (
            'alice',
            'req-1',
        )
        assert kept.abort_requested_at is not None
        # A request is no event.
        assert kept.status == status
        return
    with pytest.raises(exception.InvalidMigrationState) as caught:
        migration.request_abort('alice', 'req-1')
    assert f'status is {status}' in caught.value.message
    assert again(migration).abort_requested_at is None


def test_a_second_abort_names_the_first(migration, put):
    put(migration, status='running')
    late = again(migration)
    migration.request_abort('alice', 'req-1')
    with pytest.raises(exception.AbortUnderWay) as caught:
        late.request_abort('bob', 'req-2')
    text = caught.value.message
    assert 'alice' in text
    assert 'req-1' in text
    time = migration.abort_requested_at.strftime('%Y-%m-%dT%H:%M:%SZ')
    assert f'asked at {time} by' in text
    assert 'req-2' not in text
    assert again(migration).abort_request_id == 'req-1'


def test_of_many_who_abort_one_is_first(migration, put):
    put(migration, status='running')

    def abort(number):
        mine = again(migration)
        return lambda: mine.request_abort(f'user{number}', f'req-{number}')

    results = at_once(*map(abort, range(6)))
    assert results.count(None) == 1
    first = again(migration).abort_request_id
    assert first == f'req-{results.index(None)}'
    for error in filter(None, results):
        assert isinstance(error, exception.AbortUnderWay)
        assert error.kwargs['request_id'] == first


# -- force complete -------------------------------------------------------
@pytest.mark.parametrize('status', STATUSES)
def test_where_a_force_may_be_asked_for(migration, put, status):
    put(migration, status=status)
    if status == 'running':
        assert migration.request_force('alice', 'req-1', 'pause') is True
        kept = again(migration)
        assert (
            kept.force_requested_by,
            kept.force_request_id,
            kept.force_method,
            kept.status,
        ) == ('alice', 'req-1', 'pause', 'running')
        return
    with pytest.raises(exception.InvalidMigrationState) as caught:
        migration.request_force('alice', 'req-1', 'auto')
    assert f'status is {status}' in caught.value.message
    assert again(migration).force_requested_at is None


def test_a_second_force_changes_nothing(migration, put):
    put(migration, status='running')
    assert migration.request_force('alice', 'req-1', 'auto') is True
    before = again(migration).to_values()
    assert again(migration).request_force('bob', 'req-2', 'pause') is False
    assert again(migration).to_values() == before


def test_no_force_while_an_abort_is_under_way(migration, put):
    put(migration, status='running')
    late = again(migration)
    migration.request_abort('alice', 'req-1')
    with pytest.raises(exception.AbortUnderWay, match='req-1'):
        late.request_force('bob', 'req-2', 'auto')
    assert again(migration).force_requested_at is None


def test_an_abort_after_a_force_is_allowed(migration, put):
    put(migration, status='running')
    migration.request_force('alice', 'req-1', 'pause')
    migration.request_abort('bob', 'req-2')
    kept = again(migration)
    assert (kept.force_request_id, kept.abort_request_id) == ('req-1', 'req-2')


def test_abort_and_force_at_once_leave_no_force_after_an_abort(migration, put):
    """Force first, abort after: both stand. Abort first: force is told."""
    for number in range(ROUNDS):
        put(
            migration,
            status='running',
            abort_requested_at=None,
            abort_request_id=None,
            force_requested_at=None,
            force_request_id=None,
        )
        one, two = again(migration), again(migration)
        aborted, forced = at_once(
            lambda one=one, n=number: one.request_abort('a', f'req-a{n}'),
            lambda two=two, n=number: two.request_force(
                'b', f'req-f{n}', 'auto'
            ),
        )
        migration.refresh()
        assert aborted is None
        assert migration.abort_request_id == f'req-a{number}'
        if isinstance(forced, exception.AbortUnderWay):
            assert migration.force_requested_at is None
        else:
            assert forced is True
            assert migration.force_request_id == f'req-f{number}'


def test_an_abort_that_comes_with_the_end_knows_it(migration, put):
    for number in range(ROUNDS):
        put(
            migration,
            status='running',
            abort_requested_at=None,
            abort_request_id=None,
        )
        one, two = again(migration), again(migration)
        aborted, fired = at_once(
            lambda one=one, n=number: one.request_abort('a', f'req-{n}'),
            lambda two=two: two.fire(Event.MEMORY_COPIED),
        )
        migration.refresh()
        # The request is no event: it never keeps a migration from ending.
        assert fired is None
        assert migration.status == 'post-migrating'
        if aborted is None:
            assert migration.abort_request_id == f'req-{number}'
        else:
            assert isinstance(aborted, exception.InvalidMigrationState)
            assert migration.abort_requested_at is None


# -- claim ----------------------------------------------------------------
def test_a_claim_holds_until_it_is_stale(migration):
    later = again(migration)
    assert migration.claim('conductor1', NOW, 60) is True
    assert (migration.claimed_by, migration.claimed_at) == ('conductor1', NOW)
    # It read the row before the other took it.
    assert later.claim('conductor2', NOW, 60) is False
    fresh = again(migration)
    soon = NOW + datetime.timedelta(seconds=59)
    assert fresh.claim('conductor2', soon, 60) is False
    late = NOW + datetime.timedelta(seconds=61)
    assert fresh.claim('conductor2', late, 60) is True
    assert again(migration).claimed_by == 'conductor2'


@pytest.mark.parametrize('status', [s for s in STATUSES if s != 'accepted'])
def test_only_an_accepted_migration_is_claimed(migration, put, status):
    put(migration, status=status)
    assert migration.claim('conductor1', NOW, 60) is False
    assert again(migration).claimed_by is None


def test_of_many_conductors_one_has_it(migration):
    def claim(number):
        mine = again(migration)
        return lambda: mine.claim(f'conductor{number}', NOW, 60)

    results = at_once(*map(claim, range(6)))
    assert sorted(results) == [False] * 5 + [True]
    assert again(migration).claimed_by == f'conductor{results.index(True)}'


# -- reading --------------------------------------------------------------
def test_what_is_not_there(migration, ctxt, instance):
    with pytest.raises(exception.MigrationNotFound):
        Migration.get(ctxt, migration.id + 1)
    with pytest.raises(exception.MigrationNotFoundForInstance):
        Migration.get_by_id_and_instance(ctxt, migration.id, 'another')
    found = Migration.get_by_id_and_instance(ctxt, migration.id, instance.uuid)
    assert found.uuid == migration.uuid
    with pytest.raises(exception.InstanceNotFound):
        Instance.get(ctxt, 'another')


def test_by_instance_and_status(migration, ctxt, instance, put):
    put(migration, status='running')

    def ids(status):
        found = Migration.get_by_instance_and_status(
            ctxt, instance.uuid, status
        )
        return [m.id for m in found]

    assert ids('running') == [migration.id]
    assert ids([Status.RUNNING, Status.QUEUED]) == [migration.id]
    assert ids('queued') == []
