"""Instances and their faults."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import sqlalchemy as sa

from livemig import exception
from livemig.db.models import FAULTS, INSTANCES
from livemig.db.rows import actions, names, query
from livemig.objects.instance_states import VmState
from livemig.objects.store import Row, Values


def create(
    conn: sa.Connection,
    values: Values,
    action: Values,
    now: datetime.datetime,
) -> Row:
    """Insert an instance and its first action."""
    ready = query.to_store(INSTANCES, values)
    ready.setdefault('uuid', str(uuid.uuid4()))
    row = query.insert(conn, INSTANCES, {**ready, 'created_at': now})
    actions.start(conn, {**action, 'instance_uuid': row['uuid']}, now)
    return row


def get(conn: sa.Connection, instance_uuid: str, deleted: bool) -> Row | None:
    where = [query.matches(INSTANCES.c.uuid, instance_uuid)]
    if not deleted:
        where.append(INSTANCES.c.deleted == 0)
    return query.first(conn, sa.select(INSTANCES).where(*where))


def update(
    conn: sa.Connection,
    instance_uuid: str,
    values: Values,
    expected: Values | None,
    now: datetime.datetime,
    action: Values | None = None,
) -> Row | None:
    """Change an instance that is not deleted, if it is as expected.

    :param action: begun by that change.
    """
    where = query.matches(INSTANCES.c.uuid, instance_uuid)
    ready = query.to_store(INSTANCES, values)
    row = query.swap(
        conn,
        INSTANCES,
        sa.and_(where, INSTANCES.c.deleted == 0),
        {**ready, 'updated_at': now},
        expected,
    )
    if row is not None and action is not None:
        actions.start(conn, {**action, 'instance_uuid': instance_uuid}, now)
    return row


def destroy(
    conn: sa.Connection, instance_uuid: str, now: datetime.datetime
) -> bool:
    where = query.matches(INSTANCES.c.uuid, instance_uuid)
    result = conn.execute(
        sa.update(INSTANCES)
        .where(where, INSTANCES.c.deleted == 0)
        .values(
            deleted=INSTANCES.c.id,
            deleted_at=now,
            terminated_at=now,
            updated_at=now,
            vm_state=VmState.DELETED.value,
            task_state=None,
        )
    )
    return result.rowcount == 1


# -- the list ---------------------------------------------------------------
def _in_states(
    pairs: Sequence[tuple[str, str | None] | list[str | None]],
) -> query.Condition:
    """Any of the (vm_state, task_state) pairs; task_state None is any."""
    alternatives = []
    for vm_state, task_state in pairs:
        condition = query.matches(INSTANCES.c.vm_state, vm_state)
        if task_state is not None:
            condition = sa.and_(
                condition, query.matches(INSTANCES.c.task_state, task_state)
            )
        alternatives.append(condition)
    return sa.or_(sa.false(), *alternatives)


def _of_flavors(ids: Sequence[str]) -> query.Condition:
    """Made of one of these flavors, whatever has become of it since."""
    found = [one for one in ids if one == query.clean(one)]
    condition: query.Condition = (
        INSTANCES.c.flavor['id'].as_string().in_(found)
    )
    return condition


def _conditions(filters: Values, few_changed: bool) -> list[query.Condition]:
    plain = dict(filters)
    found = []
    changes = {'changes_since', 'changes_before'} & plain.keys()
    deleted = plain.pop('deleted', None if changes else False)
    if deleted is not None:
        found.append(
            INSTANCES.c.deleted != 0 if deleted else INSTANCES.c.deleted == 0
        )
    if 'states' in plain:
        found.append(_in_states(plain.pop('states')))
    if 'flavor_ids' in plain:
        found.append(_of_flavors(plain.pop('flavor_ids')))
    if 'name' in plain:
        pattern = plain.pop('name')
        found.append(INSTANCES.c.display_name.regexp_match(pattern))
    return query.conditions(INSTANCES, plain, few_changed=few_changed) + found


def _marker(
    conn: sa.Connection, marker: str | None, filters: Values
) -> Row | None:
    """The marker's row; a deleted one still tells where to go on, another
    project's is not told from none.

    :raises MarkerNotFound:
    """
    if marker is None:
        return None
    where = [query.matches(INSTANCES.c.uuid, marker)]
    if 'project_id' in filters:
        where.append(
            query.matches(INSTANCES.c.project_id, filters['project_id'])
        )
    row = query.first(conn, sa.select(INSTANCES).where(*where))
    if row is None:
        raise exception.MarkerNotFound(marker=marker)
    return row


def list_(
    conn: sa.Connection,
    filters: Values,
    limit: int | None,
    marker: str | None,
    sort_keys: Sequence[tuple[str, str]],
) -> list[Row]:
    keys = query.sort_columns(INSTANCES, sort_keys)
    name = filters.get('name')
    with names.matching(conn, name) if name is not None else nullcontext():
        page = query.select_page(
            INSTANCES,
            _conditions(
                filters, query.few_changed(conn, INSTANCES, filters, limit)
            ),
            keys,
            limit,
            _marker(conn, marker, filters),
        )
        return query.rows(conn, page)


# -- faults -----------------------------------------------------------------
def add_fault(
    conn: sa.Connection,
    instance_uuid: str,
    values: Values,
    now: datetime.datetime,
) -> None:
    ready = query.to_store(FAULTS, {**values, 'instance_uuid': instance_uuid})
    conn.execute(sa.insert(FAULTS).values(**ready, created_at=now))


def faults(conn: sa.Connection, instance_uuids: Sequence[str]) -> list[Row]:
    """The latest of each, in one query."""
    newest: Any = (
        sa.select(sa.func.max(FAULTS.c.id).label('id'))
        .where(query.matches(FAULTS.c.instance_uuid, list(instance_uuids)))
        .group_by(FAULTS.c.instance_uuid)
        .subquery()
    )
    return query.rows(
        conn,
        sa.select(FAULTS)
        .join(newest, newest.c.id == FAULTS.c.id)
        .order_by(FAULTS.c.id),
    )
