"""Large tables: pages come out of indexes, in a fixed number of queries."""

import datetime
import pathlib
import re

import pytest
import sqlalchemy as sa

from livemig.db.api import Database
from livemig.db.models import ACTIONS, EVENTS, FAULTS, INSTANCES, MIGRATIONS
from tests.functional.db import conftest

#: Filling the tables is what takes its time.
pytestmark = pytest.mark.timeout(1200)

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
INSTANCE_COUNT = 1000
MIGRATION_COUNT = 100_000


def at(seconds):
    return START + datetime.timedelta(seconds=seconds)


def instances():
    for n in range(INSTANCE_COUNT):
        yield {
            'uuid': f'i{n}',
            'display_name': f'server-{n}',
            'project_id': f'p{n % 2}',
            'host': f'h{n % 50}',
            'flavor': {'id': f'f{n % 5}'},
            'created_at': at(n),
            'updated_at': at(n + 60),
        }


def migrations():
    for n in range(MIGRATION_COUNT):
        yield {
            'uuid': f'm{n}',
            'instance_uuid': f'i{n % INSTANCE_COUNT}',
            'project_id': f'p{n % 20}',
            'source_compute': f'h{n % 50}',
            'dest_compute': f'h{(n + 1) % 50}',
            'status': 'running' if n % 1000 == 0 else 'completed',
            'created_at': at(n // 3),
            'updated_at': at(n),
        }


def audit(more):
    """Five records of each instance."""
    for n in range(INSTANCE_COUNT * 5):
        yield {
            'instance_uuid': f'i{n % INSTANCE_COUNT}',
            'created_at': at(n),
            **more(n),
        }


@pytest.fixture(scope='module')
def db(backend, server_url, tmp_path_factory):
    directory = tmp_path_factory.mktemp('plans')
    made = Database(conftest.made_empty(directory, server_url))
    with made.transactions.engine.begin() as conn:
        for table, rows in (
            (INSTANCES, instances()),
            (MIGRATIONS, migrations()),
            (ACTIONS, audit(lambda n: {'action': 'x', 'request_id': f'r{n}'})),
            (FAULTS, audit(lambda n: {'code': n})),
        ):
            conn.execute(sa.insert(table), list(rows))
        columns = [ACTIONS.c.id, ACTIONS.c.action, ACTIONS.c.created_at]
        conn.execute(
            sa.insert(EVENTS).from_select(
                ['action_id', 'event', 'created_at'], sa.select(*columns)
            )
        )
        for table in (INSTANCES, MIGRATIONS, ACTIONS, EVENTS, FAULTS):
            if backend == 'mysql':
                conn.exec_driver_sql(f'ANALYZE TABLE {table.name}')
            if backend == 'postgresql':
                conn.exec_driver_sql(f'ANALYZE {table.name}')
    yield made
    conftest.erase(made)
    made.dispose()


def plan_of(db, statement, parameters):
    """The plan as text, and whether it reads a table from end to end."""
    with db.transactions.engine.connect() as conn:
        if conn.dialect.name == 'sqlite':
            rows = conn.exec_driver_sql(
                f'EXPLAIN QUERY PLAN {statement}', parameters
            )
            lines = [row.detail for row in rows]
            full = any(
                line.startswith('SCAN') and 'INDEX' not in line
                for line in lines
                if 'anon_1' not in line
            )
        elif conn.dialect.name == 'postgresql':
            rows = conn.exec_driver_sql(f'EXPLAIN {statement}', parameters)
            lines = [row[0] for row in rows]
            full = any('Seq Scan' in line for line in lines)
        else:
            rows = conn.exec_driver_sql(f'EXPLAIN {statement}', parameters)
            lines = [
                f'{row.table} {row.type} {row.key} {row.Extra}' for row in rows
            ]
            full = any(
                row.split()[1] == 'ALL' and not row.startswith('<derived')
                for row in lines
            )
    return '\n'.join(lines), full


def sorts(plan):
    return any(
        word in plan
        for word in ('TEMP B-TREE FOR ORDER BY', 'Sort Key', 'filesort')
    )


UNFINISHED = ['accepted', 'queued', 'preparing', 'running']
FEW = 50
#: What the API always asks for.
SHOWN = {'hidden': False}
MIDDLE = f'm{MIGRATION_COUNT // 2}'

#: call, the index that must serve it, whether it must come out sorted.
#: The changed ones are few, and sorted after they were found.
CASES = {
    'all migrations': (
        lambda db: db.migration_list(SHOWN, limit=FEW),
        'ix_migrations_created',
        True,
    ),
    'a page in the middle': (
        lambda db: db.migration_list(SHOWN, limit=FEW, marker=MIDDLE),
        'ix_migrations_created',
        True,
    ),
    'by status, a page in the middle': (
        lambda db: db.migration_list(
            {**SHOWN, 'status': 'completed'}, limit=FEW, marker=MIDDLE
        ),
        'ix_migrations_(status_)?created',
        True,
    ),
    'by project': (
        lambda db: db.migration_list({**SHOWN, 'project_id': 'p7'}, limit=FEW),
        'ix_migrations_(project_)?created',
        True,
    ),
    'by host': (
        lambda db: db.migration_list({**SHOWN, 'host': 'h7'}, limit=FEW),
        'ix_migrations_(created|source|dest)',
        False,
    ),
    'of one instance': (
        lambda db: db.migration_list(
            {'instance_uuid': 'i0', 'status': UNFINISHED}
        ),
        'ix_migrations_instance',
        False,
    ),
    "a source's work": (
        lambda db: db.migration_list(
            {'source_compute': 'h0', 'status': UNFINISHED}
        ),
        'ix_migrations_(source|status_created)',
        False,
    ),
    "a destination's work": (
        lambda db: db.migration_list(
            {'dest_compute': 'h1', 'status': UNFINISHED}
        ),
        'ix_migrations_(dest|status_created)',
        False,
    ),
    'all unfinished': (
        lambda db: db.migration_list({'status': UNFINISHED}),
        'ix_migrations_status_created',
        False,
    ),
    'changed migrations': (
        lambda db: db.migration_list(
            {**SHOWN, 'changes_since': at(MIGRATION_COUNT - 20)}
        ),
        'ix_migrations_updated',
        False,
    ),
    'few changed migrations, a page': (
        lambda db: db.migration_list(
            {**SHOWN, 'changes_since': at(MIGRATION_COUNT - 20)}, limit=FEW
        ),
        'ix_migrations_updated',
        False,
    ),
    'migrations changed long ago, a page': (
        lambda db: db.migration_list(
            {**SHOWN, 'changes_before': at(20)}, limit=FEW
        ),
        'ix_migrations_updated',
        False,
    ),
    'migrations changed since an early time, a page': (
        lambda db: db.migration_list(
            {**SHOWN, 'changes_since': at(20)}, limit=FEW
        ),
        'ix_migrations_created',
        True,
    ),
    'migrations changed until now, a page': (
        lambda db: db.migration_list(
            {**SHOWN, 'changes_before': at(MIGRATION_COUNT)}, limit=FEW
        ),
        'ix_migrations_created',
        True,
    ),
    'migrations changed in a long time, a page in the middle': (
        lambda db: db.migration_list(
            {
                **SHOWN,
                'changes_since': at(20),
                'changes_before': at(MIGRATION_COUNT - 20),
            },
            limit=FEW,
            marker=MIDDLE,
        ),
        'ix_migrations_created',
        True,
    ),
    'one migration': (
        lambda db: db.migration_get(500),
        '(?i)primary|migrations_pkey',
        True,
    ),
    'all instances': (
        lambda db: db.instance_list({}, limit=FEW),
        'ix_instances_created',
        True,
    ),
    "a project's instances, a page in the middle": (
        lambda db: db.instance_list(
            {'project_id': 'p1'}, limit=FEW, marker='i507'
        ),
        'ix_instances_(project_)?created',
        True,
    ),
    "a host's instances": (
        lambda db: db.instance_list({'host': 'h7'}),
        'ix_instances_host',
        False,
    ),
    'what the instances of hosts take': (
        lambda db: db.instance_sums('host', ['h7', 'h8']),
        'ix_instances_host',
        False,
    ),
    'where instances are': (
        lambda db: db.instance_places(['h7', 'h8']),
        'ix_instances_host',
        False,
    ),
    'instances of a flavor, a page in the middle': (
        lambda db: db.instance_list(
            {'project_id': 'p1', 'flavor_ids': ['f1']},
            limit=FEW,
            marker='i507',
        ),
        'ix_instances_(project_)?created',
        False,
    ),
    'changed instances': (
        lambda db: db.instance_list({'changes_since': at(1055)}),
        'ix_instances_updated',
        False,
    ),
    'one instance': (
        lambda db: db.instance_get('i7'),
        'uniq_instances0uuid|autoindex_instances',
        True,
    ),
    'actions': (
        lambda db: db.action_list('i7', {}, limit=2),
        'ix_instance_actions_created',
        True,
    ),
    'one action with its events': (
        lambda db: db.action_get('i7', 'r7'),
        'ix_instance_action_events_action',
        False,
    ),
    'faults': (
        lambda db: db.instance_faults(['i1', 'i2']),
        'ix_instance_faults_instance',
        False,
    ),
}


PAGE = pathlib.Path(__file__).parents[3] / 'doc/source/contributor/queries.rst'
_ROW = re.compile(r'   \* - (.+)\n     - (.+)\n     - (in order|sorted)\n')


def documented():
    """query -> (indexes, how the rows come), as the page has it."""
    return {
        query: (sorted(re.findall(r'``(\w+)``', indexes)), rows)
        for query, indexes, rows in _ROW.findall(PAGE.read_text('utf-8'))
    }


def test_the_page_has_each_query():
    assert list(documented()) == list(CASES)


@pytest.mark.parametrize('case', CASES)
def test_an_index_serves(db, case):
    call, index, in_order = CASES[case]
    with conftest.Statements(db.transactions.engine) as statements:
        assert call(db)
    statement, parameters = statements[-1]
    plan, full = plan_of(db, statement, parameters)
    assert not full, plan
    primary = case == 'one migration' and 'INTEGER PRIMARY KEY' in plan
    assert primary or re.search(index, plan), plan
    if in_order:
        assert not sorts(plan), plan
    if db.transactions.engine.dialect.name == 'sqlite':
        indexes = sorted(re.findall(r'INDEX (\w*_\w+)', plan))
        rows = 'sorted' if sorts(plan) else 'in order'
        assert documented()[case] == (indexes, rows), plan


@pytest.mark.parametrize('few', [True, False])
def test_counting_what_changed_reads_no_further_than_needed(db, few):
    """It is asked in the index alone, and a page is the same either way."""
    since = at(MIGRATION_COUNT - 20 if few else 20)
    before = at(MIGRATION_COUNT)
    filters = {**SHOWN, 'changes_since': since, 'changes_before': before}
    with conftest.Statements(db.transactions.engine) as statements:
        page = db.migration_list(filters, limit=10)
    assert [row['uuid'] for row in page] == [
        f'm{n}' for n in reversed(range(MIGRATION_COUNT - 10, MIGRATION_COUNT))
    ]
    if db.transactions.engine.dialect.name != 'sqlite':
        assert len(statements) == 1
        return
    (count, times), _ = statements
    plan, _ = plan_of(db, count, times)
    assert re.search('COVERING INDEX ix_migrations_updated', plan), plan
    assert 'LIMIT' in count


def test_a_full_scan_would_be_seen(db):
    with conftest.Statements(db.transactions.engine) as statements:
        db.migration_list({'reason': 'x'})
    statement, parameters = statements[-1]
    statement = statement.split('ORDER BY')[0]
    assert plan_of(db, statement, parameters)[1]


@pytest.mark.parametrize(
    ('call', 'queries'),
    [
        (lambda db, n: db.instance_list({}, limit=n), 1),
        (lambda db, n: db.instance_list({}, limit=n, marker='i999'), 2),
        (lambda db, n: db.migration_list({}, limit=n), 1),
        (lambda db, n: db.migration_list({}, limit=n, marker='m1999'), 2),
        (lambda db, n: db.instance_faults([f'i{i}' for i in range(n)]), 1),
        (lambda db, n: db.action_list('i7', {}, limit=n), 1),
    ],
)
def test_queries_do_not_grow_with_rows(db, call, queries):
    for rows in (1, 500):
        with conftest.Statements(db.transactions.engine) as statements:
            assert len(call(db, rows)) in (rows, 5)
        assert len(statements) == queries


def test_an_action_with_events_is_two_queries(db):
    with conftest.Statements(db.transactions.engine) as statements:
        assert len(db.action_get('i7', 'r7')['events']) == 1
    assert len(statements) == 2
