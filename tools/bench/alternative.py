"""Decides how a Nova to measure against is installed, filled and served.

It comes from PyPI into a virtual environment of its own below the lab's
cache. Its API runs with Nova's own pipeline, less authentication: who asks
is told in the headers that keystonemiddleware would have set. Over SQLite,
with one cell, and without a message broker, which reading does not need.
"""

import os
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lab import Lab, LabError
from lab.client import wait_until
from lab.environments import environment
from lab.registry import cache_root

REQUIREMENTS = ('nova>=34,<35', 'cheroot>=11,<12')
HEADERS = {
    'X-Identity-Status': 'Confirmed',
    'X-User-Id': 'admin',
    'X-Project-Id': 'ops',
    'X-Roles': 'admin,manager,member,reader',
}
MANAGE_S = 600.0
READY_S = 300.0

_APP = Path(__file__).resolve().with_name('nova_app.py')
_FILTERS = {
    'http_proxy_to_wsgi': (
        'oslo_middleware.http_proxy_to_wsgi:HTTPProxyToWSGI.factory'
    ),
    'compute_req_id': (
        'nova.api.compute_req_id:ComputeReqIdMiddleware.factory'
    ),
    'faultwrap': 'nova.api.openstack:FaultWrapper.factory',
    'request_log': 'nova.api.openstack.requestlog:RequestLog.factory',
    'sizelimit': 'oslo_middleware:RequestBodySizeLimiter.factory',
    'keystonecontext': 'nova.api.auth:NovaKeystoneContext.factory',
}


class Nova:
    """One Nova API in a lab."""

    def __init__(self, lab: Lab) -> None:
        """Install it and make its databases. Raises LabError."""
        self._lab = lab
        self._python = environment(cache_root(), 'nova', REQUIREMENTS)
        self._path = lab.directory / 'nova'
        self._path.mkdir(mode=0o700)
        self.port = lab.free_port()
        self.url = f'http://127.0.0.1:{self.port}/v2.1'
        self._configure()
        main, cell0 = self._database('main'), self._database('cell0')
        self._manage('api_db', 'sync')
        self._manage('cell_v2', 'map_cell0', '--database_connection', cell0)
        self._manage('db', 'sync')
        self._manage(
            *('cell_v2', 'create_cell', '--name', 'cell1'),
            *('--database_connection', main, '--transport-url', 'fake://'),
        )

    def fill(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put rows into a table of the cell."""
        self._insert('main', table, rows)

    def map_instances(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Say where instances are: in the one cell."""
        with sqlite3.connect(self._path / 'api.db') as connection:
            (cell,) = connection.execute(
                "SELECT id FROM cell_mappings WHERE name = 'cell1'"
            ).fetchone()
        mapped = ({**row, 'cell_id': cell} for row in rows)
        self._insert('api', 'instance_mappings', mapped)

    def start(self, answers: Any) -> None:
        """Serve; returns when answers() is true. Raises LabError."""
        process = self._lab.spawn(
            'nova-api',
            [self._python, _APP, str(self.port)],
            {'OS_NOVA_CONFIG_DIR': str(self._path)},
            cwd=self._path,
        )
        wait_until(answers, 'Nova', READY_S, process)

    def _database(self, name: str) -> str:
        return f'sqlite:///{self._path}/{name}.db'

    def _configure(self) -> None:
        filters = ''.join(
            f'[filter:{name}]\npaste.filter_factory = {factory}\n'
            for name, factory in _FILTERS.items()
        )
        (self._path / 'api-paste.ini').write_text(
            '[composite:osapi_compute]\n'
            'use = call:nova.api.openstack.urlmap:urlmap_factory\n'
            '/v2.1/+: v21\n'
            '[composite:v21]\n'
            'use = call:nova.api.auth:pipeline_factory_v21\n'
            f'keystone = {" ".join(_FILTERS)} app\n'
            f'{filters}'
            '[app:app]\n'
            'paste.app_factory = nova.api.openstack.compute:'
            'APIRouterV21.factory\n'
        )
        (self._path / 'nova.conf').write_text(
            '[DEFAULT]\n'
            'transport_url = fake://\n'
            f'state_path = {self._path}\n'
            'host = bench\n'
            f'[database]\nconnection = {self._database("main")}\n'
            f'[api_database]\nconnection = {self._database("api")}\n'
            f'[oslo_concurrency]\nlock_path = {self._path}\n'
        )

    def _manage(self, *words: str) -> None:
        """Run ``nova-manage WORDS``. Raises LabError."""
        program = self._python.with_name('nova-manage')
        options = ['--config-file', str(self._path / 'nova.conf')]
        done = subprocess.run(
            [program, *options, *words],
            env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
            cwd=self._path,
            capture_output=True,
            text=True,
            timeout=MANAGE_S,
            check=False,
        )
        if done.returncode:
            raise LabError(f'nova-manage {words}: {done.stderr[-2000:]}')

    def _insert(
        self, database: str, table: str, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """All rows have the same columns, named by our own code."""
        values = list(rows)
        columns = ', '.join(values[0])
        marks = ', '.join(f':{name}' for name in values[0])
        statement = f'INSERT INTO {table} ({columns}) VALUES ({marks})'  # noqa: S608
        with sqlite3.connect(self._path / f'{database}.db') as connection:
            connection.executemany(statement, values)
