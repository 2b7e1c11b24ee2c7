"""Does one piece of work after the other, whatever becomes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from oslo_log import log

from livemig import exception
from livemig.compute.journal import AWAY

LOG = log.getLogger(__name__)


def sweep(pieces: Iterable[Callable[[], object]]) -> None:
    """Do all: one that can never be done must not keep the others from it.

    :raises LivemigError: the last thing that went wrong, in the end; at
        once if nobody is there to keep the records.
    """
    wrong: exception.LivemigError | None = None
    for piece in pieces:
        try:
            piece()
        except AWAY:
            raise
        except exception.LivemigError as exc:
            LOG.info('%s The others go on.', exc.message)
            wrong = exc
        except Exception as exc:
            LOG.exception('An error nobody expected; the others go on.')
            wrong = exception.LivemigError(f'{type(exc).__name__}: {exc}')
    if wrong is not None:
        raise wrong
