"""Services: who reported, when last, and what it can do."""

from __future__ import annotations

import datetime
import uuid

import sqlalchemy as sa
from oslo_db import exception as db_exc

from livemig.db.models import SERVICES
from livemig.db.rows import query
from livemig.objects.store import Row, Values


def report(conn: sa.Connection, values: Values, now: datetime.datetime) -> Row:
    """Refresh the row of (host, binary), or insert it."""
    ready = query.to_store(SERVICES, values)
    ready.setdefault('last_seen_at', now)
    found = _find(conn, ready)
    if found is None:
        new = {'uuid': str(uuid.uuid4()), **ready, 'created_at': now}
        try:
            with conn.begin_nested():
                return query.insert(conn, SERVICES, new)
        except db_exc.DBDuplicateEntry:
            # Another process of that name was faster.
            found = _find(conn, ready, lock=True)
            if found is None:
                raise
    where = SERVICES.c.id == found['id']
    row = query.swap(conn, SERVICES, where, {**ready, 'updated_at': now}, None)
    if row is None:
        raise AssertionError('a service row went away')
    return row


def _find(
    conn: sa.Connection, values: Values, lock: bool = False
) -> Row | None:
    """A plain read first: InnoDB would answer an UPDATE that finds nothing
    with a lock on the gap, in which all new services would deadlock."""
    found = sa.select(SERVICES).where(
        query.matches(SERVICES.c.host, values['host']),
        query.matches(SERVICES.c.binary, values['binary']),
        SERVICES.c.deleted == 0,
    )
    return query.first(conn, found.with_for_update() if lock else found)


def list_(conn: sa.Connection, filters: Values) -> list[Row]:
    """In order of registration; deleted ones if ``deleted`` says so."""
    plain = dict(filters)
    gone = plain.pop('deleted', False)
    where = query.conditions(SERVICES, plain)
    where.append(SERVICES.c.deleted != 0 if gone else SERVICES.c.deleted == 0)
    return query.rows(
        conn, sa.select(SERVICES).where(*where).order_by(SERVICES.c.id)
    )


def update(
    conn: sa.Connection,
    service_uuid: str,
    values: Values,
    now: datetime.datetime,
) -> Row | None:
    ready = query.to_store(SERVICES, values)
    where = sa.and_(
        query.matches(SERVICES.c.uuid, service_uuid), SERVICES.c.deleted == 0
    )
    return query.swap(
        conn, SERVICES, where, {**ready, 'updated_at': now}, None
    )


def destroy(
    conn: sa.Connection, service_uuid: str, now: datetime.datetime
) -> bool:
    result = conn.execute(
        sa.update(SERVICES)
        .where(
            query.matches(SERVICES.c.uuid, service_uuid),
            SERVICES.c.deleted == 0,
        )
        .values(deleted=SERVICES.c.id, updated_at=now)
    )
    return result.rowcount == 1
