"""Commands on hosts: which there are, and whether guests may come to them."""

import argparse
from typing import Any

from livemig.client import base, errors
from livemig.client.cells import Moment
from livemig.client.listing import Column, Table

#: The service of a host that runs guests, by the name Nova gave it.
BINARY = 'nova-compute'

_COLUMNS = (
    Column('Host', 'host'),
    Column('Binary', 'binary'),
    Column('Status', 'status', 2),
    Column('State', 'state', 1),
    Column('Updated At', 'updated_at', 3, Moment),
    Column('Disabled Reason', 'disabled_reason', 4, wraps=True),
)


class ListHosts(base.Listing):
    """List hosts, their services and whether these are up"""

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        rows = self.compute.get('/os-services')['services']
        return self.table(parsed_args, rows, _COLUMNS)


class _OfHost(base.Operation):
    """A command on the compute service of one host."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('host', metavar='HOST', help='name of the host')
        return parser

    def change(self, host: str, **values: Any) -> None:
        """:raises NotFound: if no such host runs guests."""
        self.compute.need('2.53', 'Enabling and disabling a host')
        found = self.compute.get('/os-services', host=host, binary=BINARY)
        if not found['services']:
            raise errors.NotFound(
                f'No host that runs guests is named "{host}"; '
                f'"livemig host list" lists them.'
            )
        for service in found['services']:
            self.compute.put(f'/os-services/{service["id"]}', values)


class DisableHost(_OfHost):
    """Let no more servers be created on a host or moved to it

    What runs there goes on, and can be moved away.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--reason', help='why; "livemig host list" shows it'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        values = {'status': 'disabled'}
        if parsed_args.reason:
            values['disabled_reason'] = parsed_args.reason
        self.change(parsed_args.host, **values)
        self.say(f'Host {parsed_args.host} is disabled.')


class EnableHost(_OfHost):
    """Let servers be created on a host and moved to it again"""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.change(parsed_args.host, status='enabled')
        self.say(f'Host {parsed_args.host} is enabled.')
