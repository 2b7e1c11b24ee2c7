"""All or nothing, tried again, or unreachable: never half, never stuck."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from livemig import exception
from livemig.db import engine
from livemig.db.api import Database
from livemig.db.models import INSTANCES

BEGIN = (
    'one',
    {'task_state': 'migrating'},
    {'task_state': None},
    {'status': 'accepted'},
)


#: SQLite and PostgreSQL say NOT NULL, MariaDB has no default value.
NAMELESS = '(?i)not.null constraint|default value'


def set_host(conn, uuid, host):
    return conn.execute(
        sa.update(INSTANCES).where(INSTANCES.c.uuid == uuid).values(host=host)
    ).rowcount


# -- all or nothing ---------------------------------------------------------
def test_a_failure_in_the_middle_leaves_nothing(db, make_instance):
    """The third statement of three is refused: an action needs a name."""
    before = make_instance()
    with pytest.raises(Exception, match=NAMELESS):
        db.migration_begin(*BEGIN, {'request_id': 'r'})
    assert db.instance_get('one') == before
    assert db.migration_list({}) == []
    with pytest.raises(Exception, match=NAMELESS):
        db.instance_create({'uuid': 'two'}, {'request_id': 'r'})
    assert db.instance_get('two') is None
    assert db.migration_begin(*BEGIN, {'action': 'a', 'request_id': 'r'})


def test_an_error_of_the_function_rolls_back(db, make_instance):
    make_instance()

    def work(conn):
        assert set_host(conn, 'one', 'beta') == 1
        raise KeyError('mine')

    with pytest.raises(KeyError, match='mine'):
        db.transactions.write(work)
    assert db.instance_get('one')['host'] == 'alpha'


CHILD = """
import sys
import sqlalchemy as sa
from livemig.db.api import Database
from livemig.db.models import INSTANCES

def work(conn):
    conn.execute(sa.update(INSTANCES).values(host='beta'))
    print('changed', flush=True)
    sys.stdin.read()

Database(sys.argv[1]).transactions.write(work)
"""


def test_a_process_killed_in_the_middle_leaves_nothing(db, url, make_instance):
    make_instance()
    with subprocess.Popen(
        [sys.executable, '-c', CHILD, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout.readline() == 'changed\n'
        finally:
            child.kill()
    row = db.instance_update('one', {'progress': 1}, {'host': 'alpha'})
    assert row['host'] == 'alpha'


# -- tried again ------------------------------------------------------------
def test_a_deadlock_is_tried_again(db, make_instance):
    """Two take two rows in opposite order. (SQLite has one writer at a
    time: there they simply come one after the other.)"""
    make_instance('a')
    make_instance('b')
    both_hold_one = threading.Barrier(2)

    def work(first, second):
        def change(conn):
            set_host(conn, first, first)
            with contextlib.suppress(threading.BrokenBarrierError):
                both_hold_one.wait(timeout=0.5)
            set_host(conn, second, first)
            return first

        return db.transactions.write(change)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(work, 'ab', 'ba'))
    assert results == ['a', 'b']
    hosts = {row['host'] for row in db.instance_list({})}
    assert hosts in ({'a'}, {'b'})


class Overtaken:
    """Reads, is overtaken by another writer, writes: SQLite refuses that
    at once ("database is locked") in a transaction begun plainly."""

    def __init__(self, url, times):
        self.other = sqlite3.connect(sa.make_url(url).database)
        self.left = times
        self.runs = 0

    def __call__(self, conn):
        self.runs += 1
        conn.execute(sa.select(INSTANCES)).all()
        if self.left:
            self.left -= 1
            with self.other:
                self.other.execute(
                    'UPDATE instances SET progress = ifnull(progress, 0) + 1'
                )
        return set_host(conn, 'one', 'beta')


@pytest.fixture
def sqlite_db(tmp_path):
    from tests.functional.db import conftest

    url = conftest.made_empty(tmp_path)
    made = Database(url)
    made.instance_create(
        {'uuid': 'one'}, {'action': 'create', 'request_id': 'r'}
    )
    yield made, url
    made.dispose()


def test_sqlite_locked_is_tried_again(sqlite_db):
    db, url = sqlite_db
    work = Overtaken(url, times=2)
    assert db.transactions.read(work) == 1
    assert work.runs == 3
    work.other.close()


def test_sqlite_locked_for_good_is_unreachable(sqlite_db):
    db, url = sqlite_db
    work = Overtaken(url, times=99)
    with pytest.raises(exception.DatabaseUnreachable):
        db.transactions.read(work)
    assert work.runs == engine.TRIES == 3
    work.other.close()
    assert db.instance_get('one')['host'] is None


def test_a_sqlite_writer_is_not_overtaken(sqlite_db):
    """The same with BEGIN IMMEDIATE: the other one has to wait."""
    db, url = sqlite_db
    work = Overtaken(url, times=1)
    work.other.execute('PRAGMA busy_timeout=0')

    def refused(conn):
        with pytest.raises(sqlite3.OperationalError, match='locked'):
            work(conn)
        return work(conn)

    assert db.transactions.write(refused) == 1
    work.other.close()


def test_sqlite_settings(sqlite_db):
    db, _ = sqlite_db

    def pragma(conn, name):
        return conn.exec_driver_sql(f'PRAGMA {name}').scalar_one()

    with db.transactions.engine.connect() as conn:
        assert pragma(conn, 'journal_mode') == 'wal'
        assert pragma(conn, 'synchronous') == 1
        assert pragma(conn, 'foreign_keys') == 1
        assert pragma(conn, 'busy_timeout') == 10_000


# -- unreachable ------------------------------------------------------------
def sever(conn):
    """Break this connection as its server or the network would; a SQLite
    file instead has no room left."""
    if conn.dialect.name == 'sqlite':
        conn.exec_driver_sql('PRAGMA max_page_count=1')
        return
    with conn.engine.connect() as other:
        if conn.dialect.name == 'postgresql':
            pid = conn.exec_driver_sql('SELECT pg_backend_pid()').scalar_one()
            other.exec_driver_sql(f'SELECT pg_terminate_backend({pid})')
        else:
            pid = conn.exec_driver_sql('SELECT connection_id()').scalar_one()
            other.exec_driver_sql(f'KILL {pid}')


def test_a_connection_lost_in_the_middle(db, make_instance):
    make_instance()
    runs = []

    def work(conn):
        runs.append(1)
        set_host(conn, 'one', 'beta')
        sever(conn)
        conn.execute(
            sa.update(INSTANCES).values(metadata={'long': 'x' * 100_000})
        )

    with pytest.raises(exception.DatabaseUnreachable):
        db.transactions.write(work)
    assert len(runs) == 1
    assert db.instance_get('one')['host'] == 'alpha'


def test_a_connection_lost_in_the_pool_is_replaced(db, make_instance):
    make_instance()
    conn = db.transactions.engine.connect()
    raw = conn.connection.driver_connection
    conn.close()
    raw.close()
    assert db.instance_get('one')['host'] == 'alpha'


def test_connections_used_up(url, backend):
    """A pool says so after its time; SQLite has none to use up."""
    db = Database(url, max_pool_size=1, max_overflow=1, pool_timeout_s=0.1)
    with db.transactions.engine.connect(), db.transactions.engine.connect():
        if backend == 'sqlite':
            assert db.instance_list({}) == []
        else:
            with pytest.raises(exception.DatabaseUnreachable):
                db.instance_list({})
    assert db.instance_list({}) == []
    db.dispose()


@pytest.mark.parametrize(
    'elsewhere',
    [
        'postgresql://u:secret@127.0.0.1:1/livemig',
        'mysql://u:secret@127.0.0.1:1/livemig',
        'mariadb+pymysql://u:secret@127.0.0.1:1/livemig',
        'sqlite:////nowhere/at/all/livemig.sqlite',
    ],
)
def test_nobody_there(elsewhere, caplog):
    """Making it works: the process may start before its database."""
    db = Database(elsewhere)
    for call in (
        lambda: db.instance_list({}),
        lambda: db.migration_update(1, {'reason': 'x'}),
    ):
        with pytest.raises(exception.DatabaseUnreachable):
            call()
    assert 'cannot be reached' in caplog.text
    assert 'secret' not in caplog.text
    db.dispose()


def test_a_slow_regular_expression_stops(sqlite_db):
    """(a|aa)+$ takes exponential time; other threads go on meanwhile."""
    db, _ = sqlite_db
    db.instance_update('one', {'display_name': 'a' * 200 + 'b'})
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(db.instance_list, {'name': '^(a|aa)+$'})
        assert db.instance_get('one')
        assert not slow.done()
        with pytest.raises(ValueError, match='too long'):
            slow.result(timeout=30)
    assert db.instance_list({'name': 'b$'})


READ_ONLY = {
    'sqlite': 'PRAGMA query_only=1',
    'postgresql': 'SET TRANSACTION READ ONLY',
    'mysql': 'START TRANSACTION READ ONLY',
}


def test_a_database_that_only_reads_is_as_good_as_away(
    db, backend, make_instance
):
    """A standby that has not taken over yet: what is to be written is tried
    again later, and never dropped."""
    make_instance()

    def work(conn):
        conn.exec_driver_sql(READ_ONLY[backend])
        set_host(conn, 'one', 'beta')

    with pytest.raises(exception.DatabaseUnreachable):
        db.transactions.write(work)
    assert db.instance_get('one')['host'] == 'alpha'
