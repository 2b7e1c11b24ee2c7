"""Sending side of the messages to compute managers: one method a message.

Versions of the interface:

* 1.0 base; pause_instance to unrescue_instance (``power.OPERATIONS``)
* 1.1 live_migration_force_complete
* 1.2 live_migration_abort
* 1.3 live_migration of a rescued instance

A cast is only a nudge: what is to be done stands on the record before it
is sent, and the receiver reads it there. ``issued_at`` and the expected
status let it drop what comes too late.
"""

from __future__ import annotations

from typing import Any, Protocol

from livemig import context, exception
from livemig.objects import base

TOPIC = 'compute'
VERSION = '1.3'

FORCE_COMPLETE_VERSION = '1.1'
ABORT_VERSION = '1.2'
RESCUED_VERSION = '1.3'

#: The calls that do work at the far end: upper bound and heartbeat, s.
LONG_CALL_S = 1800
MONITOR_S = 30
SHORT_CALL_S = 60


class Client(Protocol):
    """``livemig.rpc.Client``, as far as it is used here."""

    def call(
        self,
        ctxt: context.RequestContext,
        method: str,
        *,
        server: str | None = None,
        version: str = '1.0',
        timeout_s: float | None = None,
        monitor_s: float | None = None,
        **kwargs: Any,
    ) -> Any: ...

    def cast(
        self,
        ctxt: context.RequestContext,
        method: str,
        *,
        server: str | None = None,
        version: str = '1.0',
        **kwargs: Any,
    ) -> None: ...

    def can_send(self, version: str) -> bool: ...


def issued_now() -> str:
    """When a message is sent, as it stands in the message."""
    return base.utcnow().isoformat()


class ComputeAPI:
    """Messages to the compute manager of one host.

    All may raise BrokerUnreachable, the calls ReplyTimeout too, and the
    domain errors of the far end.
    """

    def __init__(self, client: Client, version_cap: str | None = None) -> None:
        self._client = client
        self._cap = version_cap

    def require(self, host: str, action: str, version: str) -> None:
        """Refuse, before anything is written, what cannot be sent.

        :param host: as it is to be told.
        :raises RpcVersionTooOld:
        """
        if not self._client.can_send(version):
            raise exception.RpcVersionTooOld(
                host=host, action=action, have=self._cap, needed=version
            )

    # -- life of an instance ------------------------------------------------
    def build_instance(
        self, ctxt: context.RequestContext, host: str, instance_uuid: str
    ) -> None:
        """Cast: make the instance that stands in the record."""
        self._client.cast(
            ctxt,
            'build_instance',
            server=host,
            instance_uuid=instance_uuid,
            issued_at=issued_now(),
        )

    def terminate_instance(
        self, ctxt: context.RequestContext, host: str, instance_uuid: str
    ) -> None:
        """Cast: destroy it; its task_state says that it was asked for."""
        self._client.cast(
            ctxt,
            'terminate_instance',
            server=host,
            instance_uuid=instance_uuid,
            issued_at=issued_now(),
        )

    def operate_instance(
        self,
        ctxt: context.RequestContext,
        host: str,
        message: str,
        instance_uuid: str,
        **arguments: Any,
    ) -> None:
        """Cast: do what the instance's task_state says was asked for.

        :param message: ``pause_instance`` ... ``unrescue_instance``, see
            ``power.OPERATIONS``; ``reboot_instance`` has a
            ``reboot_type``, SOFT or HARD.
        """
        self._client.cast(
            ctxt,
            message,
            server=host,
            instance_uuid=instance_uuid,
            issued_at=issued_now(),
            **arguments,
        )

    def guest_state(
        self, ctxt: context.RequestContext, host: str, instance_uuid: str
    ) -> dict[str, Any] | None:
        """Call: what that host's hypervisor says; None = not there."""
        result: dict[str, Any] | None = self._client.call(
            ctxt,
            'guest_state',
            server=host,
            timeout_s=SHORT_CALL_S,
            instance_uuid=instance_uuid,
        )
        return result

    # -- a migration's way --------------------------------------------------
    def check_can_live_migrate_destination(
        self, ctxt: context.RequestContext, host: str, migration_id: int
    ) -> dict[str, Any]:
        """Call: can it come? The destination asks the source in turn.

        :return: ``{'reasons': [{'host', 'text'}...], 'plan': dict|None}``
        """
        result: dict[str, Any] = self._client.call(
            ctxt,
            'check_can_live_migrate_destination',
            server=host,
            timeout_s=LONG_CALL_S,
            monitor_s=MONITOR_S,
            migration_id=migration_id,
        )
        return result

    def check_can_live_migrate_source(
        self,
        ctxt: context.RequestContext,
        host: str,
        migration_id: int,
        destination: dict[str, Any],
        probe: str,
    ) -> dict[str, Any]:
        """Call: can it leave for that destination? As above."""
        result: dict[str, Any] = self._client.call(
            ctxt,
            'check_can_live_migrate_source',
            server=host,
            timeout_s=SHORT_CALL_S,
            migration_id=migration_id,
            destination=destination,
            probe=probe,
        )
        return result

    def live_migration(
        self,
        ctxt: context.RequestContext,
        host: str,
        migration_id: int,
        *,
        rescued: bool = False,
    ) -> None:
        """Cast to the source: the migration is placed, begin it.

        :param rescued: its instance is; older managers cannot do that.
        """
        self._client.cast(
            ctxt,
            'live_migration',
            server=host,
            version=RESCUED_VERSION if rescued else '1.0',
            migration_id=migration_id,
            issued_at=issued_now(),
        )

    def pre_live_migration(
        self, ctxt: context.RequestContext, host: str, migration_id: int
    ) -> None:
        """Call to the destination: prepare for it.

        :raises DestinationNotPrepared: nothing is left there.
        """
        self._client.call(
            ctxt,
            'pre_live_migration',
            server=host,
            timeout_s=LONG_CALL_S,
            monitor_s=MONITOR_S,
            migration_id=migration_id,
        )

    def post_live_migration_at_destination(
        self, ctxt: context.RequestContext, host: str, migration_id: int
    ) -> dict[str, Any]:
        """Call to the destination: it has come, make it lasting.

        :return: ``{'power_state': int, 'job': JobStats dict or None}``
        """
        result: dict[str, Any] = self._client.call(
            ctxt,
            'post_live_migration_at_destination',
            server=host,
            timeout_s=LONG_CALL_S,
            monitor_s=MONITOR_S,
            migration_id=migration_id,
        )
        return result

    def rollback_live_migration_at_destination(
        self, ctxt: context.RequestContext, host: str, migration_id: int
    ) -> None:
        """Call to the destination: remove what this migration made.

        A call: the source's record says ended only when it is done.
        """
        self._client.call(
            ctxt,
            'rollback_live_migration_at_destination',
            server=host,
            timeout_s=LONG_CALL_S,
            monitor_s=MONITOR_S,
            migration_id=migration_id,
        )

    # -- the operator's requests --------------------------------------------
    def live_migration_force_complete(
        self, ctxt: context.RequestContext, host: str, migration_id: int
    ) -> None:
        """Cast to the source: a force complete stands on the record."""
        self._client.cast(
            ctxt,
            'live_migration_force_complete',
            server=host,
            version=FORCE_COMPLETE_VERSION,
            migration_id=migration_id,
            issued_at=issued_now(),
        )

    def live_migration_abort(
        self, ctxt: context.RequestContext, host: str, migration_id: int
    ) -> None:
        """Cast to the source: an abort stands on the record."""
        self._client.cast(
            ctxt,
            'live_migration_abort',
            server=host,
            version=ABORT_VERSION,
            migration_id=migration_id,
            issued_at=issued_now(),
        )
