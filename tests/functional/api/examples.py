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
    :ivar root: what the path is below.
    """

    method: str
    path: str
    body: Any = None
    server: str = 'active'
    version: str = '2.202'
    free: bool = False
    root: str = '/v2.1'

    def at(self, server_id: str) -> str:
        return self.path.replace('{server_id}', server_id)

    @property
    def url(self) -> str:
        return self.at(SERVERS[self.server])


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
