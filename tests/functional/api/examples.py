"""A good request for each operation, by name; walkers spoil them."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.functional.api import resources
from tests.functional.api.world import IMAGE, MIGRATIONS, SERVERS


@dataclasses.dataclass(frozen=True)
class Example:
    """
    :ivar path: with ``{server_id}`` in the place of the server's id.
    :ivar version: one that has it.
    :ivar free: which keys the innermost object has is up to the client.
    :ivar anything: nobody looks at what stands under the body's key.
    :ivar good: bodies that a walker might think to be wrong.
    :ivar root: what the path is below.
    """

    method: str
    path: str
    body: Any = None
    server: str = 'active'
    version: str = '2.202'
    free: bool = False
    anything: bool = False
    good: tuple[Any, ...] = ()
    root: str = '/v2.1'

    def at(self, server_id: str) -> str:
        return self.path.replace('{server_id}', server_id)

    @property
    def url(self) -> str:
        return self.at(SERVERS[self.server])


_ACTION = '/servers/{server_id}/action'
_METADATA = '/servers/{server_id}/metadata'


def _plain(name: str, server: str = 'active') -> Example:
    """An action with nothing in its body."""
    return Example('POST', _ACTION, {name: None}, server, anything=True)


_ONE = f'/servers/{{server_id}}/migrations/{MIGRATIONS["running"]}'

EXAMPLES = {
    'versions:show': Example('GET', '/versions/v2.1'),
    'servers:index': Example('GET', '/servers'),
    'servers:detail': Example('GET', '/servers/detail'),
    'servers:show': Example('GET', '/servers/{server_id}'),
    'servers:delete': Example('DELETE', '/servers/{server_id}'),
    'servers:create': Example(
        'POST',
        '/servers',
        {
            'server': {
                'name': 'new',
                'flavorRef': '1',
                'imageRef': IMAGE,
                'networks': 'none',
            }
        },
    ),
    'servers:update': Example(
        'PUT',
        '/servers/{server_id}',
        {'server': {'name': 'other', 'description': None}},
        good=(
            {'server': {'name': 'other'}},
            {'server': {'description': None}},
        ),
    ),
    'server_metadata:index': Example('GET', _METADATA),
    'server_metadata:create': Example(
        'POST', _METADATA, {'metadata': {'a': 'b'}}, free=True
    ),
    'server_metadata:update_all': Example(
        'PUT', _METADATA, {'metadata': {'kind': 'b'}}, free=True
    ),
    'server_metadata:show': Example('GET', f'{_METADATA}/kind'),
    'server_metadata:update': Example(
        'PUT', f'{_METADATA}/kind', {'meta': {'kind': 'b'}}, free=True
    ),
    'server_metadata:delete': Example('DELETE', f'{_METADATA}/kind'),
    'servers:pause': _plain('pause'),
    'servers:unpause': _plain('unpause', 'paused'),
    'servers:suspend': _plain('suspend'),
    'servers:resume': _plain('resume', 'suspended'),
    'servers:start': _plain('os-start', 'stopped'),
    'servers:stop': _plain('os-stop'),
    'servers:reboot': Example('POST', _ACTION, {'reboot': {'type': 'HARD'}}),
    'servers:rescue': Example(
        'POST',
        _ACTION,
        {'rescue': {'adminPass': 'secret', 'rescue_image_ref': IMAGE}},
        good=(
            {'rescue': None},
            {'rescue': {'adminPass': 'secret'}},
            {'rescue': {'rescue_image_ref': IMAGE}},
        ),
    ),
    'servers:unrescue': _plain('unrescue', 'rescued'),
    'servers:lock': Example(
        'POST',
        _ACTION,
        {'lock': {'locked_reason': 'do not touch'}},
        good=({'lock': None}, {'lock': {}}),
    ),
    'servers:unlock': _plain('unlock', 'locked'),
    'servers:reset_state': Example(
        'POST', _ACTION, {'os-resetState': {'state': 'error'}}
    ),
    'servers:migrate_live': Example(
        'POST',
        '/servers/{server_id}/action',
        {'os-migrateLive': {'host': None, 'block_migration': 'auto'}},
    ),
    'servers:force_end': Example(
        'POST',
        '/servers/{server_id}/action',
        {'live-migrate-force-end': None},
        'running',
    ),
    'server_migrations:index': Example(
        'GET', '/servers/{server_id}/migrations', server='running'
    ),
    'server_migrations:show': Example('GET', _ONE, server='running'),
    'server_migrations:abort': Example('DELETE', _ONE, server='running'),
    'server_migrations:force_complete': Example(
        'POST', f'{_ONE}/action', {'force_complete': None}, 'running'
    ),
    'migrations:index': Example('GET', '/os-migrations'),
    'instance_actions:index': Example(
        'GET', '/servers/{server_id}/os-instance-actions'
    ),
    'instance_actions:show': Example(
        'GET',
        f'/servers/{{server_id}}/os-instance-actions/req-{SERVERS["running"]}',
        server='running',
    ),
    'flavors:index': Example('GET', '/flavors'),
    'flavors:detail': Example('GET', '/flavors/detail'),
    'flavors:show': Example('GET', '/flavors/1'),
    'services:index': Example('GET', '/os-services'),
    **{
        name: Example(**given)
        for name, (_least, given) in resources.RESOURCES.items()
    },
}
