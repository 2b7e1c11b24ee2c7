"""Each test on SQLite; with ``LIVEMIG_TEST_DATABASES=1`` in the environment
on a private PostgreSQL and a private MariaDB too. Without it there is no such
test, not a skipped one.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from lab import Lab
from livemig.db import migration, models
from livemig.db.api import Database
from tests.functional import empty

BACKENDS: list[object] = ['sqlite']
if os.environ.get('LIVEMIG_TEST_DATABASES') == '1':
    BACKENDS += [
        pytest.param(name, marks=pytest.mark.database)
        for name in ('postgresql', 'mysql')
    ]


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


@pytest.fixture(scope='module', params=BACKENDS)
def backend(request):
    return request.param


def erase(made: Database) -> None:
    with made.transactions.engine.begin() as conn:
        for table in reversed(models.METADATA.sorted_tables):
            conn.execute(sa.delete(table))


def drop_all(made: Database) -> None:
    """Also what is there of an older schema."""
    with made.transactions.engine.begin() as conn:
        found = sa.MetaData()
        found.reflect(conn)
        found.drop_all(conn)


@pytest.fixture(scope='session')
def servers() -> Iterator[Lab]:
    """Starts PostgreSQL and MariaDB when they are first asked for."""
    with Lab(hosts=0) as lab:
        yield lab


@pytest.fixture(scope='module')
def server_url(backend, request) -> str | None:
    """Of the backend's server; None for SQLite, which has none."""
    if backend == 'sqlite':
        return None
    lab: Lab = request.getfixturevalue('servers')
    return lab.postgresql() if backend == 'postgresql' else lab.mariadb()


def made_empty(directory, server_url=None) -> str:
    """The URL of an empty database with the schema."""
    if server_url is None:
        return empty.make(directory / 'livemig.sqlite')
    made = Database(server_url)
    migration.upgrade(made)
    erase(made)
    made.dispose()
    return server_url


@pytest.fixture
def url(tmp_path, server_url):
    return made_empty(tmp_path, server_url)


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
