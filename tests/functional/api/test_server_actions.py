"""What server actions write and send, and what they do when they cannot."""

from __future__ import annotations

from typing import Any

import pytest

from livemig import exception
from tests.functional.api.world import (
    IMAGE,
    MEMBER,
    SERVERS,
    STABLE_IMAGE,
    Message,
    World,
)

AWAY = exception.BrokerUnreachable(limit_s=10)

#: body -> server, task_state, message and its arguments
ORDERS: list[tuple[dict[str, Any], str, str, str, dict[str, str]]] = [
    ({'pause': None}, 'active', 'pausing', 'pause', {}),
    ({'unpause': None}, 'paused', 'unpausing', 'unpause', {}),
    ({'suspend': None}, 'active', 'suspending', 'suspend', {}),
    ({'resume': None}, 'suspended', 'resuming', 'resume', {}),
    ({'os-start': None}, 'stopped', 'powering-on', 'start', {}),
    ({'os-stop': None}, 'active', 'powering-off', 'stop', {}),
    ({'rescue': None}, 'active', 'rescuing', 'rescue', {}),
    ({'unrescue': None}, 'rescued', 'unrescuing', 'unrescue', {}),
    (
        {'reboot': {'type': 'soft'}}, 'active', 'rebooting', 'reboot',
        {'reboot_type': 'SOFT'},
    ),
    (
        {'reboot': {'type': 'Hard'}}, 'error', 'rebooting_hard', 'reboot',
        {'reboot_type': 'HARD'},
    ),
]  # fmt: skip
EACH = pytest.mark.parametrize(
    ('body', 'server', 'task_state', 'name', 'arguments'), ORDERS
)


def act(world: World, server: str, body: dict[str, Any], **more: Any):
    return world.ask(
        'POST', f'/servers/{SERVERS[server]}/action', body=body, **more
    )


@EACH
def test_an_order_is_written_and_sent(
    world: World, body, server, task_state, name, arguments
) -> None:
    answer = act(world, server, body)
    assert answer.status_int == (200 if name == 'rescue' else 202)
    instance = world.instance(server)
    assert instance.task_state == task_state
    request_id = answer.headers['X-Compute-Request-Id']
    action = world.store.action_get(SERVERS[server], request_id)
    assert (action['action'], action['user_id']) == (name, 'operator')
    assert world.messages == [
        Message(
            'cast', 'compute', 'host1', f'{name}_instance',
            {'instance_uuid': SERVERS[server], **arguments},
        )
    ]  # fmt: skip


@EACH
def test_an_order_stands_though_the_broker_is_away(
    world: World, body, server, task_state, name, arguments
) -> None:
    world.failures[f'{name}_instance'] = AWAY
    answer = act(world, server, body)
    assert answer.status_int == (200 if name == 'rescue' else 202)
    assert world.instance(server).task_state == task_state
    assert world.actions(server)[0] == name


@EACH
def test_an_order_that_races(
    world: World, body, server, task_state, name, arguments
) -> None:
    """Somebody else was first: nothing is written, nothing sent."""
    update = world.store.instance_update

    def racing(uuid, values, *more):
        update(uuid, {'task_state': 'migrating'})
        return update(uuid, values, *more)

    world.store.instance_update = racing
    answer = act(world, server, body)
    assert answer.status_int == 409
    assert 'changed meanwhile' in answer.text
    assert world.instance(server).task_state == 'migrating'
    assert world.actions(server) == ['create']
    assert world.messages == []


@EACH
def test_no_order_while_it_migrates(
    world: World, body, server, task_state, name, arguments
) -> None:
    vm_state = world.instance(server).vm_state
    world.instance('running').update_values(vm_state=vm_state)
    answer = act(world, 'running', body)
    assert answer.status_int == 409
    assert 'task_state migrating' in answer.text
    assert world.instance('running').task_state == 'migrating'
    assert world.messages == []


@EACH
def test_no_order_to_a_server_without_a_host(
    world: World, body, server, task_state, name, arguments
) -> None:
    world.instance(server).update_values(host=None)
    answer = act(world, server, body)
    assert answer.status_int == 409
    assert 'never launched' in answer.text


# -- rescue -----------------------------------------------------------------
def rescue(world: World, **asked: str):
    answer = act(world, 'active', {'rescue': asked or None})
    assert answer.status_int == 200, answer.text
    return answer.json_body


def test_rescued_with_its_own_image(world: World) -> None:
    rescue(world)
    instance = world.instance('active')
    assert instance.rescue == instance.image
    assert instance.rescue['id'] == IMAGE


def test_rescued_with_a_named_image(world: World) -> None:
    rescue(world, rescue_image_ref=IMAGE.upper())
    image = world.instance('active').rescue
    assert (image['id'], image['kernel']) == (IMAGE, '/images/proof')
    # A disk without a size of its own is as large as the flavor says.
    assert [disk['size_bytes'] for disk in image['disks']] == [2**31, 2**30]


def test_rescued_with_the_configured_image(world: World) -> None:
    world.conf.set_override('rescue_image_ref', IMAGE, 'api')
    rescue(world)
    assert world.instance('active').rescue['cmdline'] == 'ws=16'


def test_a_configured_image_that_does_not_do(world: World) -> None:
    for image in (STABLE_IMAGE, 'deadbeef'):
        world.conf.set_override('rescue_image_ref', image, 'api')
        answer = act(world, 'active', {'rescue': None})
        assert answer.status_int == 400
        assert image in answer.text
    assert world.instance('active').task_state is None


def test_no_passwords(world: World) -> None:
    world.conf.set_override('enable_instance_password', False, 'api')
    assert rescue(world, adminPass='mine') == {}


# -- lock and reset ---------------------------------------------------------
def test_who_locked_is_written(world: World) -> None:
    act(world, 'active', {'lock': None})
    assert world.instance('active').locked_by == 'owner'
    act(world, 'foreign', {'lock': {'locked_reason': 'why'}})
    foreign = world.instance('foreign')
    assert (foreign.locked_by, foreign.locked_reason) == ('admin', 'why')


def test_an_admins_lock_takes_the_place_of_another(world: World) -> None:
    world.instance('foreign').update_values(locked=True, locked_by='owner')
    act(world, 'foreign', {'lock': None})
    assert world.instance('foreign').locked_by == 'admin'


def test_its_owner_cannot_take_an_admins_lock_over(world: World) -> None:
    answer = act(world, 'locked-by-admin', {'lock': None}, roles=MEMBER)
    assert answer.status_int == 202
    assert world.instance('locked-by-admin').locked_by == 'admin'


def test_nothing_of_that_is_sent(world: World) -> None:
    act(world, 'active', {'lock': None})
    act(world, 'active', {'unlock': None})
    act(world, 'active', {'os-resetState': {'state': 'error'}})
    assert world.messages == []
    assert world.instance('active').vm_state == 'error'


def test_a_reset_that_races_a_migration(world: World) -> None:
    update = world.store.instance_update

    def racing(uuid, values, *more):
        update(uuid, {'task_state': 'migrating'})
        return update(uuid, values, *more)

    world.store.instance_update = racing
    answer = act(world, 'active', {'os-resetState': {'state': 'active'}})
    assert answer.status_int == 409
    assert world.instance('active').task_state == 'migrating'


@pytest.mark.parametrize('body', [{'lock': None}, {'unlock': None}])
def test_deleted_meanwhile(world: World, body) -> None:
    world.store.instance_update = lambda *_: None
    assert act(world, 'active', body).status_int == 404


# -- metadata ---------------------------------------------------------------
METADATA = f'/servers/{SERVERS["active"]}/metadata'


def test_metadata_that_races(world: World) -> None:
    """Neither of two changes is lost."""
    update = world.store.instance_update
    raced = []

    def racing(uuid, values, *more):
        if not raced:
            raced.append(update(uuid, {'metadata': {'other': 'first'}}))
        return update(uuid, values, *more)

    world.store.instance_update = racing
    answer = world.ask('POST', METADATA, body={'metadata': {'a': 'b'}})
    assert answer.json_body == {'metadata': {'other': 'first', 'a': 'b'}}
    assert raced


def test_metadata_that_always_races(world: World) -> None:
    world.store.instance_update = lambda *_: None
    answer = world.ask('POST', METADATA, body={'metadata': {'a': 'b'}})
    assert answer.status_int == 409


def test_no_more_metadata_than_there_may_be(world: World) -> None:
    many = {f'key {number}': '' for number in range(128)}
    full = world.ask('PUT', METADATA, body={'metadata': many})
    assert len(full.json_body['metadata']) == 128
    answer = world.ask('POST', METADATA, body={'metadata': {'one': 'more'}})
    assert answer.status_int == 403
    assert 'at most 128' in answer.text
    same = world.ask('POST', METADATA, body={'metadata': {'key 1': 'new'}})
    assert same.status_int == 200
    tested = world.ask('PUT', METADATA, body={'metadata': {**many, 'a': ''}})
    assert tested.status_int == 400


# -- an interface -----------------------------------------------------------
@pytest.mark.parametrize(
    ('networks', 'has_one'),
    [('auto', True), ('none', False), ([], True), (None, True)],
)
def test_a_mac_address_if_there_is_an_interface(
    world: World, networks, has_one
) -> None:
    server = {'name': 'a', 'flavorRef': '1', 'imageRef': IMAGE}
    if networks is not None:
        server['networks'] = networks
    answer = world.ask('POST', '/servers', '2.36', {'server': server})
    assert answer.status_int == 202, answer.text
    row = world.store.instance_get(answer.json_body['server']['id'])
    assert (row['mac_address'] or '').startswith('52:54:00:') is has_one
