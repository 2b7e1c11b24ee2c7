"""A migration: one attempt to move one instance. ``fire`` is the only way
its status changes."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from typing import Any, Self

from oslo_log import log
from oslo_versionedobjects import fields

from livemig import context, exception
from livemig.objects import base, migration_states
from livemig.objects.migration_states import Event, Status

LOG = log.getLogger(__name__)

LIVE_MIGRATION = 'live-migration'

_DateTime = fields.DateTimeField


@base.Registry.register
class Migration(base.LivemigObject):
    """One migration. ``migration_id`` in the code is its ``id``."""

    VERSION = '1.0'

    id: int
    uuid: str
    instance_uuid: str
    source_compute: str | None
    source_node: str | None
    dest_compute: str | None
    dest_node: str | None
    dest_host: str | None
    status: str
    migration_type: str
    hidden: bool
    memory_total: int | None
    memory_processed: int | None
    memory_remaining: int | None
    disk_total: int | None
    disk_processed: int | None
    disk_remaining: int | None
    user_id: str | None
    project_id: str | None
    old_instance_type_id: int | None
    new_instance_type_id: int | None
    old_flavor_id: str | None
    new_flavor_id: str | None
    requested_host: str | None
    block_migration: bool | None
    disk_over_commit: bool | None
    forced: bool
    request_id: str | None
    plan: dict[str, Any] | None
    claimed_by: str | None
    claimed_at: datetime.datetime | None
    abort_requested_at: datetime.datetime | None
    abort_requested_by: str | None
    abort_request_id: str | None
    force_requested_at: datetime.datetime | None
    force_requested_by: str | None
    force_request_id: str | None
    force_method: str | None
    reason: str | None
    completed_by: str | None
    downtime_ms: int | None
    throughput_bytes_per_s: int | None
    started_at: datetime.datetime | None
    ended_at: datetime.datetime | None
    pass_number: int | None
    dirty_bytes_per_s: int | None
    memory_bytes_per_s: int | None
    elapsed_s: float | None
    timeout_s: int | None
    created_at: datetime.datetime
    updated_at: datetime.datetime | None

    fields = {
        'id': fields.IntegerField(),
        'uuid': fields.UUIDField(),
        'instance_uuid': fields.UUIDField(),
        'source_compute': fields.StringField(nullable=True),
        'source_node': fields.StringField(nullable=True),
        'dest_compute': fields.StringField(nullable=True),
        'dest_node': fields.StringField(nullable=True),
        'dest_host': fields.StringField(nullable=True),
        'status': fields.StringField(),
        'migration_type': fields.StringField(),
        'hidden': fields.BooleanField(),
        'memory_total': fields.IntegerField(nullable=True),
        'memory_processed': fields.IntegerField(nullable=True),
        'memory_remaining': fields.IntegerField(nullable=True),
        'disk_total': fields.IntegerField(nullable=True),
        'disk_processed': fields.IntegerField(nullable=True),
        'disk_remaining': fields.IntegerField(nullable=True),
        'user_id': fields.StringField(nullable=True),
        'project_id': fields.StringField(nullable=True),
        'old_instance_type_id': fields.IntegerField(nullable=True),
        'new_instance_type_id': fields.IntegerField(nullable=True),
        'old_flavor_id': fields.StringField(nullable=True),
        'new_flavor_id': fields.StringField(nullable=True),
        'requested_host': fields.StringField(nullable=True),
        'block_migration': fields.BooleanField(nullable=True),
        'disk_over_commit': fields.BooleanField(nullable=True),
        'forced': fields.BooleanField(),
        'request_id': fields.StringField(nullable=True),
        'plan': base.JsonField(nullable=True),
        'claimed_by': fields.StringField(nullable=True),
        'claimed_at': _DateTime(nullable=True),
        'abort_requested_at': _DateTime(nullable=True),
        'abort_requested_by': fields.StringField(nullable=True),
        'abort_request_id': fields.StringField(nullable=True),
        'force_requested_at': _DateTime(nullable=True),
        'force_requested_by': fields.StringField(nullable=True),
        'force_request_id': fields.StringField(nullable=True),
        'force_method': fields.StringField(nullable=True),
        'reason': fields.StringField(nullable=True),
        'completed_by': fields.StringField(nullable=True),
        'downtime_ms': fields.IntegerField(nullable=True),
        'throughput_bytes_per_s': fields.IntegerField(nullable=True),
        'started_at': _DateTime(nullable=True),
        'ended_at': _DateTime(nullable=True),
        'pass_number': fields.IntegerField(nullable=True),
        'dirty_bytes_per_s': fields.IntegerField(nullable=True),
        'memory_bytes_per_s': fields.IntegerField(nullable=True),
        'elapsed_s': fields.FloatField(nullable=True),
        'timeout_s': fields.IntegerField(nullable=True),
        'created_at': _DateTime(),
        'updated_at': _DateTime(nullable=True),
    }

    # -- reading ------------------------------------------------------------
    @classmethod
    def get(cls, ctxt: context.RequestContext, migration_id: int) -> Self:
        """:raises MigrationNotFound:"""
        row = ctxt.store.migration_get(migration_id)
        if row is None:
            raise exception.MigrationNotFound(migration_id=migration_id)
        return cls.from_row(ctxt, row)

    @classmethod
    def get_by_id_and_instance(
        cls,
        ctxt: context.RequestContext,
        migration_id: int,
        instance_uuid: str,
    ) -> Self:
        """:raises MigrationNotFoundForInstance:"""
        row = ctxt.store.migration_get(migration_id)
        if row is None or row['instance_uuid'] != instance_uuid:
            raise exception.MigrationNotFoundForInstance(
                migration_id=migration_id, instance_id=instance_uuid
            )
        return cls.from_row(ctxt, row)

    @classmethod
    def get_by_instance_and_status(
        cls,
        ctxt: context.RequestContext,
        instance_uuid: str,
        status: str | Collection[str],
    ) -> list[Self]:
        """The instance's migrations in (any of) that status, newest
        first."""
        wanted = [status] if isinstance(status, str) else sorted(status)
        return cls.list(
            ctxt, {'instance_uuid': instance_uuid, 'status': wanted}
        )

    @classmethod
    def list(
        cls,
        ctxt: context.RequestContext,
        filters: Mapping[str, Any],
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Self]:
        """See ``Store.migration_list``. :raises MarkerNotFound:"""
        rows = ctxt.store.migration_list(filters, limit, marker)
        return [cls.from_row(ctxt, row) for row in rows]

    def refresh(self) -> None:
        """Read it again. :raises MigrationNotFound:"""
        row = self.store.migration_get(self.id)
        if row is None:
            raise exception.MigrationNotFound(migration_id=self.id)
        self.refresh_from(row)

    # -- changing -----------------------------------------------------------
    @classmethod
    def begin(
        cls,
        ctxt: context.RequestContext,
        instance_uuid: str,
        values: Mapping[str, Any],
        instance_values: Mapping[str, Any],
        instance_expected: Mapping[str, Any],
        action: Mapping[str, Any],
    ) -> Self:
        """Create it, status accepted, and take the instance, at once.

        :raises StateConflict: the instance was not as expected any more.
        """
        row = ctxt.store.migration_begin(
            instance_uuid,
            instance_values,
            instance_expected,
            {
                **values,
                'status': str(Status.ACCEPTED),
                'migration_type': LIVE_MIGRATION,
            },
            action,
        )
        if row is None:
            raise exception.StateConflict(
                what=f'Instance {instance_uuid}',
                expected=str(dict(instance_expected)),
                found='another state',
            )
        return cls.from_row(ctxt, row)

    def fire(
        self,
        event: Event,
        values: Mapping[str, Any] | None = None,
        instance_values: Mapping[str, Any] | None = None,
        instance_expected: Mapping[str, Any] | None = None,
    ) -> None:
        """Let ``event`` happen: the one door to a new status.

        Legal by the table? Then one transaction swaps the status and the
        instance's state with it.

        :raises UnexpectedTransition: the table forbids it.
        :raises StateConflict: somebody else moved it first; the object is
            refreshed, look at it again.
        """
        was = Status(self.status)
        becomes = migration_states.after(was, event)
        if becomes is None:
            raise exception.UnexpectedTransition(
                event=str(event), migration_id=self.id, status=str(was)
            )
        row = self.store.migration_fire(
            self.id,
            str(was),
            {
                **(values or {}),
                'status': str(becomes),
                **(
                    {'ended_at': base.utcnow()}
                    if becomes in migration_states.FINAL
                    else {}
                ),
            },
            instance_values,
            instance_expected,
        )
        if row is None:
            self.refresh()
            raise exception.StateConflict(
                what=f'Migration {self.id}',
                expected=str(was),
                found=self.status,
            )
        self.refresh_from(row)
        self._log_change(was, event)

    def _log_change(self, was: Status, event: Event) -> None:
        LOG.info(
            'Migration %(id)s of instance %(instance)s: %(was)s -> '
            '%(becomes)s (%(event)s)%(reason)s',
            {
                'id': self.id,
                'instance': self.instance_uuid,
                'was': was,
                'becomes': self.status,
                'event': event,
                'reason': f': {self.reason}' if self.reason else '',
            },
        )

    def save_values(self, **values: Any) -> None:
        """Save figures; never the status.

        A migration that is not there any more is left alone.
        """
        if 'status' in values:
            raise ValueError('status changes only by fire()')
        row = self.store.migration_update(self.id, values)
        if row is not None:
            self.refresh_from(row)

    def claim(self, who: str, now: datetime.datetime, stale_s: float) -> bool:
        """A conductor takes this accepted migration as its own to place.

        :return: False if another one has it and that is not ``stale_s``
            ago. From so long ahead it is of a clock that was put right
            since, and as old as any.
        """
        if self.claimed_at is not None:
            age_s = (now - self.claimed_at).total_seconds()
            if abs(age_s) < stale_s:
                return False
        row = self.store.migration_update(
            self.id,
            {'claimed_by': who, 'claimed_at': now},
            {
                'status': str(Status.ACCEPTED),
                'claimed_at': self.claimed_at,
            },
        )
        if row is None:
            return False
        self.refresh_from(row)
        return True

    def request_abort(
        self,
        user_id: str | None,
        request_id: str,
        action: Mapping[str, Any] | None = None,
    ) -> None:
        """Write on the migration that it shall be aborted.

        :param action: the instance action, written with it or not at all.
        :raises AbortUnderWay: it was asked before; names the first.
        :raises InvalidMigrationState: it can not be aborted (any more).
        """
        row = self.store.migration_update(
            self.id,
            {
                'abort_requested_at': base.utcnow(),
                'abort_requested_by': user_id,
                'abort_request_id': request_id,
            },
            {
                'abort_requested_at': None,
                'status': sorted(map(str, migration_states.ABORTABLE)),
            },
            action,
        )
        if row is None:
            self.refresh()
            self.check_no_abort()
            raise self.invalid_state('abort')
        self.refresh_from(row)

    def request_force(
        self,
        user_id: str | None,
        request_id: str,
        method: str,
        action: Mapping[str, Any] | None = None,
    ) -> bool:
        """Write on the migration that it shall be forced to complete.

        :param method: ``auto`` or ``pause`` (never post-copy).
        :param action: the instance action, written with it or not at all.
        :return: False if that had been asked before: nothing changes.
        :raises AbortUnderWay: an abort came first.
        :raises InvalidMigrationState: it can not be forced (any more).
        """
        row = self.store.migration_update(
            self.id,
            {
                'force_requested_at': base.utcnow(),
                'force_requested_by': user_id,
                'force_request_id': request_id,
                'force_method': method,
            },
            {
                'abort_requested_at': None,
                'force_requested_at': None,
                'status': sorted(map(str, migration_states.FORCEABLE)),
            },
            action,
        )
        if row is not None:
            self.refresh_from(row)
            return True
        self.refresh()
        self.check_no_abort()
        if Status(self.status) not in migration_states.FORCEABLE:
            raise self.invalid_state('force_complete')
        return False

    def check_no_abort(self) -> None:
        """:raises AbortUnderWay: an abort was asked for."""
        if self.abort_requested_at is not None:
            raise exception.AbortUnderWay(
                migration_id=self.id,
                instance_id=self.instance_uuid,
                requested_at=base.time_text(self.abort_requested_at),
                requested_by=str(self.abort_requested_by),
                request_id=str(self.abort_request_id),
            )

    def invalid_state(self, action: str) -> exception.InvalidMigrationState:
        """The error that says this status does not go with ``action``."""
        return exception.InvalidMigrationState(
            action=action,
            migration_id=self.id,
            instance_id=self.instance_uuid,
            status=self.status,
        )
