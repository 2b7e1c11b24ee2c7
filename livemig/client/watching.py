"""Following a migration from a command: which one, told how, how long."""

import argparse
import os
import sys
from typing import TextIO

from livemig.client import base, errors, lookup, watch
from livemig.client.waiting import Waiter


def known_migrations(
    operation: base.Operation, uuid: str, wait: bool
) -> frozenset[int]:
    """Ids of the migrations a server had before a new one is asked for."""
    if not wait:
        return frozenset()
    return frozenset(
        int(row['id']) for row in lookup.migrations_of(operation.compute, uuid)
    )


def follow_new(
    operation: base.Operation,
    parsed_args: argparse.Namespace,
    uuid: str,
    known: frozenset[int],
) -> None:
    """Find the migration that has just been accepted and follow it.

    :raises EndedOtherwise: if none was begun, or it ended otherwise.
    """
    waiter = operation.waiter(
        parsed_args, f'the migration of server {parsed_args.server} goes on'
    )

    def begun() -> int | None:
        # In this order: a migration that begins and ends in between is seen.
        server = lookup.server(operation.compute, uuid)
        rows = lookup.migrations_of(operation.compute, uuid)
        new = {int(row['id']) for row in rows} - known
        if new:
            return max(new)
        if server.get('OS-EXT-STS:task_state') is None:
            raise errors.EndedOtherwise(
                f'No migration of server {uuid} was begun; '
                f'"livemig server event list {uuid}" may tell why.'
            )
        return None

    migration_id = waiter.until(begun)
    follow(operation, parsed_args, uuid, migration_id, waiter)


def follow(
    operation: base.Operation,
    parsed_args: argparse.Namespace,
    uuid: str,
    migration_id: int,
    waiter: Waiter | None = None,
) -> None:
    """Tell about one migration until it ends."""
    still = (
        f'migration {migration_id} goes on ("{operation.abort_words} '
        f'{parsed_args.server} {migration_id}" would abort it)'
    )
    waiter = waiter or operation.waiter(parsed_args, still)
    waiter.still = still
    migration = watch.Migration(
        operation.compute, operation.clock, uuid, migration_id
    )
    as_json = getattr(parsed_args, 'formatter', None) == 'json'
    out: TextIO = operation.app.stdout or sys.stdout
    teller = _teller(operation, out, uuid, migration_id, as_json)
    watch.follow(migration, waiter, teller)


def _teller(
    operation: base.Operation,
    out: TextIO,
    uuid: str,
    migration_id: int,
    as_json: bool,
) -> watch.Teller:
    if as_json:
        return watch.JsonTeller(out, uuid, migration_id)
    # A dumb terminal knows no way to erase a line.
    if out.isatty() and os.environ.get('TERM') != 'dumb':
        return watch.TerminalTeller(out, migration_id)
    return watch.PlainTeller(out, f'migration {migration_id}', operation.clock)
