"""Tells the outside what happens to an instance; never blocks the work.

One table gives each operation its legacy and its versioned event name
(Nova's); ``[notifications] notification_format`` says which are sent.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from oslo_config import cfg
from oslo_log import log

from livemig import context
from livemig import notification_payloads as payloads
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration

LOG = log.getLogger(__name__)


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

#: (legacy name, versioned name) of what a conductor tells.
NOT_PLACED = (
    'compute_task.migrate_server',
    'compute_task.migrate_server.error',
)
#: Any failed message to a host; the legacy name is the message's.
MESSAGE_FAILED = 'compute.exception'


class Emitter(Protocol):
    """``livemig.rpc.Rpc.notifier()``: puts it on the bus, or drops it."""

    def emit(
        self,
        ctxt: context.RequestContext,
        priority: str,
        event_type: str,
        payload: dict[str, Any],
    ) -> None: ...


#: What makes a payload when it is known that it is wanted.
Make = Callable[[], dict[str, Any]]


class Notifier:
    """One service's notifications. Nothing it does ever raises: whoever
    tells goes on with his work."""

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
        """Tell that ``operation`` (``EVENTS``) begins, has ended, failed."""
        legacy, versioned = EVENTS[operation]
        self._send(
            ctxt,
            'error' if error or phase is Phase.ERROR else 'info',
            (
                f'compute.instance.{legacy}.{phase}',
                lambda: payloads.legacy(operation, instance, migration, error),
            ),
            (
                f'instance.{versioned}.{phase}',
                lambda: payloads.versioned(
                    ctxt, operation, instance, migration, error
                ),
            ),
        )

    def not_placed(
        self,
        ctxt: context.RequestContext,
        instance: Instance,
        error: BaseException,
    ) -> None:
        """A conductor found no way for a migration."""
        legacy, versioned = NOT_PLACED
        self._send(
            ctxt,
            'error',
            (legacy, lambda: payloads.legacy_compute_task(instance, error)),
            (versioned, lambda: payloads.compute_task(instance, error)),
        )

    def message_failed(
        self,
        ctxt: context.RequestContext,
        message: str,
        error: BaseException,
        arguments: Mapping[str, Any],
    ) -> None:
        """A message to a host ended with an exception."""
        self._send(
            ctxt,
            'error',
            (message, lambda: payloads.legacy_exception(error, arguments)),
            (MESSAGE_FAILED, lambda: payloads.exception_object(error)),
        )

    def _send(
        self,
        ctxt: context.RequestContext,
        priority: str,
        legacy: tuple[str, Make],
        versioned: tuple[str, Make],
    ) -> None:
        wanted = self._conf.notifications.notification_format
        try:
            if wanted in ('unversioned', 'both'):
                event_type, make = legacy
                self._legacy.emit(ctxt, priority, event_type, make())
            if wanted in ('versioned', 'both'):
                event_type, make = versioned
                self._versioned.emit(ctxt, priority, event_type, make())
        except Exception:
            # Our bug; it must not end what is being told of.
            LOG.exception('Notification %s was not made.', versioned[0])


class Source(Protocol):
    """``livemig.rpc.Rpc``, as far as it is used here."""

    def notifier(
        self, publisher_id: str, versioned: bool = False
    ) -> Emitter: ...


#: service -> name of its unversioned publisher, if it is another one.
_LEGACY_PUBLISHERS: Mapping[str, str] = {'conductor': 'compute_task'}


def of_service(
    conf: cfg.ConfigOpts, rpc: Source, service: str, host: str
) -> Notifier:
    """The notifier of a service: its publisher ids are Nova's."""
    legacy = _LEGACY_PUBLISHERS.get(service, service)
    return Notifier(
        conf,
        rpc.notifier(f'{legacy}.{host}'),
        rpc.notifier(f'nova-{service}:{host}', versioned=True),
    )


class Watched:
    """The messages of a manager; each that fails is told, and still fails.

    :param messages: names of the manager's methods.
    :param quiet: those of them whose failures are not told: what is asked
        again each second would flood everybody who listens.
    """

    def __init__(
        self,
        manager: Any,
        messages: Iterable[str],
        notifier: Notifier,
        quiet: Collection[str] = (),
    ) -> None:
        for name in messages:
            if name in quiet:
                setattr(self, name, getattr(manager, name))
                continue
            watched = functools.partial(
                _watched, getattr(manager, name), name, notifier
            )
            setattr(self, name, watched)


def _watched(
    method: Callable[..., Any],
    name: str,
    notifier: Notifier,
    ctxt: context.RequestContext,
    **arguments: Any,
) -> Any:
    try:
        return method(ctxt, **arguments)
    except Exception as exc:
        notifier.message_failed(ctxt, name, exc, arguments)
        raise
