"""What the instances of hosts and projects take, summed by the database."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from livemig.db.models import INSTANCES
from livemig.db.rows import query
from livemig.objects.store import Row

#: What instances are told apart by.
_GROUPS = frozenset({'host', 'project_id'})


def sums(conn: sa.Connection, group: str, of: Sequence[str]) -> list[Row]:
    """One row a host or project that has instances; in one query.

    :raises ValueError: nothing to sum up by.
    """
    if group not in _GROUPS:
        raise ValueError(f'Instances are not counted by {group!r}.')
    col = query.column(INSTANCES, group)
    its = INSTANCES.c
    return query.rows(
        conn,
        sa.select(
            col,
            sa.func.count().label('instances'),
            # Databases sum integers up to decimals.
            *(
                sa.cast(
                    sa.func.coalesce(sa.func.sum(its[name]), 0),
                    sa.BigInteger,
                ).label(name)
                for name in ('vcpus', 'memory_mb', 'root_gb')
            ),
            sa.func.count(its.task_state).label('busy'),
        )
        .where(its.deleted == 0, query.matches(col, list(of)))
        .group_by(col),
    )


def places(conn: sa.Connection, hosts: Sequence[str]) -> list[Row]:
    """``id``, ``uuid``, ``host`` of the instances of these hosts."""
    its = INSTANCES.c
    return query.rows(
        conn,
        sa.select(its.id, its.uuid, its.host)
        .where(query.matches(its.host, list(hosts)), its.deleted == 0)
        .order_by(its.id),
    )
