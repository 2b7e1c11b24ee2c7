"""Ids that no migration, host or service has, and actions that are Nova's
alone: refused with the code of the call, whatever they look like."""

from __future__ import annotations

import urllib.parse

import pytest

from tests.functional.api.test_refusals import check
from tests.functional.api.world import MIGRATIONS, SERVERS, UNKNOWN, World

#: As in a URL once it is unquoted. 4 is the id of a running migration:
#: some databases take what only begins with it for it. The last are more
#: than any database counts.
NO_NUMBERS = [
    '4abc', '4.0', '-4', '+4', ' 4', '4 ', '\n4', '4\0', '4e0', '0x4', '4_',
    '٤', '４', 'null', 'None', '%', UNKNOWN, 'é', "4'--", '4;', '4,5',
    str(2**63), str(2**64 + 4), '9' * 400,
]  # fmt: skip
NUMBERS_OF_NOTHING = ['0', '999', str(2**31), str(2**32 + 4)]


def _words(text: str) -> list[str]:
    return text.split()


def quoted(text: str) -> str:
    return urllib.parse.quote(text, safe='')


@pytest.mark.parametrize('text', [*NO_NUMBERS, *NUMBERS_OF_NOTHING])
def test_migrations(still_world: World, text: str) -> None:
    assert MIGRATIONS['running'] == 4
    path = f'/servers/{SERVERS["running"]}/migrations/{quoted(text)}'
    check(still_world.ask('GET', path), 404)
    check(still_world.ask('DELETE', path), 404)
    body = {'force_complete': None}
    check(still_world.ask('POST', f'{path}/action', body=body), 400)
    assert still_world.messages == []


def test_another_servers_migration(still_world: World) -> None:
    path = f'/servers/{SERVERS["running"]}/migrations/{MIGRATIONS["queued"]}'
    check(still_world.ask('GET', path), 404)
    check(still_world.ask('DELETE', path), 404)
    body = {'force_complete': None}
    check(still_world.ask('POST', f'{path}/action', body=body), 400)


@pytest.mark.parametrize(
    ('path', 'version', 'of_text', 'of_number'),
    [
        ('/os-hypervisors/{}', '2.52', 404, 404),
        ('/os-hypervisors/{}', '2.53', 400, 400),
        ('/os-hypervisors/{}/uptime', '2.52', 404, 404),
        ('/os-hypervisors/{}/uptime', '2.87', 400, 400),
    ],
)
def test_hypervisors(still_world, path, version, of_text, of_number) -> None:
    check_all(still_world, 'GET', path, version, of_text, of_number, None)


@pytest.mark.parametrize(
    ('method', 'version', 'of_text', 'of_number', 'body'),
    [
        ('DELETE', '2.52', 400, 404, None),
        ('DELETE', '2.53', 400, 400, None),
        ('PUT', '2.53', 400, 400, {'status': 'disabled'}),
    ],
)
def test_services(
    still_world: World, method, version, of_text, of_number, body
) -> None:
    path = '/os-services/{}'
    check_all(still_world, method, path, version, of_text, of_number, body)


def check_all(
    world: World, method, path, version, of_text, of_number, body
) -> None:
    for texts, code in (
        (NO_NUMBERS, of_text),
        (NUMBERS_OF_NOTHING, of_number),
    ):
        for text in texts:
            # A uuid, though nobody's.
            is_uuid = text == UNKNOWN and version != '2.52'
            answer = world.ask(
                method, path.format(quoted(text)), version, body
            )
            check(answer, 404 if is_uuid else code)


#: Nova's actions of a server that livemig does not have.
ACTIONS_OF_NOVA = _words(
    'addFloatingIp removeFloatingIp addFixedIp removeFixedIp '
    'addSecurityGroup removeSecurityGroup changePassword confirmResize '
    'revertResize resize createBackup createImage evacuate forceDelete '
    'restore injectNetworkInfo resetNetwork migrate os-getConsoleOutput '
    'os-getRDPConsole os-getSerialConsole os-getSPICEConsole '
    'os-getVNCConsole rebuild shelve shelveOffload unshelve '
    'trigger_crash_dump'
)


@pytest.mark.parametrize('name', ACTIONS_OF_NOVA)
def test_actions_of_nova(still_world: World, name: str) -> None:
    for server in (SERVERS['active'], UNKNOWN):
        for version in ('2.1', '2.100', '2.202'):
            for body in (None, {}, {'host': 'host2'}):
                answer = still_world.ask(
                    'POST', f'/servers/{server}/action', version, {name: body}
                )
                assert name in check(answer, 400)


@pytest.mark.parametrize('name', ['', 'fly', 'os-migratelive', 'a' * 5000])
def test_actions_of_nobody(still_world: World, name: str) -> None:
    answer = still_world.ask(
        'POST', f'/servers/{SERVERS["active"]}/action', body={name: None}
    )
    assert 'no such action' in check(answer, 400)
