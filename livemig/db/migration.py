"""The schema's version: upgrade, downgrade, and what is there."""

from __future__ import annotations

import pathlib

import sqlalchemy as sa
from alembic import command, config, migration, script

from livemig.db.api import Database

_SCRIPTS = pathlib.Path(__file__).parent / 'migrations'


def _config(conn: sa.Connection | None = None) -> config.Config:
    made = config.Config()
    # In alembic's configuration % begins an interpolation.
    made.set_main_option('script_location', str(_SCRIPTS).replace('%', '%%'))
    made.attributes['connection'] = conn
    return made


def upgrade(db: Database, rev: str = 'head') -> None:
    """Bring the schema up to ``rev``; nothing if it is there already.

    If a step fails, SQLite and PostgreSQL are as before the call. MariaDB
    keeps the steps done until then; call it again, each step looks at
    what is there. One at a time in a process: alembic keeps its context
    in a module.

    :raises DatabaseUnreachable:
    """
    db.transactions.write(lambda conn: command.upgrade(_config(conn), rev))


def downgrade(db: Database, rev: str) -> None:
    """Take the schema back to ``rev`` (``base``: empty). Data goes with
    the tables.

    :raises DatabaseUnreachable:
    """
    db.transactions.write(lambda conn: command.downgrade(_config(conn), rev))


def version(db: Database) -> str | None:
    """The schema's revision; None for a database without a schema.

    :raises DatabaseUnreachable:
    """
    return db.transactions.read(
        lambda conn: migration.MigrationContext.configure(
            conn
        ).get_current_revision()
    )


def head() -> str | None:
    """The newest revision this livemig knows."""
    return script.ScriptDirectory.from_config(_config()).get_current_head()
