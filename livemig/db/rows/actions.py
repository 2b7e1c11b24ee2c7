"""Instance actions and their events: who asked what, and what came of it."""

from __future__ import annotations

import datetime
import logging

import sqlalchemy as sa
from oslo_db import exception as db_exc

from livemig import exception
from livemig.db.models import ACTIONS, EVENTS
from livemig.db.rows import query
from livemig.objects.store import Row, Values

LOG = logging.getLogger(__name__)

_NEWEST_FIRST = (('created_at', 'desc'), ('id', 'desc'))


def start(conn: sa.Connection, values: Values, now: datetime.datetime) -> Row:
    """Insert an action, or find the one of the same request.

    The unique key decides between two that come at once. ``updated_at`` is
    set from the start, as clients know it from Nova.
    """
    ready = query.to_store(ACTIONS, values)
    ready.setdefault('start_time', now)
    try:
        with conn.begin_nested():
            return query.insert(
                conn, ACTIONS, {**ready, 'created_at': now, 'updated_at': now}
            )
    except db_exc.DBDuplicateEntry:
        row = _find(
            conn, ready['instance_uuid'], ready['request_id'], lock=True
        )
        if row is None:
            raise
        return row


def _find(
    conn: sa.Connection,
    instance_uuid: str,
    request_id: str,
    lock: bool = False,
) -> Row | None:
    """:param lock: keep others off the row, and see it as it is now (else
    InnoDB shows it as at the transaction's first read)."""
    found = sa.select(ACTIONS).where(
        query.matches(ACTIONS.c.instance_uuid, instance_uuid),
        query.matches(ACTIONS.c.request_id, request_id),
    )
    return query.first(conn, found.with_for_update() if lock else found)


def list_(
    conn: sa.Connection,
    instance_uuid: str,
    filters: Values,
    limit: int | None,
    marker: str | None,
) -> list[Row]:
    after = None
    if marker is not None:
        after = _find(conn, instance_uuid, marker)
        if after is None:
            raise exception.MarkerNotFound(marker=marker)
    where = query.conditions(
        ACTIONS, {**filters, 'instance_uuid': instance_uuid}
    )
    keys = query.sort_columns(ACTIONS, _NEWEST_FIRST)
    return query.rows(
        conn, query.select_page(ACTIONS, where, keys, limit, after)
    )


def get(
    conn: sa.Connection, instance_uuid: str, request_id: str
) -> Row | None:
    action = _find(conn, instance_uuid, request_id)
    if action is None:
        return None
    keys = query.sort_columns(EVENTS, _NEWEST_FIRST)
    events = query.select_page(
        EVENTS, [EVENTS.c.action_id == action['id']], keys, None, None
    )
    return {**action, 'events': query.rows(conn, events)}


# -- events -----------------------------------------------------------------
def _open_event(
    conn: sa.Connection, instance_uuid: str, request_id: str, values: Values
) -> tuple[Row | None, Row | None]:
    """The action and its unfinished event of that name and host.

    Locks the action's row, so that two callers come one after the other.
    """
    action = _find(conn, instance_uuid, request_id, lock=True)
    if action is None:
        # The audit trail is never a reason to stop the work itself.
        LOG.warning(
            'instance %s has no action of request %s: event %s not kept',
            instance_uuid,
            request_id,
            values.get('event'),
        )
        return None, None
    # Not locked itself: InnoDB would lock the gap in which other actions
    # begin their events, and they would deadlock.
    found = (
        sa.select(EVENTS)
        .where(
            EVENTS.c.action_id == action['id'],
            EVENTS.c.finish_time.is_(None),
            query.matches(EVENTS.c.event, values['event']),
            query.matches(EVENTS.c.host, values.get('host')),
        )
        .order_by(EVENTS.c.id.desc())
    )
    return action, query.first(conn, found)


def _touch(
    conn: sa.Connection,
    action_id: int,
    now: datetime.datetime,
    **values: str,
) -> None:
    """An action's ``updated_at`` covers its events."""
    conn.execute(
        sa.update(ACTIONS)
        .where(ACTIONS.c.id == action_id)
        .values(updated_at=now, **values)
    )


def start_event(
    conn: sa.Connection,
    instance_uuid: str,
    request_id: str,
    values: Values,
    now: datetime.datetime,
) -> None:
    action, event = _open_event(conn, instance_uuid, request_id, values)
    if action is None or event is not None:
        return
    ready = query.to_store(EVENTS, {**values, 'action_id': action['id']})
    ready.setdefault('start_time', now)
    conn.execute(sa.insert(EVENTS).values(**ready, created_at=now))
    _touch(conn, action['id'], now)


def finish_event(
    conn: sa.Connection,
    instance_uuid: str,
    request_id: str,
    values: Values,
    now: datetime.datetime,
) -> None:
    action, event = _open_event(conn, instance_uuid, request_id, values)
    if action is None or event is None:
        return
    ready = query.to_store(EVENTS, values)
    ready.setdefault('finish_time', now)
    conn.execute(
        sa.update(EVENTS)
        .where(EVENTS.c.id == event['id'])
        .values(**ready, updated_at=now)
    )
    failed = ready.get('result') == 'Error'
    _touch(conn, action['id'], now, **({'message': 'Error'} if failed else {}))
