"""The records' keeper: a Store over SQLite, PostgreSQL or MariaDB."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from livemig.db import engine, purge
from livemig.db.rows import (
    actions,
    flavors,
    instances,
    migrations,
    services,
    usage,
)
from livemig.db.types import parse_time
from livemig.objects.store import Row, Store, Values

_MAX_ID = 2**31 - 1


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Database:
    """Implements ``livemig.objects.store.Store``; its docstrings hold here.

    Safe to share between threads. Nothing connects before it is needed: a
    process may start while its database is away.

    Each method is one transaction with a fixed number of statements, and
    is tried again when a deadlock or a lock was in its way. Beyond the
    Store's errors, ValueError is a mistake of the caller: an unknown
    column, a value that does not fit its column, a ``name`` that is no
    regular expression.
    """

    def __init__(
        self,
        connection: str,
        *,
        max_pool_size: int = 5,
        max_overflow: int = 96,
        pool_timeout_s: float = 30,
        now: Callable[[], datetime.datetime] = _utc_now,
    ) -> None:
        """
        :param connection: an SQLAlchemy URL; SQLite as a file only.
        :param max_overflow: connections above ``max_pool_size``; must
            cover the 64 threads of the RPC executor and the API's.
            Neither applies to SQLite.
        :param now: the time of ``created_at`` and ``updated_at``, aware.
        :raises ConfigurationError: the URL is wrong.
        """
        self.transactions = engine.Transactions(
            engine.make_engine(
                connection,
                max_pool_size=max_pool_size,
                max_overflow=max_overflow,
                pool_timeout_s=pool_timeout_s,
            )
        )
        self._now = now
        self._read = self.transactions.read
        self._write = self.transactions.write

    def dispose(self) -> None:
        """Close the pool's connections."""
        self.transactions.dispose()

    # -- instances ----------------------------------------------------------
    def instance_create(self, values: Values, action: Values) -> Row:
        return self._write(
            lambda conn: instances.create(conn, values, action, self._now())
        )

    def instance_get(
        self, instance_uuid: str, deleted: bool = False
    ) -> Row | None:
        return self._read(
            lambda conn: instances.get(conn, instance_uuid, deleted)
        )

    def instance_list(
        self,
        filters: Values,
        limit: int | None = None,
        marker: str | None = None,
        sort_keys: Sequence[tuple[str, str]] = (
            ('created_at', 'desc'),
            ('id', 'desc'),
        ),
    ) -> list[Row]:
        return self._read(
            lambda conn: instances.list_(
                conn, filters, limit, marker, sort_keys
            )
        )

    def instance_update(
        self,
        instance_uuid: str,
        values: Values,
        expected: Values | None = None,
        action: Values | None = None,
    ) -> Row | None:
        return self._write(
            lambda conn: instances.update(
                conn, instance_uuid, values, expected, self._now(), action
            )
        )

    def instance_destroy(self, instance_uuid: str) -> bool:
        return self._write(
            lambda conn: instances.destroy(conn, instance_uuid, self._now())
        )

    def instance_fault_add(self, instance_uuid: str, values: Values) -> None:
        self._write(
            lambda conn: instances.add_fault(
                conn, instance_uuid, values, self._now()
            )
        )

    def instance_faults(self, instance_uuids: Sequence[str]) -> list[Row]:
        return self._read(lambda conn: instances.faults(conn, instance_uuids))

    def instance_sums(self, group: str, of: Sequence[str]) -> list[Row]:
        return self._read(lambda conn: usage.sums(conn, group, of))

    def instance_places(self, hosts: Sequence[str]) -> list[Row]:
        return self._read(lambda conn: usage.places(conn, hosts))

    # -- migrations ---------------------------------------------------------
    def migration_begin(
        self,
        instance_uuid: str,
        instance_values: Values,
        instance_expected: Values,
        migration: Values,
        action: Values,
    ) -> Row | None:
        return self._write(
            lambda conn: migrations.begin(
                conn,
                instance_uuid,
                instance_values,
                instance_expected,
                migration,
                action,
                self._now(),
            )
        )

    def migration_get(self, migration_id: int) -> Row | None:
        if not 0 < migration_id <= _MAX_ID:
            return None
        return self._read(lambda conn: migrations.get(conn, migration_id))

    def migration_list(
        self,
        filters: Values,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Row]:
        return self._read(
            lambda conn: migrations.list_(conn, filters, limit, marker)
        )

    def migration_update(
        self,
        migration_id: int,
        values: Values,
        expected: Values | None = None,
        action: Values | None = None,
    ) -> Row | None:
        return self._write(
            lambda conn: migrations.update(
                conn, migration_id, values, expected, self._now(), action
            )
        )

    def migration_fire(
        self,
        migration_id: int,
        from_status: str,
        values: Values,
        instance_values: Values | None = None,
        instance_expected: Values | None = None,
    ) -> Row | None:
        return self._write(
            lambda conn: migrations.fire(
                conn,
                migration_id,
                from_status,
                values,
                instance_values,
                instance_expected,
                self._now(),
            )
        )

    # -- instance actions ---------------------------------------------------
    def action_start(self, values: Values) -> Row:
        return self._write(
            lambda conn: actions.start(conn, values, self._now())
        )

    def action_list(
        self,
        instance_uuid: str,
        filters: Values,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Row]:
        return self._read(
            lambda conn: actions.list_(
                conn, instance_uuid, filters, limit, marker
            )
        )

    def action_get(self, instance_uuid: str, request_id: str) -> Row | None:
        return self._read(
            lambda conn: actions.get(conn, instance_uuid, request_id)
        )

    def event_start(
        self, instance_uuid: str, request_id: str, values: Values
    ) -> None:
        self._write(
            lambda conn: actions.start_event(
                conn, instance_uuid, request_id, values, self._now()
            )
        )

    def event_finish(
        self, instance_uuid: str, request_id: str, values: Values
    ) -> None:
        self._write(
            lambda conn: actions.finish_event(
                conn, instance_uuid, request_id, values, self._now()
            )
        )

    # -- flavors ------------------------------------------------------------
    def flavor_create(self, values: Values) -> Row:
        return self._write(
            lambda conn: flavors.create(conn, values, self._now())
        )

    def flavor_list(self) -> list[Row]:
        return self._read(flavors.list_)

    def flavor_get(self, flavor_id: str) -> Row | None:
        return self._read(lambda conn: flavors.get(conn, flavor_id))

    def flavor_update(self, flavor_id: str, values: Values) -> Row | None:
        return self._write(
            lambda conn: flavors.update(conn, flavor_id, values, self._now())
        )

    def flavor_extra_specs(
        self, flavor_id: str, put: Mapping[str, str], drop: Sequence[str] = ()
    ) -> Row | None:
        return self._write(
            lambda conn: flavors.change_extra_specs(
                conn, flavor_id, put, drop, self._now()
            )
        )

    def flavor_destroy(self, flavor_id: str) -> bool:
        return self._write(lambda conn: flavors.destroy(conn, flavor_id))

    # -- services -----------------------------------------------------------
    def service_report(self, values: Values) -> Row:
        return self._write(
            lambda conn: services.report(conn, values, self._now())
        )

    def service_list(self, filters: Values) -> list[Row]:
        return self._read(lambda conn: services.list_(conn, filters))

    def service_update(self, service_uuid: str, values: Values) -> Row | None:
        return self._write(
            lambda conn: services.update(
                conn, service_uuid, values, self._now()
            )
        )

    def service_destroy(self, service_uuid: str) -> bool:
        return self._write(
            lambda conn: services.destroy(conn, service_uuid, self._now())
        )

    # -- beyond the Store: livemig-manage -----------------------------------
    def purge(
        self, before: datetime.datetime, dry_run: bool = False
    ) -> dict[str, int]:
        """Forget instances deleted before that time, with all that belongs
        to them, and migrations that ended before it.

        In short transactions: what was removed stays removed if a later
        one fails, and a second call goes on.

        :param before: aware.
        :returns: rows by table name, removed or (``dry_run``) to remove.
        """
        return purge.run(self.transactions, parse_time(before), dry_run)


if TYPE_CHECKING:
    _IS_A_STORE: type[Store] = Database
