"""Migrations: begun, changed and ended in one transaction each."""

from __future__ import annotations

import datetime
import uuid

import sqlalchemy as sa

from livemig import exception
from livemig.db.models import MIGRATIONS
from livemig.db.rows import actions, instances, query
from livemig.objects.store import Row, Values

_NEWEST_FIRST = (('created_at', 'desc'), ('id', 'desc'))


def begin(
    conn: sa.Connection,
    instance_uuid: str,
    instance_values: Values,
    instance_expected: Values,
    migration: Values,
    action: Values,
    now: datetime.datetime,
) -> Row | None:
    """Swap the instance's state; then insert the migration and its action."""
    swapped = instances.update(
        conn, instance_uuid, instance_values, instance_expected, now
    )
    if swapped is None:
        return None
    ready = query.to_store(
        MIGRATIONS, {**migration, 'instance_uuid': instance_uuid}
    )
    ready.setdefault('uuid', str(uuid.uuid4()))
    row = query.insert(conn, MIGRATIONS, {**ready, 'created_at': now})
    actions.start(conn, {**action, 'instance_uuid': instance_uuid}, now)
    return row


def get(conn: sa.Connection, migration_id: int) -> Row | None:
    where = query.matches(MIGRATIONS.c.id, migration_id)
    return query.first(conn, sa.select(MIGRATIONS).where(where))


def update(
    conn: sa.Connection,
    migration_id: int,
    values: Values,
    expected: Values | None,
    now: datetime.datetime,
    action: Values | None = None,
) -> Row | None:
    ready = query.to_store(MIGRATIONS, values)
    row = query.swap(
        conn,
        MIGRATIONS,
        query.matches(MIGRATIONS.c.id, migration_id),
        {**ready, 'updated_at': now},
        expected,
    )
    if row is not None and action is not None:
        its = {**action, 'instance_uuid': row['instance_uuid']}
        actions.start(conn, its, now)
    return row


def fire(
    conn: sa.Connection,
    migration_id: int,
    from_status: str,
    values: Values,
    instance_values: Values | None,
    instance_expected: Values | None,
    now: datetime.datetime,
) -> Row | None:
    """Swap the status; then the instance, if it is as expected.

    The migration first: it is what two writers may race for, and the
    loser must not have touched the instance.
    """
    if 'status' not in values:
        raise ValueError('values has no status to change to.')
    row = update(conn, migration_id, values, {'status': from_status}, now)
    if row is not None and instance_values is not None:
        instances.update(
            conn, row['instance_uuid'], instance_values, instance_expected,
            now,
        )  # fmt: skip
    return row


def _conditions(filters: Values, few_changed: bool) -> list[query.Condition]:
    plain = dict(filters)
    found = []
    if 'host' in plain:
        host = plain.pop('host')
        found.append(
            sa.or_(
                query.matches(MIGRATIONS.c.source_compute, host),
                query.matches(MIGRATIONS.c.dest_compute, host),
            )
        )
    return query.conditions(MIGRATIONS, plain, few_changed=few_changed) + found


def list_(
    conn: sa.Connection,
    filters: Values,
    limit: int | None,
    marker: str | None,
) -> list[Row]:
    after = None
    if marker is not None:
        where = query.matches(MIGRATIONS.c.uuid, marker)
        after = query.first(conn, sa.select(MIGRATIONS).where(where))
        if after is None:
            raise exception.MarkerNotFound(marker=marker)
    keys = query.sort_columns(MIGRATIONS, _NEWEST_FIRST)
    few = query.few_changed(conn, MIGRATIONS, filters, limit)
    page = query.select_page(
        MIGRATIONS, _conditions(filters, few), keys, limit, after
    )
    return query.rows(conn, page)
