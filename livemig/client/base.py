"""What all commands share: the service, the clock and some arguments."""

import argparse
from typing import TYPE_CHECKING, Any

from cliff import command

from livemig.client import lookup
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

    @property
    def compute(self) -> 'Compute':
        return self.app.compute

    @property
    def clock(self) -> Clock:
        return self.app.clock

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


def table(
    rows: list[dict[str, Any]], columns: dict[str, str]
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """What a Lister shows: titles, and of each row the keys behind them."""
    return tuple(columns), [
        tuple(row.get(key) for key in columns.values()) for row in rows
    ]


def sheet(
    row: dict[str, Any], fields: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """What a ShowOne shows: of the fields those that the service has told."""
    told = tuple(field for field in fields if field in row)
    return told, tuple(row[field] for field in told)
