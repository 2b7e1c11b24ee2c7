"""Commands on what surrounds servers: actions, flavors, images."""

import argparse
from typing import Any

from cliff import show

from livemig.client import base, cells, lookup
from livemig.client.listing import Column, Table

_ACTION_COLUMNS = (
    Column('Request ID', 'request_id'),
    Column('Action', 'action'),
    Column('Start Time', 'start_time', 1, cells.Moment),
    Column('Updated At', 'updated_at', 4, cells.Moment),
    Column('Message', 'message', 2),
    Column('User ID', 'user_id', 3),
)
_ACTION_FIELDS = (
    'request_id',
    'action',
    'instance_uuid',
    'start_time',
    'updated_at',
    'message',
    'user_id',
    'project_id',
    'events',
)
_ACTION_KINDS = {
    'start_time': cells.Moment,
    'updated_at': cells.Moment,
    'events': cells.Events,
}
_FLAVOR_COLUMNS = (
    Column('ID', 'id'),
    Column('Name', 'name'),
    Column('RAM (MiB)', 'ram', 1),
    Column('Disk (GiB)', 'disk', 3),
    Column('VCPUs', 'vcpus', 2),
)
_IMAGE_COLUMNS = (
    Column('ID', 'id'),
    Column('Name', 'name'),
    Column('Status', 'status'),
)


class ListEvents(base.Listing):
    """List what was done to a server, newest first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        uuid = self.server_uuid(parsed_args)
        rows = self.compute.get(f'/servers/{uuid}/os-instance-actions')
        return self.table(
            parsed_args, rows['instanceActions'], _ACTION_COLUMNS
        )


class ShowEvent(base.Operation, show.ShowOne):
    """Show one thing that was done to a server, with its events"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        parser.add_argument(
            'request', metavar='REQUEST', help='the request id, req-...'
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        uuid = self.server_uuid(parsed_args)
        request = lookup.quoted(parsed_args.request)
        row = self.compute.get(
            f'/servers/{uuid}/os-instance-actions/{request}'
        )['instanceAction']
        return base.sheet(row, _ACTION_FIELDS, _ACTION_KINDS)


class ListFlavors(base.Listing):
    """List flavors"""

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        rows = self.compute.pages('/flavors/detail', 'flavors')
        return self.table(parsed_args, list(rows), _FLAVOR_COLUMNS)


class ListImages(base.Listing):
    """List images"""

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        rows = self.compute.images()
        return self.table(parsed_args, list(rows), _IMAGE_COLUMNS)
