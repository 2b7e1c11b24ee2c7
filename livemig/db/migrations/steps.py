"""Steps that can be run again: MariaDB commits each DDL statement, so a
revision that failed half-way starts from its half.

Types and options are written out here, not taken from the models: a
released revision must go on making what it made.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

#: Microseconds on MariaDB too.
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql', 'mariadb')
#: More than 64 KiB on MariaDB too.
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')
JSON = sa.JSON(none_as_null=True)

OPTIONS: dict[str, Any] = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
    'sqlite_autoincrement': True,
}


def create_table(name: str, *parts: Any) -> None:
    """Unless it is there. Keys are part of it; indexes come after it."""
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *parts, **OPTIONS)


def create_index(name: str, table: str, columns: list[str]) -> None:
    """Unless it is there."""
    indexes = sa.inspect(op.get_bind()).get_indexes(table)
    if name not in {index['name'] for index in indexes}:
        op.create_index(name, table, columns)


def drop_table(name: str) -> None:
    """With its indexes; unless it is gone."""
    if sa.inspect(op.get_bind()).has_table(name):
        op.drop_table(name)


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Unless it is there."""
    if column.name not in _columns(table):
        op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    """Unless it is gone."""
    if name in _columns(table):
        op.drop_column(table, name)


def _columns(table: str) -> set[str]:
    found = sa.inspect(op.get_bind()).get_columns(table)
    return {column['name'] for column in found}
