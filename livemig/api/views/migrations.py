"""How a migration looks on the wire, of a server and alone."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

from livemig.api.action import Call
from livemig.api.fields import ABSENT, LINKS, Field
from livemig.api.microversion import Microversion
from livemig.api.validation import NULLABLE_STRING, Schema
from livemig.api.views.common import (
    INT,
    NULLABLE_INT,
    NULLABLE_NUMBER,
    STRING,
    UUID,
    V,
    exact_time,
)
from livemig.objects import migration_states
from livemig.objects.migration import LIVE_MIGRATION, Migration


@dataclasses.dataclass(frozen=True)
class MigrationSource:
    """What a migration's fields are made of."""

    call: Call
    migration: Migration
    shows_hosts: bool = True


def flavor_number(flavor_id: str | None) -> int | None:
    """An integer for a flavor, where Nova shows its row number."""
    if flavor_id is None:
        return None
    if flavor_id.isascii() and flavor_id.isdigit() and len(flavor_id) < 10:
        return int(flavor_id)
    return zlib.crc32(flavor_id.encode()) & 0x7FFFFFFF


def in_progress(version: Microversion) -> frozenset[str]:
    """The statuses that count as in progress."""
    if version >= V(2, 202):
        return migration_states.IN_PROGRESS_WITH_POST_COPY
    return migration_states.IN_PROGRESS


def _migration(name: str) -> Callable[[MigrationSource], Any]:
    return lambda source: getattr(source.migration, name)


def _host(name: str) -> Callable[[MigrationSource], Any]:
    return lambda source: (
        getattr(source.migration, name) if source.shows_hosts else None
    )


def _throughput(source: MigrationSource) -> int | None:
    """Of the whole migration once it has ended, else the present rate."""
    migration = source.migration
    if migration.throughput_bytes_per_s is not None:
        return migration.throughput_bytes_per_s
    return migration.memory_bytes_per_s


def _migration_links(source: MigrationSource) -> Any:
    migration = source.migration
    if (
        migration.migration_type != LIVE_MIGRATION
        or migration.status not in in_progress(source.call.version)
    ):
        return ABSENT
    return source.call.links.of(
        f'/servers/{migration.instance_uuid}/migrations/{migration.id}'
    )


_HOSTS: tuple[Field, ...] = tuple(
    Field(name, NULLABLE_STRING, _host(name))
    for name in (
        'source_compute',
        'source_node',
        'dest_compute',
        'dest_node',
        'dest_host',
    )
)
_MIGRATION_TIMES: tuple[Field, ...] = (
    Field('created_at', STRING, lambda s: exact_time(s.migration.created_at)),
    Field(
        'updated_at',
        NULLABLE_STRING,
        lambda s: exact_time(s.migration.updated_at),
    ),
)
_MIGRATION_LATER: tuple[Field, ...] = (
    Field('uuid', UUID, _migration('uuid'), first=V(2, 59)),
    Field('user_id', NULLABLE_STRING, _migration('user_id'), first=V(2, 80)),
    Field(
        'project_id',
        NULLABLE_STRING,
        _migration('project_id'),
        first=V(2, 80),
    ),
)
#: Name on the wire, its type, where it comes from.
_OWN: tuple[tuple[str, Schema, Callable[[MigrationSource], Any]], ...] = (
    ('old_flavor_id', NULLABLE_STRING, _migration('old_flavor_id')),
    ('new_flavor_id', NULLABLE_STRING, _migration('new_flavor_id')),
    # It names hosts, and says what their hypervisors said.
    ('reason', NULLABLE_STRING, _host('reason')),
    ('completed_by', NULLABLE_STRING, _migration('completed_by')),
    ('downtime_ms', NULLABLE_INT, _migration('downtime_ms')),
    ('pass_number', NULLABLE_INT, _migration('pass_number')),
    ('dirty_rate_bytes_per_s', NULLABLE_INT, _migration('dirty_bytes_per_s')),
    ('elapsed_s', NULLABLE_NUMBER, _migration('elapsed_s')),
    ('timeout_s', NULLABLE_INT, _migration('timeout_s')),
    ('throughput_bytes_per_s', NULLABLE_INT, _throughput),
)
_MIGRATION_OWN: tuple[Field, ...] = tuple(
    Field(name, schema, get, first=V(2, 202)) for name, schema, get in _OWN
)

SERVER_MIGRATION: tuple[Field, ...] = (
    Field('id', INT, _migration('id')),
    Field('server_uuid', UUID, _migration('instance_uuid')),
    Field('status', STRING, _migration('status')),
    *_HOSTS,
    *(
        Field(f'{kind}_{what}_bytes', NULLABLE_INT,
              _migration(f'{kind}_{what}'))
        for kind in ('memory', 'disk')
        for what in ('total', 'processed', 'remaining')
    ),
    *_MIGRATION_TIMES,
    *_MIGRATION_LATER,
    *_MIGRATION_OWN,
)  # fmt: skip

MIGRATION: tuple[Field, ...] = (
    Field('id', INT, _migration('id')),
    Field('instance_uuid', UUID, _migration('instance_uuid')),
    Field('status', STRING, _migration('status')),
    *_HOSTS,
    Field(
        'old_instance_type_id',
        NULLABLE_INT,
        _migration('old_instance_type_id'),
    ),
    Field(
        'new_instance_type_id',
        NULLABLE_INT,
        _migration('new_instance_type_id'),
    ),
    *_MIGRATION_TIMES,
    Field(
        'migration_type', STRING, _migration('migration_type'),
        first=V(2, 23),
    ),
    Field(
        'links', LINKS, _migration_links, first=V(2, 23), optional=True
    ),
    *_MIGRATION_LATER,
    *_MIGRATION_OWN,
)  # fmt: skip
