"""Decides how the private PostgreSQL and MariaDB are configured."""

import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.client import LabError
from lab.hosts import ADDRESS, SYSTEM_PATH
from lab.servers import READY_S, USER, Server

_DATABASE = re.compile(r'[a-z][a-z0-9_]{0,40}\Z')

_INIT_SQL = """\
DELETE FROM mysql.global_priv WHERE User NOT IN ('{user}', 'mariadb.sys');
FLUSH PRIVILEGES;
CREATE USER IF NOT EXISTS '{user}'@'{address}' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO '{user}'@'{address}' WITH GRANT OPTION;
"""


class PostgreSql(Server):
    """PostgreSQL with one role, that may make databases."""

    fact = 'postgresql'
    system_user = 'postgres'
    purpose = 'postgresql'
    # SIGQUIT is "immediate shutdown": after SIGKILL its System V shared
    # memory would stay.
    stop_signal = signal.SIGQUIT
    orderly = signal.SIGINT  # "fast": does not wait for clients

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database "livemig"."""
        return self._url('livemig')

    def create(self, database: str) -> str:
        """Make a database unless it is there; its SQLAlchemy URL."""
        _check_database(database)
        if (
            database
            not in self._sql('SELECT datname FROM pg_database').split()
        ):
            self._sql(f'CREATE DATABASE {database}')
        return self._url(database)

    def kill(self) -> None:
        """SIGKILL it, as a crash would; data and port stay."""
        with contextlib.suppress(OSError, IndexError):
            # Line 7 of postmaster.pid: key and id of its shared memory.
            lines = (self.path / 'data/postmaster.pid').read_text()
            memory = lines.splitlines()[6].split()[1]
            super().kill()
            subprocess.run(['ipcrm', '-m', memory], check=False)
            return
        super().kill()

    def _url(self, database: str) -> str:
        return (
            f'postgresql+psycopg2://{USER}:{self.password}'
            f'@{ADDRESS}:{self.port}/{database}'
        )

    def _make(self) -> None:
        self._directory('run')
        password = self._file('password', self.password)
        self._run(
            [
                self._program('initdb'),
                *('--pgdata', str(self.path / 'data')),
                *('--username', USER, '--pwfile', str(password)),
                *('--auth', 'scram-sha-256', '--encoding', 'UTF8'),
                *('--locale', 'C.UTF-8', '--no-sync', '--no-instructions'),
            ]
        )

    def _command(self) -> list[str]:
        settings = {
            'listen_addresses': ADDRESS,
            'port': str(self.port),
            'unix_socket_directories': str(self.path / 'run'),
            'max_connections': '200',
            'shared_buffers': '32MB',
            'dynamic_shared_memory_type': 'mmap',  # nothing in /dev/shm
            'fsync': 'off',
        }
        options = [f'{key}={value}' for key, value in settings.items()]
        return [
            self._program('postgres'),
            *('-D', str(self.path / 'data')),
            *(word for option in options for word in ('-c', option)),
        ]

    def _program(self, name: str) -> str:
        found = [
            path
            for path in Path('/usr/lib/postgresql').glob(f'*/bin/{name}')
            if path.parts[-3].isdigit()
        ]
        if found:
            return str(max(found, key=lambda path: int(path.parts[-3])))
        path = shutil.which(name)
        if path is None:
            raise LabError(self.not_installed())
        return path

    def _ready(self) -> bool:
        try:
            self.create('livemig')
        except LabError:
            return False
        return True

    def _sql(self, statement: str) -> str:
        argv = [
            *(self._program('psql'), '--no-psqlrc', '--quiet'),
            *('--tuples-only', '--no-align', '--host', ADDRESS),
            *('--port', str(self.port), '--username', USER),
            *('--dbname', 'postgres', '--command', statement),
        ]
        return _sql(argv, {'PATH': SYSTEM_PATH, 'PGPASSWORD': self.password})


class MariaDb(Server):
    """MariaDB with one user, that may do everything."""

    fact = 'mariadb'
    system_user = 'mysql'
    purpose = 'mariadb'

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database "livemig"."""
        return self._url('livemig')

    def create(self, database: str) -> str:
        """Make a database unless it is there; its SQLAlchemy URL."""
        _check_database(database)
        self._sql(
            f'CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET utf8mb4'
        )
        return self._url(database)

    def _url(self, database: str) -> str:
        return (
            f'mysql+pymysql://{USER}:{self.password}'
            f'@{ADDRESS}:{self.port}/{database}?charset=utf8mb4'
        )

    def _make(self) -> None:
        self._directory('run')
        # Run before the first client is let in, at each start.
        self._file(
            'init.sql',
            _INIT_SQL.format(
                user=USER, address=ADDRESS, password=self.password
            ),
        )
        self._run(
            [
                self._program('mariadb-install-db'),
                *('--no-defaults', f'--datadir={self.path / "data"}'),
                *('--skip-test-db', '--skip-name-resolve'),
                '--auth-root-authentication-method=normal',
            ]
        )

    def _command(self) -> list[str]:
        return [
            self._program('mariadbd'),
            *('--no-defaults', f'--datadir={self.path / "data"}'),
            *(f'--bind-address={ADDRESS}', f'--port={self.port}'),
            f'--socket={self.path / "run/s"}',
            *(f'--pid-file={self.path / "run/pid"}', '--skip-name-resolve'),
            *(f'--init-file={self.path / "init.sql"}', '--skip-log-bin'),
            *('--max-connections=200', '--innodb-flush-log-at-trx-commit=0'),
            f'--tmpdir={self.path / "tmp"}',
        ]

    def _program(self, name: str) -> str:
        path = shutil.which(name, path=SYSTEM_PATH)
        if path is None:
            raise LabError(self.not_installed())
        return path

    def _ready(self) -> bool:
        try:
            self.create('livemig')
        except LabError:
            return False
        return True

    def _sql(self, statement: str) -> str:
        argv = [
            *(self._program('mariadb'), '--no-defaults'),
            *('--protocol=tcp', f'--host={ADDRESS}', f'--port={self.port}'),
            *(f'--user={USER}', f'--execute={statement}'),
        ]
        return _sql(argv, {'PATH': SYSTEM_PATH, 'MYSQL_PWD': self.password})


def _sql(argv: Sequence[str], environment: dict[str, str]) -> str:
    result = subprocess.run(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )
    if result.returncode:
        raise LabError(result.stderr.strip())
    return result.stdout


def _check_database(name: str) -> None:
    if not _DATABASE.match(name):
        raise LabError(f'{name!r}: not a plain name for a database')
