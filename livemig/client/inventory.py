"""Commands on what surrounds servers: actions, flavors, hosts."""

import argparse
from typing import Any

from cliff import lister, show

from livemig.client import base, lookup

_ACTION_COLUMNS = {
    'Request ID': 'request_id',
    'Action': 'action',
    'Start Time': 'start_time',
    'Updated At': 'updated_at',
    'Message': 'message',
    'User ID': 'user_id',
}
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
_FLAVOR_COLUMNS = {
    'ID': 'id',
    'Name': 'name',
    'RAM (MiB)': 'ram',
    'Disk (GiB)': 'disk',
    'VCPUs': 'vcpus',
}
_HOST_COLUMNS = {
    'Host': 'host',
    'Binary': 'binary',
    'Status': 'status',
    'State': 'state',
    'Updated At': 'updated_at',
    'Disabled Reason': 'disabled_reason',
}


class ListEvents(base.Operation, lister.Lister):
    """List what was done to a server, newest first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        uuid = self.server_uuid(parsed_args)
        rows = self.compute.get(f'/servers/{uuid}/os-instance-actions')
        return base.table(rows['instanceActions'], _ACTION_COLUMNS)


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
        return base.sheet(row, _ACTION_FIELDS)


class ListFlavors(base.Operation, lister.Lister):
    """List flavors"""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        rows = self.compute.pages('/flavors/detail', 'flavors')
        return base.table(list(rows), _FLAVOR_COLUMNS)


class ListHosts(base.Operation, lister.Lister):
    """List hosts, their services and whether these are up"""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        rows = self.compute.get('/os-services')['services']
        return base.table(rows, _HOST_COLUMNS)
