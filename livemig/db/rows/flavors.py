"""Flavors made through the API; those of the catalogue file are not here."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping

import sqlalchemy as sa
from oslo_db import exception as db_exc

from livemig import exception
from livemig.db.models import FLAVORS
from livemig.db.rows import query
from livemig.objects.store import Row, Values


def create(conn: sa.Connection, values: Values, now: datetime.datetime) -> Row:
    """:raises FlavorExists: its id or its name is taken."""
    ready = query.to_store(FLAVORS, values)
    try:
        with conn.begin_nested():
            return query.insert(conn, FLAVORS, {**ready, 'created_at': now})
    except db_exc.DBDuplicateEntry as error:
        raise exception.FlavorExists(
            flavor_id=ready['flavor_id'], name=ready['name']
        ) from error


def _find(
    conn: sa.Connection, flavor_id: str, lock: bool = False
) -> Row | None:
    found = sa.select(FLAVORS).where(_is(flavor_id))
    return query.first(conn, found.with_for_update() if lock else found)


def _is(flavor_id: str) -> query.Condition:
    return query.matches(FLAVORS.c.flavor_id, flavor_id)


def get(conn: sa.Connection, flavor_id: str) -> Row | None:
    return _find(conn, flavor_id)


def list_(conn: sa.Connection) -> list[Row]:
    return query.rows(conn, sa.select(FLAVORS).order_by(FLAVORS.c.id))


def update(
    conn: sa.Connection,
    flavor_id: str,
    values: Values,
    now: datetime.datetime,
) -> Row | None:
    ready = query.to_store(FLAVORS, values)
    return query.swap(
        conn, FLAVORS, _is(flavor_id), {**ready, 'updated_at': now}, None
    )


def change_extra_specs(
    conn: sa.Connection,
    flavor_id: str,
    put: Mapping[str, str],
    drop: Collection[str],
    now: datetime.datetime,
) -> Row | None:
    """One after the other: what another one put meanwhile stays."""
    row = _find(conn, flavor_id, lock=True)
    if row is None:
        return None
    kept = {
        key: value
        for key, value in (row['extra_specs'] or {}).items()
        if key not in drop
    }
    return update(conn, flavor_id, {'extra_specs': {**kept, **put}}, now)


def destroy(conn: sa.Connection, flavor_id: str) -> bool:
    result = conn.execute(sa.delete(FLAVORS).where(_is(flavor_id)))
    return result.rowcount == 1
