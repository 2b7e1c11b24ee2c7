"""The `livemig` command: global options, exit codes, errors in one line."""

import argparse
import functools
import importlib.metadata
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from cliff import app, command, commandmanager, help

from livemig.client import connection, errors
from livemig.client.compute import Compute
from livemig.client.waiting import Clock, SystemClock

#: Entry points here are commands; a further package may bring more.
NAMESPACE = 'livemig.cli'

_DESCRIPTION = (
    'Move running virtual machines between hosts, and stay in charge while '
    'they move.'
)


class Shell(app.App):
    """One run of the command.

    :param clock: the time by which commands wait.
    """

    NAME = 'livemig'
    LOG = logging.getLogger('livemig.client')

    def __init__(
        self,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self._error: BaseException | None = None
        super().__init__(
            description=_DESCRIPTION,
            version=_version(),
            command_manager=commandmanager.CommandManager(NAMESPACE),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            # `livemig migration watch --help` is about that command.
            deferred_help=True,
        )

    @functools.cached_property
    def compute(self) -> Compute:
        """The compute service that options and configuration name.

        :raises WrongUse: if they name none.
        """
        return Compute(connection.connect(self.options))

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, Any] | None = None,
    ) -> argparse.ArgumentParser:
        # Global options may stand after the command too; abbreviated ones
        # would there swallow the command's own.
        parser = super().build_option_parser(
            description,
            version,
            {
                'prog': self.NAME,
                'allow_abbrev': False,
                'formatter_class': argparse.RawDescriptionHelpFormatter,
                'epilog': _exit_codes(),
            },
        )
        connection.add_options(parser)
        return parser

    def configure_logging(self) -> None:
        """As cliff does, but libraries speak only with -v or as they fail."""
        super().configure_logging()
        quiet = self.options.verbose_level <= self.DEFAULT_VERBOSE_LEVEL
        # What it finds installed is never of interest.
        logging.getLogger('stevedore').setLevel(logging.WARNING)
        for library in ('keystoneauth', 'openstack'):
            logging.getLogger(library).setLevel(
                logging.WARNING if quiet else logging.NOTSET
            )

    def interact(self) -> None:
        """There is no prompt of our own: a bare `livemig` shows its help."""
        self._print_help()

    def print_help_if_requested(self) -> None:
        """Of the whole; commands print their own.

        :raises SystemExit: afterwards.
        """
        if self.options.deferred_help:
            self._print_help()
            raise help.HelpExit

    def _print_help(self) -> None:
        """Options, exit codes and commands."""
        self.parser.print_help(self.stdout)
        commands = {
            name: entry.load().__doc__ or ''
            for name, entry in sorted(self.command_manager)
        }
        width = max(map(len, commands))
        self.stdout.write('\ncommands (livemig help COMMAND tells more):\n')
        for name, text in commands.items():
            first = text.partition('\n')[0]
            self.stdout.write(f'  {name:{width}}  {first}\n')

    def run(self, argv: list[str]) -> int:
        try:
            status = super().run(argv)
        except SystemExit as error:
            # argparse ends so after it has told why, and help without.
            return error.code if isinstance(error.code, int) else 0
        return errors.WrongUse.exit_code if self.interactive_mode else status

    def run_subcommand(self, argv: list[str]) -> int:
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            # Like any wrong use on stderr, where cliff takes stdout.
            self.stderr.write(self._unknown(argv[0], ' '.join(argv)))
            return errors.WrongUse.exit_code
        status = super().run_subcommand(argv)
        if isinstance(self._error, errors.ClientError):
            return self._error.exit_code
        return status

    def _unknown(self, first: str, words: str) -> str:
        lines = [
            f'livemig: {errors.printable(words)!r} is no command; '
            'see livemig --help.'
        ]
        similar = self.get_fuzzy_matches(first)
        if similar:
            lines += ['Did you mean one of these?']
            lines += [f'  {name}' for name in similar]
        return '\n'.join(lines) + '\n'

    def clean_up(
        self,
        cmd: command.Command,
        result: int,
        err: BaseException | None,
    ) -> None:
        self._error = err


def main(argv: Sequence[str] | None = None) -> int:
    """The console script: the exit code for sys.exit()."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    try:
        status = Shell().run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return errors.Interrupted.exit_code
    except BrokenPipeError:
        # The reader went away (`| head`). Python would complain once more
        # while it ends, unless what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    return status


def _open_closed_streams() -> None:
    """A stream that was closed (`>&-`) is None in Python, which libraries do
    not expect."""
    for name, mode in (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w')):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _version() -> str:
    try:
        return importlib.metadata.version('livemig')
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'


def _exit_codes() -> str:
    lines = [f'{code:>4}  {meaning}' for code, meaning in errors.EXIT_CODES]
    return '\n'.join(['exit codes:', *lines])


if __name__ == '__main__':
    sys.exit(main())
