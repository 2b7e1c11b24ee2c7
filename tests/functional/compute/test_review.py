"""Races, losses and deaths found by reading: one test each."""

import contextlib
import dataclasses
import threading

import pytest

from livemig import exception
from livemig.compute.journal import Journal
from livemig.compute.patience import Patience
from livemig.compute.record import Record
from livemig.compute.rpcapi import ComputeAPI
from livemig.conductor.manager import ConductorManager
from livemig.objects import action as actions
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event, Status
from livemig.virt.job import Power, Reason
from tests.functional.compute.test_faults import (
    BUSY,
    CONVERGES,
    SLOW,
    go_on,
    hold,
    moved,
    plan,
    stayed,
)

POST_COPY = [('libvirt', 'live_migration_permit_post_copy', True)]


class Slow(ComputeAPI):
    """Asks a destination, and something happens before it answers."""

    def __init__(self, client, meanwhile):
        super().__init__(client)
        self._meanwhile = meanwhile

    def check_can_live_migrate_destination(self, ctxt, host, migration_id):
        answer = super().check_can_live_migrate_destination(
            ctxt, host, migration_id
        )
        self._meanwhile()
        return answer


def test_a_conductor_that_is_too_slow_fails_nobody_elses_migration(deploy):
    """Its claim went stale during the checks; another one placed it."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = deployment.begin(instance)
    slow = ConductorManager(
        deployment.conf, deployment.database, deployment.rpc, deployment.clock
    )

    def another_places_it():
        deployment.clock.advance(61)
        for manager in deployment.managers.values():
            manager.report()
        deployment.conductor.live_migrate_instance(
            migration._context, migration.id, ''
        )
        deployment.clock.limit_s = 65
        deployment.clock.until(65)
        migration.refresh()
        assert migration.status == Status.RUNNING

    slow._compute_api = Slow(
        deployment.rpc.client('compute'), another_places_it
    )
    slow.live_migrate_instance(migration._context, migration.id, '')
    migration.refresh()
    assert migration.status == Status.RUNNING
    deployment.force(migration)
    go_on(deployment)
    moved(deployment, instance, migration)


DISK = {'device': 'vda', 'format': 'qcow2', 'size_bytes': 64 * 1024**2}


def disks_on(deployment, host, instance):
    storage = deployment.world.hosts[host].storage
    return sorted(storage.directories.get(instance.uuid, ()))


def test_what_an_error_left_at_the_destination_is_not_tidied_up(deployment):
    """The guest has moved: those disks are its only ones."""
    instance = deployment.boot(disks=[DISK])
    there = deployment.managers['host2']

    def fails(guest_id, migration_id):
        raise exception.HypervisorError(host='host2', reason='no space left')

    there._driver.finish_destination = fails
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.ERROR
    assert instance.host == 'host2'
    deployment.world.shut_down_guest(instance.uuid)
    there.run_periodic_tasks()
    assert disks_on(deployment, 'host2', instance) == ['vda']
    instance.refresh()
    assert instance.vm_state == 'stopped'


def test_what_a_roll_back_left_at_the_destination_is_tidied_up(deployment):
    instance = deployment.boot(disks=[DISK])
    deployment.world.fail('transfer-breaks', 'host1', after_s=0.1)
    there = deployment.managers['host2']

    def fails(guest_id, migration_id):
        raise exception.HypervisorError(host='host2', reason='busy')

    there._driver.undo_destination = fails
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.FAILED
    assert disks_on(deployment, 'host2', instance) == ['vda']
    del there._driver.undo_destination
    there.run_periodic_tasks()
    assert disks_on(deployment, 'host2', instance) == []


def test_a_roll_back_ends_whatever_is_wrong_at_the_destination(deployment):
    instance = deployment.boot()
    deployment.world.fail('transfer-breaks', 'host1', after_s=0.1)

    def fails(guest_id, migration_id):
        raise RuntimeError('our bug')

    deployment.managers['host2']._driver.undo_destination = fails
    migration = deployment.migrate(instance)
    deployment.settled(instance, migration)
    assert migration.status == Status.FAILED
    assert 'our bug' in migration.reason
    assert (instance.host, instance.task_state) == ('host1', None)


def test_the_reason_is_why_this_transfer_did_not_begin(deployment):
    """Not what the hypervisor said of the one before."""
    instance = deployment.boot()
    deployment.world.fail('transfer-breaks', 'host1', after_s=0.1, times=1)
    first = deployment.migrate(instance)
    deployment.settled(instance, first)
    assert first.status == Status.FAILED

    def refuses(plan, options):
        raise exception.HypervisorError(host='host1', reason='no memory')

    deployment.managers['host1']._driver.start = refuses
    second = deployment.migrate(instance)
    deployment.settled(instance, second)
    assert second.status == Status.FAILED
    assert 'no memory' in second.reason


def delete(deployment, instance):
    """What DELETE of a server does."""
    instance.refresh()
    assert instance.swap({'task_state': 'deleting'}, {})
    api = deployment.conductor._compute_api
    api.terminate_instance(deployment.context(), instance.host, instance.uuid)


def gone(deployment, instance):
    deployment.until(
        lambda: (
            Instance.get(deployment.ctxt, instance.uuid, deleted=True).deleted
        )
    )
    assert deployment.world.living(instance.uuid) == ()
    assert deployment.world.leftovers(instance.uuid) == []


def test_a_server_deleted_when_it_has_just_moved_is_gone_on_both(deployment):
    """The record names the destination, the source is not tidy yet."""
    instance = deployment.boot(disks=[DISK])
    driver = deployment.managers['host2']._driver
    finish = driver.finish_destination

    def delete_first(guest_id, migration_id):
        delete(deployment, instance)
        finish(guest_id, migration_id)

    driver.finish_destination = delete_first
    migration = deployment.migrate(instance)
    deployment.settled(migration)
    assert migration.status == Status.COMPLETED
    gone(deployment, instance)


def test_a_server_deleted_before_its_migration_began_is_not_lost(deployment):
    instance = deployment.boot()
    migration = deployment.begin(instance)
    plan(deployment, migration)
    delete(deployment, instance)
    gone(deployment, instance)
    deployment.conductor._compute_api.live_migration(
        deployment.context(), 'host1', migration.id
    )
    deployment.settled(migration)
    assert migration.status == Status.CANCELLED


def boot_oddly(deployment):
    """Boot one that is not active at once."""
    with contextlib.suppress(AssertionError, exception.InstanceNotFound):
        deployment.boot()
    (instance,) = Instance.list(deployment.ctxt, {})
    return instance


def test_a_guest_is_made_by_one_thread_only(deployment):
    """Its image takes longer to copy than the next look for work."""
    manager = deployment.managers['host1']
    spawn = manager._driver.spawn
    begun = []

    def slowly(spec):
        begun.append(spec.guest_id)
        if len(begun) == 1:
            manager.look_for_work()
        spawn(spec)

    manager._driver.spawn = slowly
    instance = deployment.boot()
    assert begun == [instance.uuid]


def test_a_server_deleted_while_it_is_made_is_gone(deployment):
    manager = deployment.managers['host1']
    spawn = manager._driver.spawn

    def slowly(spec):
        delete(deployment, Instance.get(deployment.ctxt, spec.guest_id))
        spawn(spec)

    manager._driver.spawn = slowly
    instance = boot_oddly(deployment)
    manager.look_for_work()
    gone(deployment, instance)


@pytest.mark.parametrize('name', ['event_start', 'event_finish'])
def test_a_guest_is_made_though_the_keeper_was_away(deployment, name):
    manager = deployment.managers['host1']
    write = getattr(manager._store, name)
    answers = [exception.DatabaseUnreachable()]

    def away_once(*args):
        if answers:
            raise answers.pop()
        return write(*args)

    setattr(manager._store, name, away_once)
    instance = boot_oddly(deployment)
    assert instance.vm_state == 'building'
    manager.look_for_work()
    instance.refresh()
    assert instance.vm_state == 'active'
    assert deployment.world.running(instance.uuid) == ('host1',)


def test_after_a_restart_who_was_under_way_does_not_wait(deploy):
    """One may run at once: not the one that was waiting for it."""
    deployment = deploy(
        options=[*SLOW, ('DEFAULT', 'max_concurrent_live_migrations', 1)]
    )
    first, second, third = (deployment.boot(**CONVERGES) for _ in range(3))
    one = hold(deployment, first, 1)
    two = deployment.migrate(second)
    three = deployment.migrate(third)
    deployment.stop_manager('host1')
    deployment.start_manager('host1')
    deployment.clock.until_blocked()
    registry = deployment.managers['host1'].registry
    assert [r.migration_id for r in registry.all()] == [
        one.id,
        two.id,
        three.id,
    ]
    two.refresh()
    assert two.status == Status.QUEUED
    go_on(deployment)
    moved(deployment, first, one)
    moved(deployment, second, two)
    moved(deployment, third, three)


def test_a_lowered_limit_leaves_nobody_alone_after_a_restart(deploy):
    """Each that is under way has a runner, however many may begin."""
    deployment = deploy(options=SLOW)
    guests = [deployment.boot(**CONVERGES) for _ in range(2)]
    migrations = [hold(deployment, guest, 1) for guest in guests]
    deployment.stop_manager('host1')
    deployment.start_manager(
        'host1', [('DEFAULT', 'max_concurrent_live_migrations', 1)]
    )
    deployment.clock.until_blocked(2)
    go_on(deployment)
    for guest, migration in zip(guests, migrations, strict=True):
        moved(deployment, guest, migration)


def threads_of(migration):
    name = f'journal-{migration.id}'
    return [t for t in threading.enumerate() if t.name == name]


def test_what_has_just_ended_is_not_taken_up_again(deployment):
    """It was listed as running, and has ended since."""
    instance = deployment.boot()
    migration = deployment.migrate(instance)
    listed = Migration.get(deployment.context(), migration.id)
    moved(deployment, instance, migration)
    assert listed.status != Status.COMPLETED
    told = deployment.database.action_get(instance.uuid, migration.request_id)[
        'events'
    ]
    deployment.managers['host1']._take_up(listed)
    deployment.settled()
    assert (
        deployment.database.action_get(instance.uuid, migration.request_id)[
            'events'
        ]
        == told
    )
    assert threads_of(migration) == []


def test_a_runner_nobody_needs_leaves_no_thread(deploy):
    """A message and the look for work come at the same time."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 1)
    manager = deployment.managers['host1']
    get, answers = manager.registry.get, [None]
    manager.registry.get = lambda number: (
        answers.pop() if answers else get(number)
    )
    manager.look_for_work()
    assert len(threads_of(migration)) == 1


def test_a_destination_whose_daemon_restarts_is_waited_for(deploy):
    """The guest has come: a daemon that is away is no failure."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(disks=[DISK])
    driver = deployment.managers['host2']._driver
    finish = driver.finish_destination
    restarts = [20.0]

    def restart_first(guest_id, migration_id):
        if restarts:
            deployment.world.restart_daemon('host2', restarts.pop())
        finish(guest_id, migration_id)

    driver.finish_destination = restart_first
    migration = deployment.migrate(instance)
    moved(deployment, instance, migration)


def test_looking_at_a_destination_that_is_away_outlives_it(deploy):
    """Its daemon's restart is what ended the transfer."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    runner = deployment.managers['host1'].registry.get(migration.id)
    deployment.world.restart_daemon('host2', 20.0)
    go_on(deployment)
    deployment.until(
        lambda: runner not in deployment.managers['host1'].registry.all()
    )
    stayed(deployment, instance, migration, Status.FAILED)
    assert 'client socket is closed' in migration.reason


def in_post_copy(deployment, instance):
    """A migration in post-copy over a slow link, at 63 s."""
    host = deployment.world.hosts['host1']
    host.pace = dataclasses.replace(host.pace, link_bytes_per_s=4 * 1024**2)
    migration = hold(deployment, instance, 60)
    deployment.force(migration)
    deployment.clock.limit_s = 63

    def switched():
        migration.refresh()
        return migration.status == Status.POST_COPY

    deployment.until(switched)
    return migration


def test_what_ended_in_post_copy_while_nobody_looked_says_so(deploy):
    deployment = deploy(options=[*SLOW, *POST_COPY])
    instance = deployment.boot(**BUSY)
    migration = in_post_copy(deployment, instance)
    deployment.stop_manager('host1')
    go_on(deployment)
    deployment.clock.advance(60)
    assert deployment.world.running(instance.uuid) == ('host2',)
    deployment.start_manager('host1')
    moved(deployment, instance, migration)
    assert migration.completed_by == 'post-copy'
    assert migration.downtime_ms is None


class Calm(Patience):
    """Has all the time of the world, and takes none."""

    def wait(self, seconds):
        """At once."""


@pytest.fixture
def record(deployment):
    """The record of a migration that is accepted."""
    instance = deployment.boot()
    journal = Journal('1', lambda values: None)
    patience = Calm(deployment.clock, threading.Event(), 'Migration 1')
    yield Record(
        deployment.context(), deployment.begin(instance), journal, patience
    )
    journal.close()


def test_a_status_whose_answer_was_lost_has_been_reached(record):
    fire = record.migration.store.migration_fire

    class Mute:
        """Writes, and is gone before it has answered once."""

        def __init__(self, store):
            self._store = store
            self.fired = 0

        def __getattr__(self, name):
            return getattr(self._store, name)

        def migration_fire(self, *args):
            self.fired += 1
            row = fire(*args)
            if self.fired == 1:
                raise exception.DatabaseUnreachable()
            return row

    mute = Mute(record.migration.store)
    record.migration._context.store = mute
    record.fire(Event.ENQUEUE)
    assert mute.fired == 2
    assert record.status is Status.QUEUED


def test_a_status_that_somebody_else_set_is_not_taken_for_ours(record):
    """Else the guest would have moved, and the record not know it."""
    for event in (Event.ENQUEUE, Event.PREPARE, Event.START):
        record.fire(event)
    other = Migration.get(record.migration._context, record.migration.id)
    other.fire(Event.FAIL)
    with pytest.raises(exception.StateConflict):
        record.fire(Event.MEMORY_COPIED)


def test_an_abort_nobody_handed_over_is_told_to_be_too_late(deployment):
    """It was written on the record when the guest had just moved."""
    instance = deployment.boot()
    driver = deployment.managers['host1']._driver
    completed_job = driver.completed_job

    def abort_first(guest_id):
        fresh = Migration.get(deployment.context(), migration.id)
        fresh.request_abort('operator', asked.request_id)
        actions.start(asked, instance.uuid, actions.ABORT)
        return completed_job(guest_id)

    driver.completed_job = abort_first
    asked = deployment.context()
    migration = deployment.migrate(instance)
    moved(deployment, instance, migration)
    ((event, (result, details)),) = deployment.events(
        instance, asked.request_id
    ).items()
    assert (event, result) == ('compute_live_migration_abort', 'Error')
    assert details.startswith('Too late to abort')


class Told:
    """Takes the place of the notifier."""

    def __init__(self):
        self.told = []

    def notify(self, ctxt, operation, phase, *args):
        self.told.append((operation, str(phase)))


def test_what_the_timeout_asks_for_is_told_once(deploy):
    """It stands on the record, where the look for work finds it again."""
    deployment = deploy(
        options=[*SLOW, ('libvirt', 'live_migration_completion_timeout', 20)]
    )
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 39)
    manager = deployment.managers['host1']
    story = manager.registry.get(migration.id)._story
    story._notifier = told = Told()

    def look():
        assert story.journal.drained(20)
        migration.refresh()
        assert migration.abort_requested_at is not None
        manager.look_for_work()

    driver = manager._driver
    abort = driver.abort

    def look_first(guest_id):
        look()
        abort(guest_id)

    driver.abort = look_first
    go_on(deployment)
    stayed(deployment, instance, migration, Status.CANCELLED)
    assert told.told.count(('live_migration_abort', 'start')) == 1
    assert told.told.count(('live_migration_abort', 'end')) == 1


def test_a_refused_timeout_does_not_forget_a_persons_abort(deploy):
    deployment = deploy(
        options=[
            *SLOW,
            ('libvirt', 'live_migration_completion_timeout', 20),
            ('fake', 'without', ['abort']),
        ]
    )
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 39)
    # Its message is lost.
    migration.request_abort('operator', 'req-lost')
    deployment.clock.limit_s = 45
    deployment.clock.until(45)
    runner = deployment.managers['host1'].registry.get(migration.id)
    assert runner._story.journal.drained(20)
    migration.refresh()
    assert migration.abort_request_id == 'req-lost'


def test_the_last_figures_stay(deploy):
    """Looking at nothing after a restart does not wipe them out."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    deployment.world.fail('transfer-breaks', 'host1', after_s=15)
    migration = hold(deployment, instance, 10)
    deployment.stop_manager('host1')
    go_on(deployment)
    deployment.clock.advance(60)
    migration.refresh()
    figures = (migration.memory_total, migration.pass_number)
    assert all(figures)
    deployment.start_manager('host1')
    stayed(deployment, instance, migration, Status.FAILED)
    assert (migration.memory_total, migration.pass_number) == figures


def test_a_manager_that_stops_writes_its_last_words(deploy):
    """The keeper is slow: what was noted is still taken down."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    manager = deployment.managers['host1']
    start = manager._store.event_start

    def when_it_stops(*args):
        deployment.until(manager._stop.is_set)
        return start(*args)

    manager._store.event_start = when_it_stops
    deployment.force(migration, 'pause')
    journal = manager.registry.get(migration.id)._story.journal
    deployment.clock.limit_s = 20.6
    deployment.until(lambda: len(journal._changes) >= 3)
    deployment.stop_manager('host1')
    rows = deployment.database.action_list(instance.uuid, {})
    assert 'live-migration-paused-vm' in [r['action'] for r in rows]


def test_what_cannot_be_deleted_holds_nobody_up(deployment):
    manager = deployment.managers['host1']
    destroy = manager._driver.destroy
    tried = []

    def fails_first(guest_id):
        tried.append(guest_id)
        if guest_id == tried[0]:
            raise exception.HypervisorError(host='host1', reason='in use')
        destroy(guest_id)

    manager._driver.destroy = fails_first
    for instance in (deployment.boot(), deployment.boot()):
        assert instance.swap({'task_state': 'deleting'}, {})
    with pytest.raises(exception.HypervisorError, match='in use'):
        manager.run_periodic_tasks()
    stuck, other = tried
    (left,) = Instance.list(deployment.ctxt, {})
    assert left.uuid == stuck
    assert deployment.world.living(other) == ()


def test_a_migration_that_cannot_be_taken_up_holds_nobody_up(deployment):
    guests = [deployment.boot() for _ in range(2)]
    broken, whole = (deployment.begin(guest) for guest in guests)
    plan(deployment, broken)
    plan(deployment, whole)
    manager = deployment.managers['host1']
    context_of = manager._context_of

    def fails(migration):
        if migration.id == broken.id:
            raise RuntimeError('our bug')
        return context_of(migration)

    manager._context_of = fails
    with pytest.raises(exception.LivemigError, match='our bug'):
        manager.run_periodic_tasks()
    moved(deployment, guests[1], whole)


def test_a_hypervisor_that_is_away_does_not_hide_the_work(deploy):
    """No report then, but an abort on the record is found all the same."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    manager = deployment.managers['host1']
    migration.request_abort('operator', 'req-lost')
    actions.start(deployment.context(), instance.uuid, actions.ABORT)

    def away():
        raise exception.HypervisorUnavailable(host='host1', reason='away')

    manager._driver.host_facts = away
    with pytest.raises(exception.HypervisorUnavailable):
        manager.report()
    manager.run_periodic_tasks()
    go_on(deployment)
    stayed(deployment, instance, migration, Status.CANCELLED)
    assert migration.reason.startswith('Aborted on request')


def test_a_conductor_repairs_what_it_can(deployment):
    """One that makes it stumble comes first, each time."""
    instance = deployment.boot()
    first = deployment.begin(deployment.boot())
    second = deployment.begin(instance)
    conductor = deployment.conductor
    place = conductor._place

    def stumbles(ctxt, migration_id, event):
        if migration_id == first.id:
            raise RuntimeError('our bug')
        place(ctxt, migration_id, event)

    conductor._place = stumbles
    deployment.clock._epoch = max(first.created_at, second.created_at)
    deployment.clock.advance(61)
    for manager in deployment.managers.values():
        manager.report()
    with pytest.raises(exception.LivemigError, match='our bug'):
        conductor.run_periodic_tasks()
    moved(deployment, instance, second)


def away_once(owner, name):
    """The keeper's method fails once, as if its database were away."""
    method = getattr(owner, name)
    answers = [exception.DatabaseUnreachable()]

    def flaky(*args, **kwargs):
        if answers:
            raise answers.pop()
        return method(*args, **kwargs)

    setattr(owner, name, flaky)


def a_minute_later(deployment, created_at):
    deployment.clock._epoch = created_at
    deployment.clock.advance(61)
    for manager in deployment.managers.values():
        manager.report()
    deployment.conductor.run_periodic_tasks()


@pytest.mark.parametrize('name', ['event_start', 'event_finish'])
def test_a_database_that_blinks_ends_no_accepted_migration(deployment, name):
    instance = deployment.boot()
    away_once(deployment.database, name)
    migration = deployment.migrate(instance)
    migration.refresh()
    assert migration.status == Status.ACCEPTED
    a_minute_later(deployment, migration.created_at)
    moved(deployment, instance, migration)


def test_a_database_that_blinks_during_the_checks_ends_nothing(deployment):
    instance = deployment.boot()
    away_once(deployment.managers['host2']._store, 'event_start')
    migration = deployment.migrate(instance)
    migration.refresh()
    assert migration.status == Status.ACCEPTED
    a_minute_later(deployment, migration.created_at)
    moved(deployment, instance, migration)


def test_a_database_that_blinks_fails_no_new_server(deployment):
    away_once(deployment.database, 'service_list')
    instance = boot_oddly(deployment)
    assert instance.vm_state == 'building'
    a_minute_later(deployment, instance.created_at)
    instance.refresh()
    assert instance.vm_state == 'active'


def test_a_destination_whose_keeper_is_slow_is_not_a_silent_one(deployment):
    """It answers; what it needs itself does not, for a moment."""
    instance = deployment.boot()
    store = deployment.managers['host2']._store
    event_start, answers = store.event_start, []

    def slow_once(uuid, request_id, values):
        if values['event'] == 'compute_pre_live_migration' and not answers:
            answers.append('late')
            raise exception.ReplyTimeout(
                host='conductor', method='store_call', limit_s=30
            )
        return event_start(uuid, request_id, values)

    store.event_start = slow_once
    migration = deployment.migrate(instance)
    moved(deployment, instance, migration)
    assert answers == ['late']


def test_a_reload_waits_for_nobody(deploy):
    """The main thread does it, and looks for signals after it."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    manager = deployment.managers['host1']

    def asked(*args, **kwargs):
        raise AssertionError('the broker may be away')

    instance_get = manager._store.instance_get
    manager._store.instance_get = asked
    manager._conf.set_override(
        'live_migration_completion_timeout', 15, 'libvirt'
    )
    manager.reload()
    manager._store.instance_get = instance_get
    go_on(deployment)
    stayed(deployment, instance, migration, Status.CANCELLED)
    assert 'completion timeout of 30 s' in migration.reason


def test_a_broken_post_copy_is_told_while_it_lasts(deploy):
    deployment = deploy(options=[*SLOW, *POST_COPY])
    instance = deployment.boot(**BUSY)
    migration = in_post_copy(deployment, instance)
    deployment.world.break_post_copy(instance.uuid)
    deployment.clock.limit_s = 70

    def reason():
        migration.refresh()
        return migration.reason or ''

    deployment.until(lambda: 'Post-copy is broken' in reason())
    assert migration.status == Status.POST_COPY
    deployment.world.recover_post_copy(instance.uuid)
    deployment.clock.limit_s = 72
    deployment.until(lambda: not reason())
    go_on(deployment)
    moved(deployment, instance, migration)


def broken_for_good(deploy):
    """A guest whose post-copy has broken, and the deployment."""
    deployment = deploy(options=[*SLOW, *POST_COPY])
    instance = deployment.boot(**BUSY)
    migration = in_post_copy(deployment, instance)
    deployment.world.break_post_copy(instance.uuid)
    return deployment, instance, migration


def lost_at_both(deployment, instance, migration):
    """The record says so; what the source still has is not touched."""
    deployment.clock.limit_s = 600
    deployment.settled(migration, instance)
    assert migration.status == 'error'
    assert 'gone from host1 and host2' in migration.reason
    assert (instance.vm_state, instance.task_state) == ('error', None)
    assert deployment.world.hosts['host1'].guests[instance.uuid].power == (
        Power.PAUSED
    )


def silenced(deployment):
    """host2 says nothing of its guests until the list is cleared."""
    api = deployment.managers['host1']._compute_api
    guest_state = api.guest_state
    silent = [True]

    def ask(*args):
        if silent:
            raise exception.ReplyTimeout(
                host='host2', method='guest_state', limit_s=60
            )
        return guest_state(*args)

    api.guest_state = ask
    return silent


def test_a_guest_that_ended_in_a_broken_post_copy_is_lost(deploy):
    """The source's job goes on standing there, as libvirt's does."""
    deployment, instance, migration = broken_for_good(deploy)
    guest = deployment.world.hosts['host2'].guests[instance.uuid]
    guest.set(Power.SHUTOFF, Reason.CRASHED)
    lost_at_both(deployment, instance, migration)


def test_a_broken_post_copy_waits_for_a_destination_that_is_silent(deploy):
    deployment, instance, migration = broken_for_good(deploy)
    silent = silenced(deployment)
    deployment.clock.limit_s = 600

    def reason():
        migration.refresh()
        return migration.reason or ''

    deployment.until(lambda: 'Whether the guest is on host2' in reason())
    assert reason().startswith('Post-copy is broken')
    assert migration.status == Status.POST_COPY
    deployment.world.recover_post_copy(instance.uuid)
    silent.clear()
    moved(deployment, instance, migration)
    assert migration.reason is None


def test_the_timeout_asks_once_though_there_is_no_job_any_more(deploy):
    """The call that began it hangs while nothing is under way."""
    deployment = deploy(
        options=[*SLOW, ('libvirt', 'live_migration_completion_timeout', 20)]
    )
    instance = deployment.boot(**BUSY)
    driver = deployment.managers['host1']._driver
    abort = driver.abort
    tried = []

    def no_job_at_first(guest_id):
        tried.append(guest_id)
        if len(tried) < 5:
            raise exception.NoActiveJob(guest_id=guest_id, host='host1')
        abort(guest_id)

    driver.abort = no_job_at_first
    migration = deployment.migrate(instance)
    stayed(deployment, instance, migration, Status.CANCELLED)
    rows = deployment.database.action_list(instance.uuid, {})
    assert [r['action'] for r in rows].count('live_migration_cancel') == 1


def test_no_limit_to_stopping_is_no_hurry(deploy):
    """The last words of a migration are taken down before all ends."""
    deployment = deploy(
        options=[*SLOW, ('DEFAULT', 'graceful_shutdown_timeout', 0)]
    )
    instance = deployment.boot(**BUSY)
    migration = hold(deployment, instance, 20)
    manager = deployment.managers['host1']
    start = manager._store.event_start

    def when_it_stops(*args):
        deployment.until(manager._stop.is_set)
        return start(*args)

    manager._store.event_start = when_it_stops
    deployment.force(migration, 'pause')
    deployment.stop_manager('host1')
    assert manager.registry.all() == []


def test_what_a_migration_waits_for_is_told(deploy):
    """Its destination's manager is dead, for hours maybe."""
    deployment = deploy(options=SLOW)
    instance = deployment.boot(**CONVERGES)
    migration = hold(deployment, instance, 1)
    silent = silenced(deployment)
    deployment.clock.limit_s = 600

    def told():
        migration.refresh()
        return 'not known until' in (migration.reason or '')

    deployment.until(told)
    assert migration.status == Status.RUNNING
    silent.clear()
    moved(deployment, instance, migration)
    assert migration.reason is None
