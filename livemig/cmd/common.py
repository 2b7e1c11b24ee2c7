"""What every command does first: options, log, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from oslo_config import cfg
from oslo_log import log as logging

import livemig.conf
from livemig import concurrency, exception, rpc, service
from livemig.db import api as db_api
from livemig.db import migration as db_migration

LOG = logging.getLogger(__name__)


def load(
    prog: str,
    argv: Sequence[str],
    cli: Sequence[cfg.Opt] = (),
    check: bool = True,
) -> cfg.ConfigOpts:
    """One service's options, from files and the command line.

    :raises WrongOption: a value is wrong (with ``check``).
    :raises oslo_config.cfg.Error: a file is missing or no option file.
    """
    conf = cfg.ConfigOpts()
    livemig.conf.register_opts(conf)
    logging.register_options(conf)
    rpc.register_opts(conf)
    conf.register_cli_opts(cli)
    conf(list(argv), project='livemig', prog=prog)
    if check:
        livemig.conf.check(conf)
    return conf


def run(prog: str, body: Callable[[], int]) -> int:
    """``body()``; what a person got wrong in one line, without traceback."""
    try:
        return body()
    except (
        cfg.Error,
        livemig.conf.WrongOption,
        exception.ConfigurationError,
        exception.CatalogueError,
    ) as error:
        text = ' '.join(str(error).split())
        print(f'{prog}: {text}', file=sys.stderr)
        return service.MISCONFIGURED


def serve(
    prog: str,
    argv: Sequence[str] | None,
    build: Callable[
        [cfg.ConfigOpts, db_api.Database, concurrency.Clock], service.Part
    ],
) -> int:
    """Run a service that has the database, until it is told to stop.

    :returns: the exit code.
    """
    conf = load(prog, sys.argv[1:] if argv is None else argv)
    set_up_log(conf)
    make_state_path(conf)
    database = open_database(conf)
    check_schema(database)
    clock = concurrency.Clock()
    return service.Process(
        prog,
        [build(conf, database, clock)],
        clock,
        conf.graceful_shutdown_timeout,
        [database.dispose],
    ).run()


def set_up_log(conf: cfg.ConfigOpts) -> None:
    """Once in a process: it is the root logger's."""
    logging.setup(conf, 'livemig')


def open_database(conf: cfg.ConfigOpts) -> db_api.Database:
    """The database of the options; connects when it is first used.

    :raises ConfigurationError:
    """
    return db_api.Database(
        conf.database.connection,
        max_pool_size=conf.database.max_pool_size,
        max_overflow=conf.database.max_overflow,
    )


def make_state_path(conf: cfg.ConfigOpts) -> None:
    """:raises ConfigurationError: it cannot be made."""
    try:
        # QEMU's user comes through here to the instances' disks, and needs
        # to see nothing else.
        Path(conf.state_path).mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise exception.ConfigurationError(
            option='[DEFAULT] state_path', reason=str(error)
        ) from error


def check_schema(database: db_api.Database) -> None:
    """Refuse to serve a database without tables.

    One that cannot be reached just now is let pass.
    :raises ConfigurationError:
    """
    try:
        have = db_migration.version(database)
    except exception.DatabaseUnreachable as error:
        LOG.warning('%s', error.message)
        return
    if have is None:
        raise exception.ConfigurationError(
            option='[database] connection',
            reason='this database has no tables yet; run: '
            'livemig-manage db sync',
        )
    if have != db_migration.head():
        LOG.warning(
            'The database is at revision %s, not at %s; run: '
            'livemig-manage db sync',
            have,
            db_migration.head(),
        )
