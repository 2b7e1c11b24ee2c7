"""Column types that mean the same on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine


def parse_time(value: datetime.datetime | str) -> datetime.datetime:
    """An aware UTC datetime.

    :param value: an aware datetime, or ISO 8601 text as it comes over the
        bus or out of a query; text without a zone is UTC.
    :raises ValueError: for a datetime without a zone (whose time is it?)
        and for text that is no time.
    """
    if isinstance(value, str):
        parsed = datetime.datetime.fromisoformat(value)
        if parsed.tzinfo is None:
            return parsed.replace(tzinfo=datetime.UTC)
        return parsed.astimezone(datetime.UTC)
    if value.tzinfo is None:
        raise ValueError(f'A time without a zone: {value!r}')
    return value.astimezone(datetime.UTC)


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """Stored as UTC without a zone, handed out as aware UTC.

    MariaDB's DATETIME has whole seconds unless told otherwise, which would
    break paging by (created_at, id).
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in {'mysql', 'mariadb'}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(
        self, value: datetime.datetime | str | None, dialect: Dialect
    ) -> datetime.datetime | None:
        if value is None:
            return None
        return parse_time(value).replace(tzinfo=None)

    def process_result_value(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=datetime.UTC)


#: Text of any length; MariaDB's TEXT ends at 64 KiB, its JSON does not.
LongText = Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')

#: None is stored as NULL, not as the JSON word null.
Json = JSON(none_as_null=True)
