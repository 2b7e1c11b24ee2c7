"""Commands that boot a server from another image, and from its own again."""

import argparse
from typing import Any

from livemig.client import base, errors, lookup


class _Rescue(base.Operation):
    """A command that ends with the server in another status."""

    #: What the server is when it is done.
    wanted: str

    def ask(
        self, parsed_args: argparse.Namespace, action: str, value: Any
    ) -> None:
        """Ask for it, and wait where that is asked for."""
        uuid = self.server_uuid(parsed_args)
        self.compute.act(f'/servers/{uuid}', action, value)
        if parsed_args.wait:
            self.waiter(
                parsed_args, f'server {uuid} is not {self.wanted} yet'
            ).until(lambda: self._done(uuid))

    def _done(self, uuid: str) -> bool | None:
        """:raises EndedOtherwise: if it will not come."""
        server = lookup.server(self.compute, uuid)
        if server['status'] == self.wanted:
            return True
        if server['status'] == 'ERROR':
            raise errors.EndedOtherwise(lookup.why_error(server))
        if server.get('OS-EXT-STS:task_state') is None:
            raise errors.EndedOtherwise(
                f'Server {uuid} is {server["status"]}, not {self.wanted}; '
                f'"livemig server event list {uuid}" may tell why.'
            )
        return None


class RescueServer(_Rescue):
    """Boot a server from another image, to repair it

    Its own disk is attached beside. It can be migrated meanwhile.
    """

    wanted = 'RESCUE'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        parser.add_argument(
            '--image',
            help='id or name of the image (default: the one the service is '
            'configured with, else its own)',
        )
        base.add_wait(parser, 'when the server is rescued')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        value = None
        if parsed_args.image:
            image = lookup.image_id(self.compute, parsed_args.image)
            value = {'rescue_image_ref': image}
        self.ask(parsed_args, 'rescue', value)


class UnrescueServer(_Rescue):
    """Boot a rescued server from its own disk again"""

    wanted = 'ACTIVE'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_server(parser)
        base.add_wait(parser, 'when the server runs')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.ask(parsed_args, 'unrescue', None)
