"""What the API writes and sends, and what it does when it cannot send."""

from __future__ import annotations

import pytest

from livemig import exception
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from tests.functional.api.world import (
    IMAGE,
    MIGRATIONS,
    SERVERS,
    Message,
    World,
)

AUTO = {'os-migrateLive': {'host': None, 'block_migration': 'auto'}}
AWAY = exception.BrokerUnreachable(limit_s=10)
NEW = len(MIGRATIONS) + 1


def migrate(world: World, name: str = 'active', version: str = '2.34'):
    return world.ask('POST', f'/servers/{SERVERS[name]}/action', version, AUTO)


def abort(world: World, name: str):
    return world.ask(
        'DELETE', f'/servers/{SERVERS[name]}/migrations/{MIGRATIONS[name]}'
    )


def force(world: World, name: str):
    return world.ask(
        'POST',
        f'/servers/{SERVERS[name]}/migrations/{MIGRATIONS[name]}/action',
        body={'force_complete': None},
    )


def force_end(world: World, name: str):
    return world.ask(
        'POST',
        f'/servers/{SERVERS[name]}/action',
        body={'live-migrate-force-end': None},
    )


# -- migrate ----------------------------------------------------------------
def test_migrate_writes_everything_first(world: World) -> None:
    answer = world.ask(
        'POST',
        f'/servers/{SERVERS["active"]}/action',
        '2.24',
        {
            'os-migrateLive': {
                'host': 'host2',
                'block_migration': 'True',
                'disk_over_commit': False,
            }
        },
    )
    assert answer.status_int == 202
    migration = Migration.get(world.context(), NEW)
    assert migration.status == 'accepted'
    assert migration.migration_type == 'live-migration'
    assert migration.source_compute == 'host1'
    assert migration.requested_host == 'host2'
    assert migration.dest_compute is None
    assert migration.block_migration is True
    assert migration.disk_over_commit is False
    assert migration.old_flavor_id == migration.new_flavor_id == '1'
    assert migration.user_id == 'operator'
    assert migration.request_id == answer.headers['X-Compute-Request-Id']
    assert world.instance('active').task_state == 'migrating'
    assert world.actions('active') == ['live-migration', 'create']
    assert world.messages == [
        Message(
            'call', 'conductor', None, 'migrate_server',
            {'migration_id': NEW},
        )
    ]  # fmt: skip


def test_auto_is_nothing_written(world: World) -> None:
    migrate(world)
    assert Migration.get(world.context(), NEW).block_migration is None


@pytest.mark.parametrize(
    ('version', 'method'),
    [('2.33', 'migrate_server'), ('2.34', 'live_migrate_instance')],
)
def test_migrate_without_a_broker(world: World, version, method) -> None:
    world.failures[method] = AWAY
    answer = migrate(world, version=version)
    assert answer.status_int == 503
    assert 'broker' in answer.json_body['serviceUnavailable']['message']
    assert world.instance('active').task_state is None
    migration = Migration.get(world.context(), NEW)
    assert migration.status == 'error'
    assert 'broker' in str(migration.reason)
    request_id = answer.headers['X-Compute-Request-Id']
    action = world.store.action_get(SERVERS['active'], request_id)
    assert action['message'] == 'Error'
    assert [e['result'] for e in action['events']] == ['Error']
    # And it can be tried again.
    del world.failures[method]
    assert migrate(world, version=version).status_int == 202


def test_migrate_that_was_sent_after_all(world: World) -> None:
    """The message arrived, though its sender was told otherwise."""

    def placed() -> None:
        world.failures['live_migrate_instance'] = AWAY
        Migration.get(world.context(), NEW).fire('enqueue')
        raise AWAY

    world.then['live_migrate_instance'] = placed
    assert migrate(world).status_int == 202
    assert Migration.get(world.context(), NEW).status == 'queued'
    assert world.instance('active').task_state == 'migrating'


def test_migrate_that_is_not_answered(world: World) -> None:
    world.failures['migrate_server'] = exception.ReplyTimeout(
        host='conductor', method='migrate_server', limit_s=1800
    )
    answer = migrate(world, version='2.33')
    assert answer.status_int == 503
    message = answer.json_body['serviceUnavailable']['message']
    assert 'may be going on' in message
    assert world.instance('active').task_state == 'migrating'


@pytest.mark.parametrize(
    'error',
    [
        exception.MigrationPreCheckError(text='disk full; CPU too old'),
        exception.NoValidHost(reason='host2: no room.'),
        exception.UnableToMigrateToSelf(instance_id='i', host='host1'),
        exception.ComputeServiceUnavailable(host='host1'),
        exception.HypervisorUnavailable(host='host1', reason='gone'),
        exception.HostNotFound(host='host9'),
    ],
    ids=lambda error: type(error).__name__,
)
def test_migrate_that_cannot_be_placed(world: World, error) -> None:
    world.failures['migrate_server'] = error
    answer = migrate(world, version='2.33')
    assert answer.status_int == 400
    assert answer.json_body['badRequest']['message'] == error.message


def test_two_at_once(world: World) -> None:
    """Both saw an idle instance; one of them gets it."""
    swap = world.store.migration_begin

    def slow(*args, **kwargs):
        Instance.get(world.context(), SERVERS['active']).update_values(
            task_state='migrating'
        )
        return swap(*args, **kwargs)

    world.store.migration_begin = slow
    assert migrate(world).status_int == 409
    assert world.actions('active') == ['create']
    assert world.messages == []


# -- rescued ----------------------------------------------------------------
def rescued(world: World, host: str | None = None):
    return world.ask(
        'POST',
        f'/servers/{SERVERS["rescued"]}/action',
        '2.200',
        {'os-migrateLive': {'host': host, 'block_migration': 'auto'}},
    )


def refusal(answer) -> str:
    assert answer.status_int == 400, answer.text
    return answer.json_body['badRequest']['message']


def test_rescued_where_both_ends_can(world: World) -> None:
    world.report('host1', rescued=True)
    world.report('host2', rescued=True)
    assert rescued(world, 'host2').status_int == 202
    shown = world.ask('GET', f'/servers/{SERVERS["rescued"]}').json_body
    assert shown['server']['status'] == 'MIGRATING'


def test_rescued_to_any_host_that_can(world: World) -> None:
    world.report('host1', rescued=True)
    world.report('host2', rescued=True)
    assert rescued(world).status_int == 202


def test_rescued_source_cannot(world: World) -> None:
    world.report('host2', rescued=True)
    message = refusal(rescued(world, 'host2'))
    assert 'source host host1: its driver' in message
    assert 'host2' not in message


def test_rescued_destination_cannot(world: World) -> None:
    world.report('host1', rescued=True)
    message = refusal(rescued(world, 'host2'))
    assert 'destination host host2: its driver' in message
    assert 'host1' not in message


def test_rescued_no_destination_can(world: World) -> None:
    world.report('host1', rescued=True)
    world.report('host3')
    message = refusal(rescued(world))
    assert 'destination host host2: its driver' in message
    assert 'destination host host3: its driver' in message


def test_rescued_where_a_manager_is_too_old(world: World) -> None:
    world.report('host1', rescued=True)
    world.report('host2', rescued=True, version=1)
    message = refusal(rescued(world, 'host2'))
    assert 'destination host host2: its compute manager is too old' in message
    assert world.instance('rescued').task_state is None


def test_rescued_with_old_managers(world: World) -> None:
    world.report('host1', rescued=True)
    world.report('host2', rescued=True)
    world.version_cap = '1.2'
    message = refusal(rescued(world, 'host2'))
    assert message.startswith('Host host1 (source) cannot migrate a rescued')
    assert '1.3' in message
    assert world.messages == []


# -- abort and force --------------------------------------------------------
def test_abort(world: World) -> None:
    answer = abort(world, 'running')
    assert answer.status_int == 202
    migration = world.migration('running')
    assert migration.status == 'running'
    assert migration.abort_requested_by == 'operator'
    request_id = answer.headers['X-Compute-Request-Id']
    assert migration.abort_request_id == request_id
    assert world.actions('running')[0] == 'live_migration_cancel'
    assert world.instance('running').task_state == 'migrating'
    assert world.messages == [
        Message(
            'cast', 'compute', 'host1', 'live_migration_abort',
            {'migration_id': MIGRATIONS['running']},
        )
    ]  # fmt: skip


def test_second_abort_does_nothing(world: World) -> None:
    assert abort(world, 'aborting').status_int == 400
    assert world.messages == []
    assert 'live_migration_cancel' not in world.actions('aborting')
    assert world.migration('aborting').abort_request_id == 'req-first'


def test_abort_without_a_broker_stands(world: World) -> None:
    world.failures['live_migration_abort'] = AWAY
    assert abort(world, 'running').status_int == 202
    assert world.migration('running').abort_requested_at is not None


def test_abort_pinned_below(world: World) -> None:
    world.version_cap = '1.1'
    message = refusal(abort(world, 'running'))
    assert 'host1' in message
    assert '1.2' in message
    assert world.migration('running').abort_requested_at is None
    assert world.messages == []
    assert world.actions('running') == ['live-migration', 'create']


def test_force(world: World) -> None:
    assert force(world, 'running').status_int == 202
    migration = world.migration('running')
    assert migration.force_method == 'auto'
    assert migration.force_requested_by == 'operator'
    assert world.messages == [
        Message(
            'cast', 'compute', 'host1', 'live_migration_force_complete',
            {'migration_id': MIGRATIONS['running']},
        )
    ]  # fmt: skip


def test_second_force_sends_nothing(world: World) -> None:
    force(world, 'running')
    first = world.migration('running').force_request_id
    assert force_end(world, 'running').status_int == 202
    assert len(world.messages) == 1
    assert world.migration('running').force_request_id == first
    assert world.migration('running').force_method == 'auto'


def test_force_end_pauses(world: World) -> None:
    assert force_end(world, 'running').status_int == 202
    assert world.migration('running').force_method == 'pause'


def test_force_without_a_broker_stands(world: World) -> None:
    world.failures['live_migration_force_complete'] = AWAY
    assert force(world, 'running').status_int == 202
    assert world.migration('running').force_requested_at is not None


def test_force_pinned_below(world: World) -> None:
    world.version_cap = '1.0'
    message = refusal(force(world, 'running'))
    assert 'host1' in message
    assert '1.1' in message
    assert force_end(world, 'running').status_int == 409
    assert world.migration('running').force_requested_at is None
    assert world.messages == []


def test_locked_ones(world: World) -> None:
    """For those who are no admins but may by policy."""
    (world.directory / 'policy.yaml').write_text(
        '"os_compute_api:servers:migrations:delete": "role:member"\n'
        '"os_compute_api:servers:migrations:force_complete": "role:member"\n'
        '"os_compute_api:os-migrate-server:migrate_live": "role:member"\n'
        '"os_compute_api:servers:live_migrate_force_end": "role:member"\n'
    )
    base = f'/servers/{SERVERS["running-locked"]}'
    one = f'{base}/migrations/{MIGRATIONS["running-locked"]}'
    locked = f'/servers/{SERVERS["locked"]}'
    for method, path, body in (
        ('DELETE', one, None),
        ('POST', f'{one}/action', {'force_complete': None}),
        ('POST', f'{base}/action', {'live-migrate-force-end': None}),
        ('POST', f'{locked}/action', AUTO),
    ):
        answer = world.ask(method, path, body=body, roles=('member',))
        assert answer.status_int == 409, path
        assert 'locked' in answer.text
    assert world.messages == []


@pytest.mark.parametrize('task_state', [None, 'deleting', 'pausing'])
def test_an_instance_that_does_not_migrate(world: World, task_state) -> None:
    """Whatever its migration's status says."""
    world.instance('running').update_values(task_state=task_state)
    for ask in (abort, force):
        assert 'task_state' in refusal(ask(world, 'running'))
    assert force_end(world, 'running').status_int == 409
    assert world.messages == []
    assert world.migration('running').abort_requested_at is None
    assert world.migration('running').force_requested_at is None


def test_force_of_what_cannot_be_forced(world: World) -> None:
    world.instance('running').update_values(vm_state='error')
    assert 'vm_state error' in refusal(force(world, 'running'))
    assert force_end(world, 'running').status_int == 409
    # To abort it the state does not matter.
    assert abort(world, 'running').status_int == 202


def test_another_kind_of_migration(world: World) -> None:
    world.migration('running').save_values(migration_type='resize')
    assert force(world, 'running').status_int == 400
    assert abort(world, 'running').status_int == 400
    listed = world.ask('GET', f'/servers/{SERVERS["running"]}/migrations')
    assert listed.json_body == {'migrations': []}
    one = f'/servers/{SERVERS["running"]}/migrations/{MIGRATIONS["running"]}'
    assert world.ask('GET', one).status_int == 404


def test_hidden_migrations(world: World) -> None:
    world.migration('completed').save_values(hidden=True)
    listed = world.ask('GET', '/os-migrations?status=completed')
    assert listed.json_body == {'migrations': []}


# -- delete and create ------------------------------------------------------
def test_delete_while_migrating(world: World) -> None:
    answer = world.ask('DELETE', f'/servers/{SERVERS["running"]}')
    assert answer.status_int == 204
    assert world.instance('running').task_state == 'deleting'
    assert world.migration('running').status == 'running'
    assert world.actions('running')[0] == 'delete'
    assert world.messages == [
        Message(
            'cast', 'compute', 'host1', 'terminate_instance',
            {'instance_uuid': SERVERS['running']},
        )
    ]  # fmt: skip


def test_delete_without_a_broker_stands(world: World) -> None:
    world.failures['terminate_instance'] = AWAY
    answer = world.ask('DELETE', f'/servers/{SERVERS["active"]}')
    assert answer.status_int == 204
    assert world.instance('active').task_state == 'deleting'


def test_delete_that_races(world: World) -> None:
    """Its migration ends while it is deleted: the swap is tried again."""
    update = world.store.instance_update
    raced = []

    def racing(uuid, values, *more):
        if not raced:
            raced.append(update(uuid, {'task_state': None, 'host': 'host2'}))
        return update(uuid, values, *more)

    world.store.instance_update = racing
    answer = world.ask('DELETE', f'/servers/{SERVERS["running"]}')
    assert answer.status_int == 204
    assert world.messages[0].server == 'host2'


def create(world: World, **more):
    server = {
        'name': 'new', 'flavorRef': '1', 'imageRef': IMAGE,
        'networks': 'none', **more,
    }  # fmt: skip
    return world.ask('POST', '/servers', body={'server': server})


def test_create_copies_flavor_and_image(world: World) -> None:
    uuid = create(world).json_body['server']['id']
    instance = Instance.get(world.context(), uuid)
    assert instance.flavor == {
        'id': '1', 'name': 'tiny', 'ram': 64, 'vcpus': 1, 'disk': 2,
        'ephemeral': 0, 'swap': 0, 'extra_specs': {'hw:cpu': 'any'},
    }  # fmt: skip
    assert instance.image == {
        'id': IMAGE, 'name': 'proof', 'kernel': '/images/proof',
        'initrd': '', 'cmdline': 'ws=16', 'properties': {'os': 'none'},
        'disks': [
            {
                'device': 'vda', 'format': 'qcow2',
                'size_bytes': 2 * 1024**3, 'image_file': '',
                'image_format': 'raw',
            },
            {
                'device': 'vdb', 'format': 'raw', 'size_bytes': 1024**3,
                'image_file': '', 'image_format': 'raw',
            },
        ],
    }  # fmt: skip
    assert (instance.vm_state, instance.task_state) == (
        'building', 'scheduling',
    )  # fmt: skip
    assert (instance.memory_mb, instance.vcpus, instance.root_gb) == (64, 1, 2)
    assert instance.host is None
    assert world.messages == [
        Message(
            'cast', 'conductor', None, 'build_instance',
            {'instance_uuid': uuid},
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('networks', 'interface'), [('none', False), ('auto', True), ([], True)]
)
def test_create_with_an_interface(world: World, networks, interface) -> None:
    """No networks are as if nothing had been said of them."""
    uuid = create(world, networks=networks).json_body['server']['id']
    instance = Instance.get(world.context(), uuid)
    assert (instance.mac_address is not None) is interface


def test_a_password_is_answered_and_kept_nowhere(world: World) -> None:
    """Clients expect the key."""
    server = create(world, adminPass='known only here').json_body['server']
    assert server['adminPass'] == 'known only here'
    instance = Instance.get(world.context(), server['id'])
    assert 'known only here' not in repr(instance.to_values())
    assert 'known only here' not in repr(world.messages)
    made_up = [create(world).json_body['server']['adminPass'] for _ in '12']
    assert made_up[0] != made_up[1]


def test_create_without_a_broker_leaves_nothing(world: World) -> None:
    world.failures['build_instance'] = AWAY
    assert create(world, min_count=2).status_int == 503
    listed = world.ask('GET', '/servers?name=^new').json_body
    assert listed['servers'] == []


def test_create_without_passwords(world: World) -> None:
    world.conf.set_override('enable_instance_password', False, 'api')
    assert 'adminPass' not in create(world).json_body['server']


def test_catalogue_that_never_was(world: World) -> None:
    world.conf.set_override('path', '/nowhere.yaml', 'catalogue')
    world.assemble()
    answer = create(world)
    assert answer.status_int == 503
    assert '/nowhere.yaml' in answer.text


# -- what comes from elsewhere ----------------------------------------------
def test_database_away(world: World) -> None:
    def away(*_args, **_kwargs):
        raise exception.DatabaseUnreachable

    world.store.instance_get = away
    answer = world.ask('GET', f'/servers/{SERVERS["active"]}')
    assert answer.status_int == 503
    assert 'serviceUnavailable' in answer.json_body


def test_our_own_mistakes_tell_nothing(world: World, caplog) -> None:
    def broken(*_args, **_kwargs):
        raise RuntimeError('the password is swordfish')

    world.store.instance_get = broken
    answer = world.ask('GET', f'/servers/{SERVERS["active"]}', '2.50')
    assert answer.status_int == 500
    fault = answer.json_body['computeFault']
    assert 'RuntimeError' in fault['message']
    assert 'swordfish' not in answer.text
    assert 'Traceback' not in answer.text
    assert 'swordfish' in caplog.text
    assert answer.headers['OpenStack-API-Version'] == 'compute 2.50'
    assert answer.headers['X-OpenStack-Request-Id'].startswith('req-')
