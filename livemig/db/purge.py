"""What may be forgotten: long deleted instances, long ended migrations."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from livemig.db.engine import Transactions
from livemig.db.models import ACTIONS, EVENTS, FAULTS, INSTANCES, MIGRATIONS
from livemig.objects.migration_states import FINAL, Status

#: Rows a transaction starts from: short enough not to be in anyone's way.
BATCH = 200

Part = tuple[sa.Table, sa.ColumnElement[bool]]


def run(
    transactions: Transactions, before: datetime.datetime, dry_run: bool
) -> dict[str, int]:
    """Remove, or count, in short transactions; rows by table name."""
    counts = Counter[str]()
    for find, parts in (
        (_old_instances, _instance_parts),
        (_old_migrations, _migration_parts),
    ):
        last = 0
        while batch := transactions.read(
            partial(find, before=before, after_id=last)
        ):
            last = max(batch)
            counts.update(
                transactions.write(
                    partial(_remove, parts=parts(batch), dry_run=dry_run)
                )
            )
    return dict(counts)


# -- what ------------------------------------------------------------------
_FINAL = sorted(status.value for status in FINAL)


def _forgettable(before: datetime.datetime) -> sa.ColumnElement[bool]:
    """Instances deleted before that time. Not while one of their
    migrations is unfinished: somebody has to settle it."""
    its = MIGRATIONS.alias()
    unfinished = (
        sa.select(its.c.id)
        .where(
            its.c.instance_uuid == INSTANCES.c.uuid,
            its.c.status.not_in(_FINAL),
        )
        .exists()
    )
    return sa.and_(
        INSTANCES.c.deleted != 0, INSTANCES.c.deleted_at < before, ~unfinished
    )


def _old_instances(
    conn: sa.Connection, before: datetime.datetime, after_id: int
) -> list[int]:
    found = (
        sa.select(INSTANCES.c.id)
        .where(_forgettable(before), INSTANCES.c.id > after_id)
        .order_by(INSTANCES.c.id)
        .limit(BATCH)
    )
    return list(conn.scalars(found))


def _old_migrations(
    conn: sa.Connection, before: datetime.datetime, after_id: int
) -> list[int]:
    """Migrations that ended before that time, but for those that go with
    their instance: also those that ended in error while it is not deleted,
    since they tell where something of it was left."""
    ended_at: sa.ColumnElement[Any] = sa.func.coalesce(
        MIGRATIONS.c.ended_at,
        MIGRATIONS.c.updated_at,
        MIGRATIONS.c.created_at,
    )
    with_instance = (
        sa.select(INSTANCES.c.id)
        .where(
            INSTANCES.c.uuid == MIGRATIONS.c.instance_uuid,
            sa.or_(
                _forgettable(before),
                sa.and_(
                    MIGRATIONS.c.status == str(Status.ERROR),
                    INSTANCES.c.deleted == 0,
                ),
            ),
        )
        .correlate(MIGRATIONS)
        .exists()
    )
    found = (
        sa.select(MIGRATIONS.c.id)
        .where(
            MIGRATIONS.c.status.in_(_FINAL),
            ended_at < before,
            ~with_instance,
            MIGRATIONS.c.id > after_id,
        )
        .order_by(MIGRATIONS.c.id)
        .limit(BATCH)
    )
    return list(conn.scalars(found))


def _instance_parts(ids: Sequence[int]) -> list[Part]:
    """All rows of these instances, children first, themselves last."""
    uuids = sa.select(INSTANCES.c.uuid).where(INSTANCES.c.id.in_(ids))
    actions = sa.select(ACTIONS.c.id).where(ACTIONS.c.instance_uuid.in_(uuids))
    return [
        (EVENTS, EVENTS.c.action_id.in_(actions)),
        (ACTIONS, ACTIONS.c.instance_uuid.in_(uuids)),
        (FAULTS, FAULTS.c.instance_uuid.in_(uuids)),
        (MIGRATIONS, MIGRATIONS.c.instance_uuid.in_(uuids)),
        (INSTANCES, INSTANCES.c.id.in_(ids)),
    ]


def _migration_parts(ids: Sequence[int]) -> list[Part]:
    return [(MIGRATIONS, MIGRATIONS.c.id.in_(ids))]


def _remove(
    conn: sa.Connection, parts: Sequence[Part], dry_run: bool
) -> dict[str, int]:
    counts = {}
    for table, where in parts:
        if dry_run:
            count = sa.select(sa.func.count()).select_from(table)
            counts[table.name] = conn.execute(count.where(where)).scalar_one()
        else:
            counts[table.name] = conn.execute(
                sa.delete(table).where(where)
            ).rowcount
    return counts
