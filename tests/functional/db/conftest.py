"""Each test on SQLite, and on the servers whose URLs the environment has.

``LIVEMIG_TEST_POSTGRESQL`` and ``LIVEMIG_TEST_MYSQL`` name databases that
these tests may empty. Without them there is no such test, not a skipped one.
"""

from __future__ import annotations

import datetime
import os
import shutil

import pytest
import sqlalchemy as sa

from livemig.db import migration, models
from livemig.db.api import Database

URLS = {
    'sqlite': 'sqlite:///{path}',
    'postgresql': os.environ.get('LIVEMIG_TEST_POSTGRESQL'),
    'mysql': os.environ.get('LIVEMIG_TEST_MYSQL'),
}
BACKENDS = [name for name, url in URLS.items() if url]


class Now:
    """The time, as the test says; each reading is a microsecond later."""

    def __init__(self) -> None:
        self.value = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        self.value += datetime.timedelta(microseconds=1)
        return self.value

    def forward(self, **delta: float) -> datetime.datetime:
        self.value += datetime.timedelta(**delta)
        return self.value


@pytest.fixture(scope='session')
def template(tmp_path_factory):
    """A SQLite file with the schema; copying is faster than upgrading."""
    path = tmp_path_factory.mktemp('db') / 'template.sqlite'
    made = Database(f'sqlite:///{path}')
    migration.upgrade(made)
    with made.transactions.engine.connect() as conn:
        conn.exec_driver_sql('PRAGMA wal_checkpoint(TRUNCATE)')
    made.dispose()
    return path


@pytest.fixture(scope='module', params=BACKENDS)
def backend(request):
    return request.param


def erase(made: Database) -> None:
    with made.transactions.engine.begin() as conn:
        for table in reversed(models.METADATA.sorted_tables):
            conn.execute(sa.delete(table))


def drop_all(made: Database) -> None:
    """Also what a broken run left."""
    with made.transactions.engine.begin() as conn:
        found = sa.MetaData()
        found.reflect(conn)
        found.drop_all(conn)


@pytest.fixture(scope='session', autouse=True)
def nothing_from_before():
    for backend in BACKENDS:
        if backend != 'sqlite':
            made = Database(URLS[backend])
            drop_all(made)
            made.dispose()


def url_of(backend, template, directory) -> str:
    """The URL of an empty database with the schema."""
    if backend == 'sqlite':
        path = directory / 'livemig.sqlite'
        shutil.copy(template, path)
        return URLS['sqlite'].format(path=path)
    made = Database(URLS[backend])
    migration.upgrade(made)
    erase(made)
    made.dispose()
    return URLS[backend]


@pytest.fixture
def url(backend, template, tmp_path):
    return url_of(backend, template, tmp_path)


@pytest.fixture
def now():
    return Now()


@pytest.fixture
def db(url, now):
    made = Database(url, now=now)
    yield made
    made.dispose()


@pytest.fixture
def make_instance(db):
    def make(uuid='one', **values):
        return db.instance_create(
            {
                'uuid': uuid,
                'vm_state': 'active',
                'project_id': 'p1',
                'host': 'alpha',
                **values,
            },
            {'action': 'create', 'request_id': 'req-create'},
        )

    return make


@pytest.fixture
def make_migration(db):
    """A migration of an instance that need not be there."""

    def make(instance_uuid='one', **values):
        if db.instance_get(instance_uuid, deleted=True) is None:
            db.instance_create(
                {'uuid': instance_uuid},
                {'action': 'create', 'request_id': 'req-create'},
            )
        return db.migration_begin(
            instance_uuid,
            {},
            {},
            {'status': 'accepted', **values},
            {'action': 'live-migration', 'request_id': 'req-migrate'},
        )

    return make


class Statements:
    """What an engine executed."""

    def __init__(self, engine: sa.Engine) -> None:
        self.seen = []
        self._engine = engine

    def _note(self, _conn, _cursor, statement, parameters, *_):
        if not statement.startswith(('BEGIN', 'SAVEPOINT', 'RELEASE')):
            self.seen.append((statement, parameters))

    def __enter__(self):
        sa.event.listen(self._engine, 'before_cursor_execute', self._note)
        return self.seen

    def __exit__(self, *_):
        sa.event.remove(self._engine, 'before_cursor_execute', self._note)
