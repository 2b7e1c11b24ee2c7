"""Sending side of the messages to the conductor, and the store behind it.

Version 1.0: live_migrate_instance, migrate_server, build_instance,
store_call.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

from livemig import context
from livemig.compute.rpcapi import Client, issued_now
from livemig.objects import store

TOPIC = 'conductor'
VERSION = '1.0'

#: What a compute manager may ask of the records: the store's methods.
STORE_METHODS = frozenset(
    name
    for name, _ in inspect.getmembers(store.Store, inspect.isfunction)
    if not name.startswith('_')
)

#: Bounds of the calls, s. Placing a migration takes both pre-checks.
STORE_CALL_S = 30
#: Until a conductor has answered once. What is sent before the first one
#: listens is lost, and a host would be down until that is noticed.
FIRST_CALL_S = 5
PLACE_CALL_S = 1800
MONITOR_S = 60


class ConductorAPI:
    """Messages to any conductor. All may raise BrokerUnreachable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def build_instance(
        self, ctxt: context.RequestContext, instance_uuid: str
    ) -> None:
        """Cast: find a host for an instance and have it made there."""
        self._client.cast(
            ctxt,
            'build_instance',
            instance_uuid=instance_uuid,
            issued_at=issued_now(),
        )

    def live_migrate_instance(
        self, ctxt: context.RequestContext, migration_id: int
    ) -> None:
        """Cast: place an accepted migration and start it (from 2.34)."""
        self._client.cast(
            ctxt,
            'live_migrate_instance',
            migration_id=migration_id,
            issued_at=issued_now(),
        )

    def migrate_server(
        self, ctxt: context.RequestContext, migration_id: int
    ) -> None:
        """Call: the same, waiting for both pre-checks (before 2.34).

        :raises MigrationPreCheckError: with all reasons.
        :raises NoValidHost:
        :raises ReplyTimeout: it may go on all the same.
        """
        self._client.call(
            ctxt,
            'migrate_server',
            timeout_s=PLACE_CALL_S,
            monitor_s=MONITOR_S,
            migration_id=migration_id,
        )


class _Method:
    """One of the store's methods, carried over the bus by name."""

    def __init__(self, owner: ConductorStore, name: str) -> None:
        self._owner = owner
        self._name = name
        self._signature = inspect.signature(getattr(store.Store, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self._signature.bind(None, *args, **kwargs)
        arguments = dict(list(bound.arguments.items())[1:])
        return self._owner.call(self._name, arguments)


class ConductorStore:
    """The store of a process that has no database: it asks the conductor.

    Every method of ``objects.store.Store`` is one call, bounded; the
    context is livemig's own: what a user may do was checked at the API.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._answered = False

    def __getattr__(self, name: str) -> Any:
        if name not in STORE_METHODS:
            raise AttributeError(name)
        method = _Method(self, name)
        self.__dict__[name] = method
        return method

    def call(self, name: str, arguments: dict[str, Any]) -> Any:
        answer = self._client.call(
            context.admin_context(None),
            'store_call',
            timeout_s=STORE_CALL_S if self._answered else FIRST_CALL_S,
            name=name,
            arguments=arguments,
        )
        self._answered = True
        return answer


def conductor_store(client: Client) -> store.Store:
    """A ConductorStore, typed as what it stands for."""
    return cast(store.Store, ConductorStore(client))
