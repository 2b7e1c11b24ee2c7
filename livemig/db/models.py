"""The tables and their indexes: what is recorded, and looked up by what.

Core tables, no mapped classes: a record leaves the database as a plain
dictionary, and a change is one UPDATE that carries its own guard. There is
nothing for a session's identity map or unit of work to do.

A change here needs a revision in ``migrations/versions``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from livemig.db.types import Json, LongText, UtcDateTime

METADATA = MetaData()

#: utf8mb4_bin: text is compared as SQLite and PostgreSQL do, letter by
#: letter. AUTOINCREMENT: SQLite would give the id of a purged row again,
#: and an id is part of an URL.
_OPTIONS: dict[str, Any] = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
    'sqlite_autoincrement': True,
}


def _id() -> Column[int]:
    return Column('id', Integer, primary_key=True, autoincrement=True)


def _timestamps() -> tuple[Column[Any], Column[Any]]:
    """``updated_at`` is NULL until the first update, as Nova has it."""
    return (
        Column('created_at', UtcDateTime, nullable=False),
        Column('updated_at', UtcDateTime),
    )


INSTANCES = Table(
    'instances',
    METADATA,
    _id(),
    Column('uuid', String(36), nullable=False),
    Column('display_name', String(255)),
    Column('description', String(255)),
    Column('user_id', String(255)),
    Column('project_id', String(255)),
    Column('reservation_id', String(255)),
    Column('hostname', String(255)),
    Column('host', String(255)),
    Column('node', String(255)),
    Column('vm_state', String(64)),
    Column('task_state', String(64)),
    Column('power_state', Integer),
    Column('progress', Integer),
    Column('memory_mb', Integer),
    Column('vcpus', Integer),
    Column('root_gb', Integer),
    Column('flavor', Json),
    Column('image_ref', String(255)),
    Column('image', Json),
    Column('rescue', Json),
    Column('metadata', Json),
    Column('locked', Boolean, nullable=False, default=False),
    Column('locked_by', String(255)),
    Column('locked_reason', String(255)),
    Column('availability_zone', String(255)),
    Column('key_name', String(255)),
    Column('config_drive', String(255)),
    Column('mac_address', String(32)),
    Column('request_id', String(255)),
    Column('launched_at', UtcDateTime),
    Column('terminated_at', UtcDateTime),
    *_timestamps(),
    Column('deleted_at', UtcDateTime),
    # 0, or the row's own id.
    Column('deleted', Integer, nullable=False, default=0),
    UniqueConstraint('uuid', name='uniq_instances0uuid'),
    # Lists: one project's, everybody's, one host's, the changed ones.
    Index(
        'ix_instances_project_created',
        'project_id', 'deleted', 'created_at', 'id',
    ),
    Index('ix_instances_created', 'deleted', 'created_at', 'id'),
    Index('ix_instances_host', 'host', 'deleted', 'created_at', 'id'),
    Index('ix_instances_updated', 'updated_at'),
    **_OPTIONS,
)  # fmt: skip

MIGRATIONS = Table(
    'migrations',
    METADATA,
    _id(),
    Column('uuid', String(36), nullable=False),
    Column('instance_uuid', String(36), nullable=False),
    Column('source_compute', String(255)),
    Column('source_node', String(255)),
    Column('dest_compute', String(255)),
    Column('dest_node', String(255)),
    Column('dest_host', String(255)),
    Column('status', String(64), nullable=False),
    Column('migration_type', String(64)),
    Column('hidden', Boolean, nullable=False, default=False),
    Column('memory_total', BigInteger),
    Column('memory_processed', BigInteger),
    Column('memory_remaining', BigInteger),
    Column('disk_total', BigInteger),
    Column('disk_processed', BigInteger),
    Column('disk_remaining', BigInteger),
    Column('user_id', String(255)),
    Column('project_id', String(255)),
    Column('old_instance_type_id', Integer),
    Column('new_instance_type_id', Integer),
    Column('old_flavor_id', String(255)),
    Column('new_flavor_id', String(255)),
    Column('requested_host', String(255)),
    Column('block_migration', Boolean),
    Column('disk_over_commit', Boolean),
    Column('forced', Boolean, nullable=False, default=False),
    Column('request_id', String(255)),
    Column('plan', Json),
    Column('claimed_by', String(255)),
    Column('claimed_at', UtcDateTime),
    Column('abort_requested_at', UtcDateTime),
    Column('abort_requested_by', String(255)),
    Column('abort_request_id', String(255)),
    Column('force_requested_at', UtcDateTime),
    Column('force_requested_by', String(255)),
    Column('force_request_id', String(255)),
    Column('force_method', String(64)),
    Column('reason', LongText),
    Column('completed_by', String(64)),
    Column('downtime_ms', BigInteger),
    Column('throughput_bytes_per_s', BigInteger),
    Column('started_at', UtcDateTime),
    Column('ended_at', UtcDateTime),
    Column('pass_number', BigInteger),
    Column('dirty_bytes_per_s', BigInteger),
    Column('memory_bytes_per_s', BigInteger),
    Column('elapsed_s', Double),
    Column('timeout_s', Integer),
    *_timestamps(),
    UniqueConstraint('uuid', name='uniq_migrations0uuid'),
    # Lists newest first: all, one project's, one status's.
    Index('ix_migrations_created', 'created_at', 'id'),
    Index('ix_migrations_project_created', 'project_id', 'created_at', 'id'),
    Index('ix_migrations_status_created', 'status', 'created_at', 'id'),
    # One instance's; what a manager has to do; the changed ones.
    Index('ix_migrations_instance', 'instance_uuid', 'status'),
    Index('ix_migrations_source', 'source_compute', 'status'),
    Index('ix_migrations_dest', 'dest_compute', 'status'),
    Index('ix_migrations_updated', 'updated_at'),
    **_OPTIONS,
)

ACTIONS = Table(
    'instance_actions',
    METADATA,
    _id(),
    Column('instance_uuid', String(36), nullable=False),
    Column('action', String(255), nullable=False),
    Column('request_id', String(255), nullable=False),
    Column('user_id', String(255)),
    Column('project_id', String(255)),
    Column('start_time', UtcDateTime),
    Column('finish_time', UtcDateTime),
    Column('message', String(255)),
    *_timestamps(),
    UniqueConstraint(
        'instance_uuid',
        'request_id',
        name='uniq_instance_actions0instance_uuid0request_id',
    ),
    Index('ix_instance_actions_created', 'instance_uuid', 'created_at', 'id'),
    **_OPTIONS,
)

EVENTS = Table(
    'instance_action_events',
    METADATA,
    _id(),
    Column(
        'action_id',
        Integer,
        ForeignKey('instance_actions.id', name='fk_events_action_id'),
        nullable=False,
    ),
    Column('event', String(255), nullable=False),
    Column('host', String(255)),
    Column('start_time', UtcDateTime),
    Column('finish_time', UtcDateTime),
    Column('result', String(255)),
    Column('details', LongText),
    Column('traceback', LongText),
    *_timestamps(),
    Index('ix_instance_action_events_action', 'action_id', 'id'),
    **_OPTIONS,
)

FAULTS = Table(
    'instance_faults',
    METADATA,
    _id(),
    Column('instance_uuid', String(36), nullable=False),
    Column('code', Integer),
    Column('message', LongText),
    Column('details', LongText),
    Column('host', String(255)),
    Column('created_at', UtcDateTime, nullable=False),
    Index('ix_instance_faults_instance', 'instance_uuid', 'id'),
    **_OPTIONS,
)

SERVICES = Table(
    'services',
    METADATA,
    _id(),
    Column('uuid', String(36), nullable=False),
    Column('host', String(255), nullable=False),
    Column('binary', String(255), nullable=False),
    Column('topic', String(255)),
    Column('version', Integer),
    Column('disabled', Boolean, nullable=False, default=False),
    Column('disabled_reason', String(255)),
    Column('forced_down', Boolean, nullable=False, default=False),
    Column('last_seen_at', UtcDateTime),
    Column('facts', Json),
    *_timestamps(),
    # 0, or the row's own id: a host may come back after it was deleted.
    Column('deleted', Integer, nullable=False, default=0),
    UniqueConstraint('uuid', name='uniq_services0uuid'),
    UniqueConstraint(
        'host', 'binary', 'deleted', name='uniq_services0host0binary0deleted'
    ),
    **_OPTIONS,
)

#: Flavors of the API; what an instance has of its own is on the instance.
FLAVORS = Table(
    'flavors',
    METADATA,
    _id(),
    Column('flavor_id', String(255), nullable=False),
    Column('name', String(255), nullable=False),
    Column('ram_mib', Integer, nullable=False),
    Column('vcpus', Integer, nullable=False),
    Column('disk_gib', Integer, nullable=False, default=0),
    Column('ephemeral_gib', Integer, nullable=False, default=0),
    Column('swap_mib', Integer, nullable=False, default=0),
    Column('description', LongText),
    Column('is_public', Boolean, nullable=False, default=True),
    Column('extra_specs', Json),
    *_timestamps(),
    UniqueConstraint('flavor_id', name='uniq_flavors0flavor_id'),
    UniqueConstraint('name', name='uniq_flavors0name'),
    **_OPTIONS,
)
