"""However many rows there are, a request asks the database as often."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from oslo_utils import uuidutils

from livemig.db import models
from tests.functional.api.examples import EXAMPLES
from tests.functional.api.world import SERVERS, World
from tests.functional.db.conftest import Statements

#: Beyond the examples: filters, and pages in the middle.
MORE = {
    'servers by flavor': '/servers?flavor=1&limit=2',
    'servers by name': '/servers?name=a',
    'servers of all projects': '/servers/detail?all_tenants=1',
    'deleted servers': '/servers/detail?deleted=1',
    'servers after one': f'/servers/detail?marker={SERVERS["failed"]}',
    'migrations of a host': '/os-migrations?host=host1',
    'hypervisors with servers': '/os-hypervisors/detail?with_servers=1',
    'flavors of all kinds': '/flavors/detail?is_public=None',
}
READ = {
    **{
        name: example.url
        for name, example in EXAMPLES.items()
        if example.method == 'GET' and example.root == '/v2.1'
    },
    **MORE,
}
#: What must differ from row to row, besides uuids.
_UNIQUE = {
    'instance_actions': ('request_id',),
    'services': ('host',),
    'flavors': ('flavor_id', 'name'),
}


def multiply(world: World, times: int) -> None:
    """Put more rows like those that are there into every table."""
    with world.store.transactions.engine.begin() as conn:
        for table in models.METADATA.sorted_tables:
            rows = conn.execute(sa.select(table)).mappings().all()
            more = [_like(table, row, n) for row in rows for n in range(times)]
            if more:
                conn.execute(sa.insert(table), more)


def _like(
    table: sa.Table, row: sa.RowMapping, number: int
) -> dict[str, object]:
    changed: dict[str, object] = {
        name: f'{row[name]}-{row["id"]}-{number}'
        for name in _UNIQUE.get(table.name, ())
    }
    if 'uuid' in row:
        changed['uuid'] = uuidutils.generate_uuid()
    return {**{k: v for k, v in row.items() if k != 'id'}, **changed}


def statements(world: World, path: str, version: str) -> int:
    with Statements(world.store.transactions.engine) as seen:
        answer = world.ask('GET', path, version)
    assert answer.status_int == 200, answer.text
    return len(seen)


def version_of(name: str) -> str:
    return EXAMPLES[name].version if name in EXAMPLES else '2.202'


def test_statements_do_not_grow_with_rows(world: World) -> None:
    before = {
        name: statements(world, path, version_of(name))
        for name, path in READ.items()
    }
    multiply(world, 20)
    after = {
        name: statements(world, path, version_of(name))
        for name, path in READ.items()
    }
    assert after == before
    # A server's host and fault, a page's marker: never more than these.
    assert max(before.values()) <= 4


@pytest.mark.parametrize(
    ('path', 'key', 'least'),
    [
        ('/servers', 'servers', 400),
        ('/os-migrations', 'migrations', 200),
        ('/os-services', 'services', 60),
        ('/os-hypervisors', 'hypervisors', 40),
    ],
)
def test_there_are_more_rows(world: World, path, key, least) -> None:
    """Else the test above could not fail."""
    multiply(world, 20)
    assert len(world.ask('GET', path).json_body[key]) > least
