"""Empty SQLite databases with the schema, by copying one."""

from __future__ import annotations

import atexit
import functools
import pathlib
import shutil
import tempfile

from livemig.db import api as db_api
from livemig.db import migration as db_migration


@functools.cache
def template() -> pathlib.Path:
    """A file with the schema; copying is faster than upgrading."""
    directory = tempfile.mkdtemp(prefix='livemig-tests-')
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = pathlib.Path(directory) / 'template.sqlite'
    made = db_api.Database(f'sqlite:///{path}')
    db_migration.upgrade(made)
    with made.transactions.engine.connect() as conn:
        conn.exec_driver_sql('PRAGMA wal_checkpoint(TRUNCATE)')
    made.dispose()
    return path


def make(path: pathlib.Path) -> str:
    """The URL of a new one."""
    shutil.copy(template(), path)
    return f'sqlite:///{path}'
