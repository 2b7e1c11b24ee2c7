"""Each thing comes and goes at its version, and at no other."""

from __future__ import annotations

import itertools

import pytest

from livemig.objects.migration import Migration
from tests.functional.api import borders
from tests.functional.api.world import (
    ADMIN,
    IMAGE,
    MIGRATIONS,
    READER,
    SERVERS,
    World,
)

#: Everything changes at these or not at all.
VERSIONS = [f'2.{minor}' for minor in (*range(1, 102), 199, 200, 201, 202)]


def number(version: str) -> int:
    return int(version.split('.')[1])


def speaks(version: str, first: str | None, last: str | None) -> bool:
    if first is None:
        return False
    return number(first) <= number(version) and (
        last is None or number(version) <= number(last)
    )


def around(*marks: str | None) -> list[str]:
    """The versions at these borders and just before and after them."""
    wanted = {1, 100, 150, 202}
    for mark in filter(None, marks):
        wanted |= {number(mark) - 1, number(mark), number(mark) + 1}
    return [f'2.{n}' for n in sorted(wanted) if 1 <= n <= 202]


def path_of(template: str) -> str:
    return template.format_map(SERVERS)


@pytest.mark.parametrize('key', borders.OPERATIONS, ids=str)
def test_operations(world: World, key) -> None:
    method, template = key
    body, first = borders.OPERATIONS[key]
    for version in around(first):
        answer = world.ask(method, path_of(template), version, body)
        if speaks(version, first, None):
            assert answer.status_int < 300 or answer.status_int == 400
        else:
            assert answer.status_int == 404, version
            assert list(answer.json_body) == ['itemNotFound']


@pytest.fixture(scope='module')
def with_event(still_world: World) -> World:
    server, request = SERVERS['running'], f'req-{SERVERS["running"]}'
    now = still_world.clock.now()
    event = {'event': 'compute_live_migration', 'host': 'host1'}
    still_world.store.event_start(
        server, request, {**event, 'start_time': now}
    )
    still_world.store.event_finish(
        server,
        request,
        {
            **event,
            'finish_time': now,
            'result': 'Error',
            'details': 'why',
            'traceback': 'where',
        },
    )
    return still_world


@pytest.mark.parametrize('key', borders.FIELDS, ids=str)
def test_fields(with_event: World, key) -> None:
    check_fields(with_event, key, borders.FIELDS[key], ADMIN)


@pytest.mark.parametrize('key', borders.READERS_FIELDS, ids=str)
def test_fields_for_readers(with_event: World, key) -> None:
    check_fields(with_event, key, borders.READERS_FIELDS[key], READER)


def check_fields(world: World, key, expected, roles) -> None:
    template, inside = key
    marks = list(itertools.chain.from_iterable(expected.values()))
    lowest = min(number(first) for first, _ in expected.values())
    for version in around(*marks):
        if number(version) < lowest:
            continue
        answer = world.ask('GET', path_of(template), version, roles=roles)
        assert answer.status_int == 200, answer.text
        found = answer.json_body
        for step in inside.split('.'):
            found = found[int(step) if step.isdigit() else step]
        wanted = {
            name
            for name, (first, last) in expected.items()
            if speaks(version, first, last)
        }
        assert set(found) == wanted, version


def test_fields_of_an_updated_server(world: World) -> None:
    expected = borders.UPDATED_SERVER
    for version in around(*itertools.chain.from_iterable(expected.values())):
        answer = world.ask(
            'PUT', f'/servers/{SERVERS["active"]}', version, {'server': {}}
        )
        assert set(answer.json_body['server']) == {
            name
            for name, (first, last) in expected.items()
            if speaks(version, first, last)
        }, version


@pytest.mark.parametrize(
    ('method', 'below', 'body', 'first', 'last'), borders.BODIES, ids=str
)
def test_bodies(world: World, method, below, body, first, last) -> None:
    path = f'/servers/{SERVERS["active"]}{below}'
    for version in around(first, last):
        answer = world.ask(method, path, version, body)
        if speaks(version, first, last):
            assert answer.status_int in (200, 202), (version, answer.text)
        else:
            assert answer.status_int == 400, (version, answer.text)


@pytest.mark.parametrize('query', borders.FILTERS)
def test_filters(still_world: World, query: str) -> None:
    first = borders.FILTERS[query]
    for version in around(first):
        path = f'/servers?{query}'
        found = still_world.ask('GET', path, version).json_body['servers']
        assert bool(found) is not speaks(version, first, None), version


@pytest.mark.parametrize(
    ('body', 'first', 'last'), borders.MIGRATE_LIVE, ids=str
)
def test_migrate_live_bodies(world: World, body, first, last) -> None:
    for version in around(first, last, '2.25', '2.30', '2.68'):
        answer = world.ask(
            'POST',
            f'/servers/{SERVERS["stopped"]}/action',
            version,
            {'os-migrateLive': body},
        )
        # A body that is right meets the server's state.
        wanted = 409 if speaks(version, first, last) else 400
        assert answer.status_int == wanted, (version, answer.text)


@pytest.mark.parametrize(
    ('version', 'body', 'bypassed'), borders.BYPASSED, ids=str
)
def test_scheduler_bypassed(world: World, version, body, bypassed) -> None:
    answer = world.ask(
        'POST',
        f'/servers/{SERVERS["active"]}/action',
        version,
        {'os-migrateLive': body},
    )
    assert answer.status_int == 202
    migration = Migration.get(world.context(), len(MIGRATIONS) + 1)
    assert migration.forced is bypassed
    assert migration.requested_host == body['host']


@pytest.mark.parametrize('key', borders.UNKNOWN_PARAMETER_REFUSED, ids=str)
def test_unknown_parameters(still_world: World, key) -> None:
    first = borders.UNKNOWN_PARAMETER_REFUSED[key]
    for version in around(first):
        answer = still_world.ask('GET', f'{path_of(key)}?colour=red', version)
        refused = speaks(version, first, None)
        assert answer.status_int == (400 if refused else 200), version


@pytest.mark.parametrize('key', borders.CREATE, ids=str)
def test_create_properties(world: World, key) -> None:
    name, value = key
    first, last = borders.CREATE[key]
    value = list(value) if isinstance(value, tuple) else value
    for version in around(first, last):
        server = {
            'name': 'a',
            'flavorRef': '1',
            'imageRef': IMAGE,
            'networks': 'none',
            name: value,
        }
        answer = world.ask('POST', '/servers', version, {'server': server})
        wanted = 202 if speaks(version, first, last) else 400
        assert answer.status_int == wanted, (version, answer.text)


def test_networks_are_required_from_2_37(world: World) -> None:
    server = {'name': 'a', 'flavorRef': '1', 'imageRef': IMAGE}
    codes = {
        version: world.ask(
            'POST', '/servers', version, {'server': server}
        ).status_int
        for version in ('2.36', '2.37')
    }
    assert codes == {'2.36': 202, '2.37': 400}


def test_changes_before_from_2_66(still_world: World) -> None:
    for path in (
        '/servers',
        '/os-migrations',
        f'/servers/{SERVERS["running"]}/os-instance-actions',
    ):
        query = f'{path}?changes-before=2020-01-01T00:00:00Z'
        empty = still_world.ask('GET', query, '2.66').json_body
        assert next(iter(empty.values())) == []
        before = still_world.ask('GET', query, '2.65')
        # Ignored, or refused where unknown ones already are.
        assert before.status_int == (200 if path == '/servers' else 400)


def test_waits_for_the_conductor_before_2_34(world: World) -> None:
    for name, version in (('active', '2.33'), ('paused', '2.34')):
        world.ask(
            'POST',
            f'/servers/{SERVERS[name]}/action',
            version,
            {'os-migrateLive': {'host': None, 'block_migration': 'auto'}},
        )
    assert [(m.kind, m.method) for m in world.messages] == [
        ('call', 'migrate_server'),
        ('cast', 'live_migrate_instance'),
    ]


def test_every_version_is_answered(still_world: World) -> None:
    for version in VERSIONS:
        answer = still_world.ask('GET', '/flavors', version)
        assert answer.status_int == 200
        header = answer.headers['OpenStack-API-Version']
        assert header == f'compute {version}'
        assert answer.headers['X-OpenStack-Nova-API-Version'] == version
        assert answer.headers.getall('Vary') == [
            'OpenStack-API-Version',
            'X-OpenStack-Nova-API-Version',
        ]
