"""How long livemig's API takes to answer, and Nova's on the same rows.

Both over SQLite with the same WSGI server, asked by turns in one run, so
that what else the machine does hits both alike. Prints the medians and
their ratio; nothing is asserted.

    tools/bench/run.sh api [--servers N] [--migrations N] [--rounds N]
"""

import argparse
import datetime
import json
import statistics
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bench.alternative import HEADERS, Nova
from lab import Lab
from lab.cloud import Cloud
from livemig.db.api import Database
from livemig.db.models import INSTANCES, MIGRATIONS

VERSION = '2.100'
ANSWER_S = 120.0
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
#: What is asked; {server} is the uuid of one of them.
QUESTIONS = (
    '/servers?all_tenants=1',
    '/os-migrations?limit=1000',
    '/os-migrations?instance_uuid={server}',
    '/servers/{server}/migrations',
)


@dataclass(frozen=True)
class Rows:
    """The same servers and migrations for both."""

    servers: int
    migrations: int

    def instances(self) -> Iterator[dict[str, Any]]:
        for n in range(self.servers):
            yield {
                'uuid': server_id(n),
                'display_name': f'server-{n}',
                'user_id': 'admin',
                'project_id': 'ops',
                'host': f'host{n % 50}',
                'node': f'host{n % 50}',
                'vm_state': 'active',
                'power_state': 1,
                'progress': 0,
                'memory_mb': 128,
                'vcpus': 1,
                'root_gb': 0,
                'image_ref': server_id(0),
                'created_at': START + datetime.timedelta(seconds=n),
                'deleted': 0,
            }

    def moves(self) -> Iterator[dict[str, Any]]:
        for n in range(self.migrations):
            at = START + datetime.timedelta(seconds=n)
            yield {
                'uuid': str(uuid.UUID(int=n + (2 << 64))),
                'instance_uuid': server_id(n % self.servers),
                'source_compute': f'host{n % 50}',
                'source_node': f'host{n % 50}',
                'dest_compute': f'host{(n + 1) % 50}',
                'dest_node': f'host{(n + 1) % 50}',
                'status': 'completed',
                'migration_type': 'live-migration',
                'hidden': False,
                'user_id': 'admin',
                'project_id': 'ops',
                'created_at': at,
                'updated_at': at,
            }


def server_id(number: int) -> str:
    """The uuid of one server."""
    return str(uuid.UUID(int=number + (1 << 64)))


def as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    """As SQLAlchemy writes times into SQLite for Nova."""
    return {
        name: value.strftime('%Y-%m-%d %H:%M:%S.000000')
        if isinstance(value, datetime.datetime)
        else value
        for name, value in row.items()
    }


def start_livemig(lab: Lab, rows: Rows) -> Cloud:
    """All services in one process, the hypervisor simulated."""
    cloud = Cloud(lab, simulated=('bench',))
    cloud.manage('db', 'sync')
    database = Database(cloud.database)
    with database.transactions.engine.begin() as connection:
        connection.execute(
            sa.insert(INSTANCES),
            [
                {**row, 'flavor': {}, 'image': {}, 'metadata': {}}
                for row in rows.instances()
            ],
        )
        connection.execute(sa.insert(MIGRATIONS), list(rows.moves()))
    cloud.start()
    return cloud


def start_nova(lab: Lab, rows: Rows) -> Nova:
    """The API alone: nothing else is needed to read."""
    nova = Nova(lab)
    nova.fill('instances', map(as_text, rows.instances()))
    moves = (as_text(row) | {'deleted': 0} for row in rows.moves())
    nova.fill('migrations', moves)
    nova.map_instances(
        {
            'instance_uuid': row['uuid'],
            'project_id': row['project_id'],
            'user_id': row['user_id'],
            'queued_for_delete': 0,
        }
        for row in rows.instances()
    )

    def answers() -> bool:
        try:
            ask(f'{nova.url}/servers?limit=1', HEADERS)
        except OSError:
            return False
        return True

    nova.start(answers)
    return nova


def ask(url: str, headers: Mapping[str, str]) -> Any:
    """The answer to one GET. Raises OSError, also for a refusal."""
    words = {'OpenStack-API-Version': f'compute {VERSION}', **headers}
    request = urllib.request.Request(url, headers=words)  # noqa: S310
    with urllib.request.urlopen(request, timeout=ANSWER_S) as reply:
        return json.load(reply)


def timed(question: Callable[[], Any]) -> float:
    """Milliseconds until the whole answer is there."""
    began_s = time.perf_counter()
    question()
    return (time.perf_counter() - began_s) * 1000


def compare(cloud: Cloud, nova: Nova, rounds: int) -> None:
    """Ask both by turns, and print what came of it."""
    ours_by = cloud.login.headers(cloud.admin)
    print(
        f'{"median of an answer in ms":40} livemig    Nova   ratio', flush=True
    )
    for question in QUESTIONS:
        path = question.format(server=server_id(7))

        def ours(path: str = path) -> Any:
            return ask(f'{cloud.url}{path}', ours_by)

        def theirs(path: str = path) -> Any:
            return ask(f'{nova.url}{path}', HEADERS)

        # Asked once before it counts: caches are filled, rows are the same.
        counts = [len(next(iter(told().values()))) for told in (ours, theirs)]
        pairs = [(timed(ours), timed(theirs)) for _ in range(rounds)]
        a = statistics.median(pair[0] for pair in pairs)
        b = statistics.median(pair[1] for pair in pairs)
        # Else the two did not do the same work.
        of = f'{counts[0]} rows' if counts[0] == counts[1] else f'NOT {counts}'
        print(f'{question} ({of})')
        print(f'{"":40} {a:7.1f} {b:7.1f} {a / b:7.2f}', flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--servers', type=int, default=1000)
    parser.add_argument('--migrations', type=int, default=10_000)
    parser.add_argument('--rounds', type=int, default=21)
    words = parser.parse_args()
    rows = Rows(words.servers, words.migrations)
    with Lab(0) as lab:
        nova = start_nova(lab, rows)
        cloud = start_livemig(lab, rows)
        compare(cloud, nova, words.rounds)


if __name__ == '__main__':
    main()
