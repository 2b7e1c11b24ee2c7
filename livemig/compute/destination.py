"""The manager at the far end of a migration, asked with patience."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from livemig import context, exception
from livemig.compute.journal import AWAY
from livemig.compute.patience import HYPERVISOR_AWAY, Patience
from livemig.compute.rpcapi import ComputeAPI
from livemig.objects.migration import Migration
from livemig.objects.service import Service
from livemig.virt.job import GuestState

T = TypeVar('T')

#: A roll-back waits this long for it, s; what it left there is removed
#: when that manager is back.
ROLL_BACK_PATIENCE_S = 120.0
#: When nobody answers for so long, s, the record says what is waited for.
SILENT_S = 30.0


class Destination:
    """The destination of one migration. Belongs to its runner's thread.

    Every method may raise ``monitor.Stopped``, and what the far end raised.
    """

    def __init__(
        self,
        ctxt: context.RequestContext,
        migration: Migration,
        compute_api: ComputeAPI,
        patience: Patience,
    ) -> None:
        self.host: str = migration.dest_compute or ''
        #: Nobody answers there, and there is nothing else to do.
        self.silent = False
        self._ctxt = ctxt
        self._migration_id = migration.id
        self._instance_uuid = migration.instance_uuid
        self._compute_api = compute_api
        self._patience = patience

    def prepare(self) -> None:
        """:raises ReplyTimeout: it is silent: nothing was begun, so there
        is no need to wait for it."""
        self._patience.ask(
            lambda: self._compute_api.pre_live_migration(
                self._ctxt, self.host, self._migration_id
            ),
            unless_silent=self.host,
        )

    def guest_state(
        self, patience_s: float | None = None
    ) -> GuestState | None:
        """What its hypervisor says; of a host that is forced down: None.

        :param patience_s: give up after that; None: never.
        """
        try:
            answer = self._ask(
                lambda: self._compute_api.guest_state(
                    self._ctxt, self.host, self._instance_uuid
                ),
                patience_s,
            )
        except exception.HostForcedDown:
            return None
        return GuestState.from_dict(answer) if answer else None

    def finish(self) -> dict[str, Any]:
        """See ``ComputeAPI.post_live_migration_at_destination``.

        :raises HostForcedDown:
        """
        return self._ask(
            lambda: self._compute_api.post_live_migration_at_destination(
                self._ctxt, self.host, self._migration_id
            )
        )

    def undo(self) -> None:
        """:raises ReplyTimeout: it was silent for too long (or the broker,
            or the keeper of the records, was away).
        :raises HostForcedDown:
        """
        self._unless_forced_down()
        self._patience.ask(
            lambda: self._compute_api.rollback_live_migration_at_destination(
                self._ctxt, self.host, self._migration_id
            ),
            patience_s=ROLL_BACK_PATIENCE_S,
        )

    # -- helpers ------------------------------------------------------------
    def _ask(
        self, call: Callable[[], T], patience_s: float | None = None
    ) -> T:
        """Until it answers, or an administrator says that it never will."""
        try:
            return self._patience.ask(
                call,
                patience_s,
                away=HYPERVISOR_AWAY,
                between=self._has_not_answered,
            )
        finally:
            self.silent = False

    def _has_not_answered(self) -> None:
        self.silent = True
        self._unless_forced_down()

    def _unless_forced_down(self) -> None:
        try:
            service = Service.compute_of(self._ctxt, self.host)
        except (exception.HostNotFound, *AWAY):
            return
        if service.forced_down:
            raise exception.HostForcedDown(host=self.host)
