"""The schema's steps: up, down, again, and the same as the models."""

import pytest
import sqlalchemy as sa
from alembic import autogenerate
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from livemig.db import migration, models
from livemig.db.api import Database
from tests.functional.db import conftest

REVISIONS = [f'{number:04d}' for number in range(1, 9)]
#: How many tables there are after each.
TABLES = [1, 2, 3, 4, 5, 6, 6, 7]


@pytest.fixture
def empty(server_url, tmp_path):
    """A database without a schema."""
    made = Database(server_url or f'sqlite:///{tmp_path}/empty.sqlite')
    conftest.drop_all(made)
    yield made
    conftest.drop_all(made)
    made.dispose()


def tables(db):
    found = sa.inspect(db.transactions.engine).get_table_names()
    return set(found) - {'alembic_version'}


ALL = {
    'instances',
    'migrations',
    'instance_actions',
    'instance_action_events',
    'instance_faults',
    'services',
    'flavors',
}


def test_up_down_up(empty):
    assert migration.version(empty) is None
    migration.upgrade(empty)
    assert migration.version(empty) == migration.head() == REVISIONS[-1]
    assert tables(empty) == ALL
    migration.upgrade(empty)
    migration.downgrade(empty, 'base')
    assert migration.version(empty) is None
    assert tables(empty) == set()
    migration.upgrade(empty)
    assert tables(empty) == ALL
    row = empty.service_report({'host': 'a', 'binary': 'b'})
    assert row['id'] == 1


def test_each_step_up_and_down(empty):
    """Together with the one before it: no gap, no branch."""
    for number, rev in zip(TABLES, REVISIONS, strict=True):
        migration.upgrade(empty, rev)
        assert migration.version(empty) == rev
        assert len(tables(empty)) == number
    for number, rev in list(zip(TABLES, REVISIONS, strict=True))[-2::-1]:
        migration.downgrade(empty, rev)
        assert migration.version(empty) == rev
        assert len(tables(empty)) == number


def test_the_steps_make_the_models(empty):
    migration.upgrade(empty)
    with empty.transactions.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={'compare_type': True})
        assert autogenerate.compare_metadata(context, models.METADATA) == []


def test_a_difference_would_be_seen(empty):
    """compare_metadata as used above finds a column, an index, a type."""
    migration.upgrade(empty)
    with empty.transactions.engine.connect() as conn:
        other = sa.MetaData()
        for table in models.METADATA.sorted_tables:
            table.to_metadata(other)
        changed = other.tables['services']
        changed.append_column(sa.Column('colour', sa.String(9)))
        changed.c.topic.type = sa.BigInteger()
        sa.Index('ix_services_topic', changed.c.topic)
        context = MigrationContext.configure(conn, opts={'compare_type': True})
        found = str(autogenerate.compare_metadata(context, other))
    for word in ('add_column', 'add_index', 'modify_type'):
        assert word in found


def test_a_step_goes_on_from_its_half(empty):
    """MariaDB commits each DDL statement by itself: a crash between the
    table and its indexes leaves the table, and the version before it."""
    migration.upgrade(empty, '0001')
    with empty.transactions.engine.begin() as conn:
        models.MIGRATIONS.create(conn)
        sa.Table('migrations', sa.MetaData(), autoload_with=conn)
        for index in models.MIGRATIONS.indexes:
            if index.name != 'ix_migrations_instance':
                index.drop(conn)
    migration.upgrade(empty)
    with empty.transactions.engine.connect() as conn:
        context = MigrationContext.configure(conn)
        assert autogenerate.compare_metadata(context, models.METADATA) == []


def test_a_failing_step_loses_nothing_done_before(empty, backend):
    """The second step meets a table in its way that is not its own."""
    with empty.transactions.engine.begin() as conn:
        conn.exec_driver_sql('CREATE TABLE migrations (id INTEGER)')
    with pytest.raises(Exception, match='created_at'):
        migration.upgrade(empty)
    if backend != 'mysql':
        assert migration.version(empty) is None
    with empty.transactions.engine.begin() as conn:
        conn.exec_driver_sql('DROP TABLE migrations')
    migration.upgrade(empty)
    assert migration.version(empty) == REVISIONS[-1]
    assert tables(empty) == ALL


def test_revisions_are_a_line():
    script = ScriptDirectory.from_config(migration._config())
    line = [rev.revision for rev in script.walk_revisions()]
    assert line == REVISIONS[::-1]


def test_text_is_utf8_and_letter_by_letter(empty, backend):
    """Also where the database's own default is another."""
    migration.upgrade(empty)
    for host in ('k', 'K', 'ä', '\N{GRINNING FACE}', 'a'):
        empty.service_report({'host': host, 'binary': 'b'})
    assert len(empty.service_list({})) == 5
    [row] = empty.service_list({'host': '\N{GRINNING FACE}'})
    assert row['host'] == '\N{GRINNING FACE}'
