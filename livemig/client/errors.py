"""What can go wrong for a person at a terminal, and the exit code of each."""

from typing import NamedTuple


class ExitCode(NamedTuple):
    code: int
    meaning: str


#: The only list of exit codes; --help prints it.
EXIT_CODES = (
    ExitCode(0, 'done as asked'),
    ExitCode(1, 'any other error, of the service or of this program'),
    ExitCode(2, 'wrong usage or configuration, or a name that fits several'),
    ExitCode(3, 'not found'),
    ExitCode(4, 'refused by policy, by a conflict or by the state it is in'),
    ExitCode(5, 'waited, but it ended otherwise than asked'),
    ExitCode(6, 'the service cannot be reached or is not available'),
    ExitCode(124, 'the --timeout of waiting was reached'),
    ExitCode(130, 'interrupted from the keyboard'),
)


def printable(text: object) -> str:
    """One line of text that cannot steer a terminal."""
    return ''.join(
        letter if letter.isprintable() else ' ' for letter in str(text)
    ).strip()


class ClientError(Exception):
    """Told to the person as one line, without a traceback."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class WrongUse(ClientError):
    """What was asked for is incomplete, ambiguous or not configured."""

    exit_code = 2


class NotFound(ClientError):
    """The server, migration, flavor or action does not exist."""

    exit_code = 3


class Refused(ClientError):
    """The service understood and will not: policy, conflict or state."""

    exit_code = 4


class EndedOtherwise(ClientError):
    """What was waited for has ended, but not as it was asked for."""

    exit_code = 5


class Unreachable(ClientError):
    """No service answered, or it said that it is not available."""

    exit_code = 6


class WaitedTooLong(ClientError):
    """The --timeout of waiting was reached; the work itself goes on."""

    exit_code = 124


class Interrupted(ClientError):
    """Ctrl-C while waiting; the work itself goes on."""

    exit_code = 130
