"""Connections and transactions: what each database needs, and retries.

Why plain connections and not enginefacade's reader and writer contexts:
those hang a session on a request context, which a Store does not have; a
context per call would have to be made up (and copied per thread). oslo.db's
facade still makes the engine: pool, ping, fork guards, error classes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import event
from sqlalchemy import exc as sa_exc

from livemig import exception

LOG = logging.getLogger(__name__)

T = TypeVar('T')

#: How often a transaction is tried when another one was in its way.
TRIES = 3

#: How long a SQLite writer waits for its turn.
SQLITE_BUSY_TIMEOUT_S = 10

#: Nobody but its owner and group sees what is in it.
SQLITE_MODE = 0o640

_WRITER = 'livemig_writer'

#: What an URL may leave out. psycopg2 and PyMySQL work in threads and let
#: eventlet's other green threads run; psycopg 3 and mysqlclient block them.
_DRIVERS = {
    'postgres': 'postgresql+psycopg2',
    'postgresql': 'postgresql+psycopg2',
    'mysql': 'mysql+pymysql',
    'mariadb': 'mysql+pymysql',
    # oslo.db knows MariaDB by the name mysql only.
    'mariadb+pymysql': 'mysql+pymysql',
}

#: No server that went silent may hold a thread for ever. Lock waits end
#: sooner than read_timeout (innodb_lock_wait_timeout is 50 s).
_PARAMETERS: dict[str, dict[str, str]] = {
    'postgresql+psycopg2': {
        'connect_timeout': '10',
        'keepalives_idle': '30',
        'keepalives_interval': '10',
        'keepalives_count': '3',
        'tcp_user_timeout': '60000',
    },
    'mysql+pymysql': {
        'connect_timeout': '10',
        'read_timeout': '70',
        'write_timeout': '70',
        # oslo.db's default is utf8, three bytes: no emoji in a name.
        'charset': 'utf8mb4',
    },
}


def complete_url(connection: str) -> sa.URL:
    """The URL with the driver and the parameters it left out.

    :raises ConfigurationError: not an URL, or SQLite in memory: its single
        connection would be shared by all threads, which loses updates and
        was seen to crash the interpreter.
    """
    try:
        url = sa.make_url(connection)
    except (sa_exc.ArgumentError, ValueError):
        # What it says names what stands in the port's place, which may be
        # part of the password.
        raise exception.ConfigurationError(
            option='[database] connection', reason='not an SQLAlchemy URL'
        ) from None
    name = _DRIVERS.get(url.drivername, url.drivername)
    url = url.set(drivername=name)
    if url.get_backend_name() == 'sqlite':
        path = url.database or ':memory:'
        if ':memory:' in path or url.query.get('mode') == 'memory':
            raise exception.ConfigurationError(
                option='[database] connection',
                reason='SQLite needs a file (sqlite:////absolute/path); in '
                'memory it cannot be shared by threads',
            )
        return url
    missing = {
        key: value
        for key, value in _PARAMETERS.get(name, {}).items()
        if key not in url.query
    }
    return url.update_query_dict(missing)


def make_engine(
    connection: str,
    *,
    max_pool_size: int,
    max_overflow: int,
    pool_timeout_s: float,
) -> sa.Engine:
    """An engine that has not connected yet.

    :raises ConfigurationError: see complete_url().
    """
    url = complete_url(connection)
    facade = enginefacade.transaction_context()
    sqlite = url.get_backend_name() == 'sqlite'
    pool = {
        'max_pool_size': max_pool_size,
        'max_overflow': max_overflow,
        'pool_timeout': pool_timeout_s,
    }
    facade.configure(
        connection=url.render_as_string(hide_password=False),
        sqlite_fk=True,
        # No attempt at start: a process may start before its database,
        # and oslo.db's own ten tries ten seconds apart block the caller.
        max_retries=0,
        # oslo.db opens a SQLite file anew for each transaction, and
        # fails if it is told about a pool.
        **({} if sqlite else pool),
    )
    engine: sa.Engine = facade.writer.get_engine()
    if sqlite:
        event.listen(engine, 'do_connect', _make_sqlite_file)
        event.listen(engine, 'connect', _on_sqlite_connect)
        event.listen(
            engine, 'before_cursor_execute', _on_sqlite_begin, retval=True
        )
    return engine


def _make_sqlite_file(
    _dialect: Any, _record: Any, words: list[Any], _options: dict[str, Any]
) -> None:
    """SQLite itself would make it for everybody to read; its WAL gets the
    same mode."""
    if words[0].startswith('file:'):
        # An URI, with options of its own.
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    # It is there already, or connecting says why it cannot be made.
    with contextlib.suppress(OSError):
        os.close(os.open(words[0], flags, SQLITE_MODE))


def _on_sqlite_connect(connection: sqlite3.Connection, _record: Any) -> None:
    # The timeout first: changing to WAL needs the file for itself.
    connection.execute(f'PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_S * 1000}')
    connection.execute('PRAGMA journal_mode=WAL')
    # Safe with WAL: a power cut may lose the last transactions, never the
    # file (https://sqlite.org/pragma.html#pragma_synchronous).
    connection.execute('PRAGMA synchronous=NORMAL')


def _on_sqlite_begin(
    conn: sa.Connection,
    _cursor: Any,
    statement: str,
    parameters: Any,
    _context: Any,
    _executemany: bool,
) -> tuple[str, Any]:
    """Let a writer queue for its turn at its start.

    oslo.db begins with a plain BEGIN; a transaction that read first and
    then writes is refused at once when another wrote meanwhile, whatever
    busy_timeout says. For readers IMMEDIATE would be wrong: they would
    queue as well (measured: 2 % of the writes).
    """
    if statement == 'BEGIN' and conn.get_execution_options().get(_WRITER):
        return 'BEGIN IMMEDIATE', parameters
    return statement, parameters


class Transactions:
    """Runs functions in transactions. Safe to share between threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writers = engine.execution_options(**{_WRITER: True})

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """``work(connection)`` in a transaction that only reads.

        :raises DatabaseUnreachable:
        """
        return self._run(self.engine, work)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """``work(connection)`` in a transaction: all of it or nothing.

        ``work`` may run several times (deadlock, SQLite locked), each time
        on the state as it then is; so it must have no other effect.

        :raises DatabaseUnreachable: whether it was committed is unknown
            if the connection broke at that moment.
        """
        return self._run(self._writers, work)

    def dispose(self) -> None:
        """Close the pool's connections; the object stays usable."""
        self.engine.dispose()

    def _run(self, engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
        for tries_left in reversed(range(TRIES)):
            try:
                with _connect(engine) as conn, conn.begin():
                    return work(conn)
            except (sa_exc.SQLAlchemyError, db_exc.DBError) as error:
                if _is_in_the_way(error):
                    if tries_left:
                        LOG.info('trying a transaction again: %s', error)
                        continue
                    raise _unreachable('is too busy', error) from error
                if _is_lost(error):
                    raise _unreachable('was lost', error) from error
                raise
        raise AssertionError('not reached')


@contextlib.contextmanager
def _connect(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection; whatever prevents one makes it unreachable: no route,
    wrong password, no such database, the pool used up."""
    try:
        conn = engine.connect()
    except (sa_exc.SQLAlchemyError, db_exc.DBError) as error:
        if _is_in_the_way(error):
            raise
        raise _unreachable('cannot be reached', error) from error
    with conn:
        yield conn


def _unreachable(what: str, error: Exception) -> exception.DatabaseUnreachable:
    LOG.warning('the database %s: %s', what, error)
    return exception.DatabaseUnreachable()


def _is_in_the_way(error: Exception) -> bool:
    """Another transaction was in the way; trying again is right."""
    if isinstance(error, db_exc.DBDeadlock | db_exc.DBConsistencyError):
        return True
    # oslo.db has no class for this one (sqlite: SQLITE_BUSY).
    return isinstance(
        error, sa_exc.OperationalError
    ) and 'database is locked' in str(error.orig)


#: OperationalErrors of SQLite that no query can be blamed for.
_SQLITE_TROUBLE = (
    'disk I/O error',
    'database or disk is full',
    'unable to open database file',
    'attempt to write a readonly database',
)

#: The same of PostgreSQL, by class: no resources, ended by an operator,
#: trouble of the system.
_POSTGRESQL_TROUBLE = ('53', '57', '58')
#: It only reads: a standby that has not taken over yet, or the old primary.
_POSTGRESQL_READ_ONLY = '25006'

#: And of MariaDB: disk full, too many connections, --read-only, a
#: transaction that only reads.
_MARIADB_TROUBLE = frozenset({1021, 1040, 1290, 1792, 1836})


def _is_lost(error: Exception) -> bool:
    if isinstance(
        error, db_exc.DBConnectionError | db_exc.DBNonExistentDatabase
    ):
        return True
    # oslo.db wraps some, and lets others through.
    inner = getattr(error, 'inner_exception', None) or error
    said = getattr(inner, 'orig', None)
    state: str | None = getattr(said, 'pgcode', None)
    if state is not None:
        return state == _POSTGRESQL_READ_ONLY or (
            state.startswith(_POSTGRESQL_TROUBLE)
        )
    if isinstance(said, sqlite3.Error):
        return str(said).startswith(_SQLITE_TROUBLE)
    return bool(said and said.args and said.args[0] in _MARIADB_TROUBLE)
