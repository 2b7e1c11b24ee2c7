"""Tells the outside what happens to an instance; never blocks the work.

One table gives each operation its legacy and its versioned event name
(Nova's); ``[notifications] notification_format`` says which are sent.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Protocol

from oslo_config import cfg

from livemig import context, exception
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration


class Phase(enum.StrEnum):
    START = 'start'
    END = 'end'
    ERROR = 'error'


#: operation -> (legacy name, versioned name), both without the phase.
EVENTS: Mapping[str, tuple[str, str]] = {
    'create': ('create', 'create'),
    'delete': ('delete', 'delete'),
    'pause': ('pause', 'pause'),
    'unpause': ('unpause', 'unpause'),
    'suspend': ('suspend', 'suspend'),
    'resume': ('resume', 'resume'),
    'power_on': ('power_on', 'power_on'),
    'power_off': ('power_off', 'power_off'),
    'reboot': ('reboot', 'reboot'),
    'rescue': ('rescue', 'rescue'),
    'unrescue': ('unrescue', 'unrescue'),
    'live_migration_pre': ('live_migration.pre', 'live_migration_pre'),
    'live_migration_post': ('live_migration._post', 'live_migration_post'),
    'live_migration_post_dest': (
        'live_migration.post.dest',
        'live_migration_post_dest',
    ),
    'live_migration_rollback': (
        'live_migration._rollback',
        'live_migration_rollback',
    ),
    'live_migration_rollback_dest': (
        'live_migration.rollback.dest',
        'live_migration_rollback_dest',
    ),
    'live_migration_abort': (
        'live.migration.abort',
        'live_migration_abort',
    ),
    'live_migration_force_complete': (
        'live.migration.force.complete',
        'live_migration_force_complete',
    ),
    # livemig's own: Nova tells nobody that a migration has ended, nor
    # that the timeout acted.
    'live_migration_end': ('live_migration', 'live_migration'),
    'live_migration_timeout': (
        'live_migration.timeout',
        'live_migration_timeout',
    ),
}


class Emitter(Protocol):
    """``livemig.rpc.Rpc.notifier()``: puts it on the bus, or drops it."""

    def emit(
        self,
        ctxt: context.RequestContext,
        priority: str,
        event_type: str,
        payload: dict[str, Any],
    ) -> None: ...


class Notifier:
    """One host's notifications."""

    def __init__(
        self, conf: cfg.ConfigOpts, legacy: Emitter, versioned: Emitter
    ) -> None:
        self._conf = conf
        self._legacy = legacy
        self._versioned = versioned

    def notify(
        self,
        ctxt: context.RequestContext,
        operation: str,
        phase: Phase,
        instance: Instance,
        migration: Migration | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Send one notification; it is dropped if nobody takes it."""
        wanted = self._conf.notifications.notification_format
        legacy, versioned = EVENTS[operation]
        priority = 'error' if error or phase is Phase.ERROR else 'info'
        if wanted in ('unversioned', 'both'):
            self._legacy.emit(
                ctxt,
                priority,
                f'compute.instance.{legacy}.{phase}',
                legacy_payload(instance, migration, error),
            )
        if wanted in ('versioned', 'both'):
            self._versioned.emit(
                ctxt,
                priority,
                f'instance.{versioned}.{phase}',
                versioned_payload(ctxt, instance, migration, error),
            )


class Source(Protocol):
    """``livemig.rpc.Rpc``, as far as it is used here."""

    def notifier(
        self, publisher_id: str, versioned: bool = False
    ) -> Emitter: ...


def of_service(
    conf: cfg.ConfigOpts, rpc: Source, service: str, host: str
) -> Notifier:
    """The notifier of a service: its publisher ids are Nova's."""
    return Notifier(
        conf,
        rpc.notifier(f'{service}.{host}'),
        rpc.notifier(f'nova-{service}:{host}', versioned=True),
    )


def legacy_payload(
    instance: Instance,
    migration: Migration | None,
    error: BaseException | None,
) -> dict[str, Any]:
    """The flat dictionary of the unversioned form."""
    payload: dict[str, Any] = {
        'tenant_id': instance.project_id,
        'user_id': instance.user_id,
        'instance_id': instance.uuid,
        'display_name': instance.display_name,
        'memory_mb': instance.memory_mb,
        'vcpus': instance.vcpus,
        'root_gb': instance.root_gb,
        'host': instance.host,
        'node': instance.node,
        'state': instance.vm_state,
        'state_description': instance.task_state or '',
        'progress': instance.progress,
        'created_at': str(instance.created_at),
        'metadata': instance.metadata,
    }
    return payload | _migration_part(migration) | _error_part(error)


def versioned_payload(
    ctxt: context.RequestContext,
    instance: Instance,
    migration: Migration | None,
    error: BaseException | None,
) -> dict[str, Any]:
    """The versioned form: name, namespace, version and data."""
    return {
        'nova_object.name': 'InstanceActionPayload',
        'nova_object.namespace': 'nova',
        'nova_object.version': '1.9',
        'nova_object.data': {
            'uuid': instance.uuid,
            'user_id': instance.user_id,
            'tenant_id': instance.project_id,
            'display_name': instance.display_name,
            'host_name': instance.hostname,
            'host': instance.host,
            'node': instance.node,
            'state': instance.vm_state,
            'task_state': instance.task_state,
            'progress': instance.progress,
            'metadata': instance.metadata,
            'locked': instance.locked,
            'request_id': ctxt.request_id,
            'action_initiator_user': ctxt.user_id,
            'action_initiator_project': ctxt.project_id,
            'fault': _fault(error),
            **_migration_part(migration),
        },
    }


def _migration_part(migration: Migration | None) -> dict[str, Any]:
    if migration is None:
        return {}
    return {
        'migration': {
            'id': migration.id,
            'uuid': migration.uuid,
            'status': migration.status,
            'source_compute': migration.source_compute,
            'dest_compute': migration.dest_compute,
            'reason': migration.reason,
            'completed_by': migration.completed_by,
            'downtime_ms': migration.downtime_ms,
        }
    }


def _error_part(error: BaseException | None) -> dict[str, Any]:
    if error is None:
        return {}
    return {'exception': type(error).__name__, 'message': _text(error)}


def _fault(error: BaseException | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        'exception': type(error).__name__,
        'exception_message': _text(error),
    }


def _text(error: BaseException) -> str:
    if isinstance(error, exception.LivemigError):
        return error.message
    return type(error).__name__
