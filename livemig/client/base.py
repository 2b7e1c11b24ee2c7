"""What all commands share: the service, the clock and some arguments."""

import argparse
import inspect
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cliff import command, lister

from livemig.client import cells, listing, lookup
from livemig.client.errors import ClientError, printable
from livemig.client.waiting import Clock, Waiter

if TYPE_CHECKING:
    from livemig.client.compute import Compute
    from livemig.client.shell import Shell

#: How often a server is asked for while waiting for it, in seconds.
INTERVAL_S = 1.0


class Operation(command.Command):
    """A command that talks to the compute service."""

    app: 'Shell'

    #: What a person types to abort a migration; the openstackclient has a
    #: command of its own for it.
    abort_words = 'livemig live-migration-abort'

    @property
    def compute(self) -> 'Compute':
        return self.app.compute

    @property
    def clock(self) -> Clock:
        return self.app.clock

    def get_description(self) -> str:
        """The docstring, whose first line is a title and has no full stop:
        argparse makes one paragraph of all."""
        return (inspect.getdoc(type(self)) or '').replace('\n\n', '. ', 1)

    def run(self, parsed_args: argparse.Namespace) -> int:
        try:
            return super().run(parsed_args)
        except (ClientError, OSError):
            raise
        except Exception as error:
            # Ours or the service's defect: the bare text of a KeyError
            # would tell a person nothing.
            raise ClientError(
                f'Unexpected {type(error).__name__}: {error} '
                f'(--debug shows where)'
            ) from error

    def say(self, text: str) -> None:
        """To stderr, so that what a script reads stays clean; -q is mute."""
        self.app.LOG.info('%s', printable(text))

    def waiter(self, parsed_args: argparse.Namespace, still: str) -> Waiter:
        return Waiter(
            self.clock,
            interval_s=getattr(parsed_args, 'interval', INTERVAL_S),
            timeout_s=parsed_args.timeout,
            still=still,
        )

    def server_uuid(self, parsed_args: argparse.Namespace) -> str:
        return lookup.server_uuid(self.compute, parsed_args.server)


def add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'server', metavar='SERVER', help='uuid or exact name of the server'
    )


def add_migration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'migration',
        metavar='MIGRATION',
        nargs='?',
        type=natural,
        help='id of the migration (default: the one in progress)',
    )


def add_wait(parser: argparse.ArgumentParser, until: str) -> None:
    parser.add_argument(
        '--wait', action='store_true', help=f'return only {until}'
    )
    add_timeout(parser)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--timeout',
        metavar='SECONDS',
        type=seconds,
        help='wait no longer than that; exit code 124 (default: no limit)',
    )


def natural(text: str) -> int:
    """A number from 1 up."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not above 0')
    return number


def seconds(text: str) -> float:
    """A time above nought."""
    number = float(text)
    if not 0 < number < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is no time above 0 seconds')
    return number


class Listing(Operation, lister.Lister):
    """A command that shows a list: as much of it as fits the terminal."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--long',
            action='store_true',
            help='all columns, also where the terminal is too narrow',
        )
        return parser

    def table(
        self,
        parsed_args: argparse.Namespace,
        rows: list[dict[str, Any]],
        columns: Sequence[listing.Column],
    ) -> listing.Table:
        """What take_action returns."""
        return listing.table(rows, columns, self._width(parsed_args))

    def _width(self, parsed_args: argparse.Namespace) -> int | None:
        """Only for a person who has not said what to show."""
        chosen = parsed_args.long or parsed_args.columns
        out = self.app.stdout or sys.stdout
        if chosen or parsed_args.formatter != 'table' or not out.isatty():
            return None
        return int(parsed_args.max_width) or shutil.get_terminal_size().columns


def sheet(
    row: dict[str, Any],
    fields: Sequence[str],
    kinds: Mapping[str, type[cells.Cell]],
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """What a ShowOne shows: of the fields those that the service has told.

    :param kinds: how fields read that are no plain words or numbers.
    """
    told = tuple(field for field in fields if field in row)
    return told, tuple(
        kinds.get(field, cells.Cell)(row[field]) for field in told
    )
