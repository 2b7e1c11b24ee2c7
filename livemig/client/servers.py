"""Commands on servers: create, list, show, delete, migrate."""

import argparse
from typing import Any

from cliff import show

from livemig.client import base, cells, errors, lookup, watching
from livemig.client.compute import Compute, Json
from livemig.client.listing import Column, Table

_COLUMNS = (
    Column('ID', 'id'),
    Column('Name', 'name'),
    Column('Status', 'status'),
    Column('Task State', 'OS-EXT-STS:task_state', 2),
    Column('Host', 'OS-EXT-SRV-ATTR:host', 1),
)

#: What is shown of a server, by the wire's name without its namespace.
_FIELDS = {
    'id': 'id',
    'name': 'name',
    'status': 'status',
    'vm_state': 'OS-EXT-STS:vm_state',
    'task_state': 'OS-EXT-STS:task_state',
    'power_state': 'OS-EXT-STS:power_state',
    'progress': 'progress',
    'host': 'OS-EXT-SRV-ATTR:host',
    'flavor': 'flavor',
    'image': 'image',
    'locked': 'locked',
    'project_id': 'tenant_id',
    'user_id': 'user_id',
    'created': 'created',
    'updated': 'updated',
    'fault': 'fault',
}
_KINDS = {
    'power_state': cells.Power,
    'flavor': cells.Flavor,
    'image': cells.Image,
    'created': cells.Moment,
    'updated': cells.Moment,
    'fault': cells.Fault,
}


class CreateServer(base.Operation, show.ShowOne):
    """Create a server without a network

    Flavor and image are named by id or name.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('name', metavar='NAME', help='its name')
        parser.add_argument(
            '--flavor', required=True, help='id or name of its flavor'
        )
        parser.add_argument(
            '--image', required=True, help='id or name of its image'
        )
        parser.add_argument(
            '--host', help='where it shall run (needs compute API 2.74)'
        )
        base.add_wait(parser, 'when the server runs')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        self.compute.need('2.37', 'Creating a server without a network')
        if parsed_args.host:
            self.compute.need('2.74', 'Choosing the host of a new server')
        wanted = {
            'name': parsed_args.name,
            'flavorRef': lookup.flavor_id(self.compute, parsed_args.flavor),
            'imageRef': lookup.image_id(self.compute, parsed_args.image),
            'networks': 'none',
        }
        if parsed_args.host:
            wanted['host'] = parsed_args.host
        uuid = self.compute.post('/servers', {'server': wanted})['server'][
            'id'
        ]
        if parsed_args.wait:
            self.waiter(
                parsed_args, f'server {uuid} is still being created'
            ).until(lambda: _running(self.compute, uuid))
        return _sheet(lookup.server(self.compute, uuid))


class ListServers(base.Listing):
    """List servers"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('--host', help='only those on this host')
        parser.add_argument('--status', help='only those with this status')
        parser.add_argument(
            '--all-projects',
            action='store_true',
            default=None,
            help='those of all projects',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        servers = self.compute.pages(
            '/servers/detail',
            'servers',
            host=parsed_args.host,
            status=parsed_args.status,
            all_tenants=parsed_args.all_projects,
        )
        return self.table(parsed_args, list(servers), _COLUMNS)


class ShowServer(base.Operation, show.ShowOne):
    """Show a server"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        return _sheet(
            lookup.server(self.compute, self.server_uuid(parsed_args))
        )


class DeleteServer(base.Operation):
    """Delete a server"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        base.add_wait(parser, 'when the server is gone')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        uuid = self.server_uuid(parsed_args)
        self.compute.delete(f'/servers/{uuid}')
        if parsed_args.wait:
            self.waiter(
                parsed_args, f'server {uuid} is still being deleted'
            ).until(lambda: _gone(self.compute, uuid))


class MigrateServer(base.Operation):
    """Start the live migration of a server

    Without --host the service chooses a host. Without --block-migration and
    --shared-migration the hosts find out whether disks are to be copied.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        parser.add_argument(
            '--live',
            action='store_true',
            required=True,
            help='while it runs; there is no other way here',
        )
        parser.add_argument('--host', help='the host to move it to')
        disks = parser.add_mutually_exclusive_group()
        disks.add_argument(
            '--block-migration',
            dest='block_migration',
            action='store_const',
            const=True,
            default='auto',
            help='copy local disks too',
        )
        disks.add_argument(
            '--shared-migration',
            dest='block_migration',
            action='store_const',
            const=False,
            help='both hosts see the disks',
        )
        base.add_wait(parser, 'when the migration has ended')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        # Before 2.25 disk space had to be reasoned about by the caller.
        self.compute.need('2.25', 'Live migration')
        uuid = self.server_uuid(parsed_args)
        known = watching.known_migrations(self, uuid, parsed_args.wait)
        self.compute.act(
            f'/servers/{uuid}',
            'os-migrateLive',
            {
                'host': parsed_args.host,
                'block_migration': parsed_args.block_migration,
            },
        )
        if parsed_args.wait:
            watching.follow_new(self, parsed_args, uuid, known)
        else:
            self.say(
                f'Accepted. Follow it with: '
                f'livemig migration watch {parsed_args.server}'
            )


def _sheet(server: Json) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    shown = {
        field: server[key] for field, key in _FIELDS.items() if key in server
    }
    return base.sheet(shown, tuple(_FIELDS), _KINDS)


def _running(compute: Compute, uuid: str) -> bool | None:
    server = lookup.server(compute, uuid)
    if server['status'] == 'ERROR':
        raise errors.EndedOtherwise(lookup.why_error(server))
    return True if server['status'] == 'ACTIVE' else None


def _gone(compute: Compute, uuid: str) -> bool | None:
    try:
        server = lookup.server(compute, uuid)
    except errors.NotFound:
        return True
    if server['status'] == 'ERROR':
        raise errors.EndedOtherwise(lookup.why_error(server))
    return True if server['status'] == 'DELETED' else None
