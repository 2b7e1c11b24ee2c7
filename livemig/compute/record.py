"""A migration's record as its runner reads and writes it: with patience.

The keeper of the records (conductor, broker, database) may be away for as
long as it likes: all of this waits for it and nothing gives up.
"""

from __future__ import annotations

from typing import Any

from oslo_log import log

from livemig import context, exception
from livemig.compute.journal import RETRY_S, Journal
from livemig.compute.patience import Patience
from livemig.objects import migration_states
from livemig.objects.instance import Instance
from livemig.objects.instance_states import TaskState
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event, Status

LOG = log.getLogger(__name__)


class Record:
    """One migration's. Belongs to its runner's thread.

    Every method may raise ``monitor.Stopped``.
    """

    def __init__(
        self,
        ctxt: context.RequestContext,
        migration: Migration,
        journal: Journal,
        patience: Patience,
    ) -> None:
        self.migration = migration
        self._ctxt = ctxt
        self._journal = journal
        self._patience = patience

    @property
    def status(self) -> Status:
        return Status(self.migration.status)

    # -- read ---------------------------------------------------------------
    def reread(self) -> None:
        self._patience.ask(self.migration.refresh)

    def instance(self) -> Instance:
        """The migration's instance, also a deleted one."""
        return self._patience.ask(
            lambda: Instance.get(
                self._ctxt, self.migration.instance_uuid, deleted=True
            )
        )

    def instance_is_deleted(self) -> bool:
        """It is to be deleted, or has been already."""
        instance = self.instance()
        return bool(
            instance.deleted or instance.task_state == TaskState.DELETING
        )

    # -- write --------------------------------------------------------------
    def written(self) -> None:
        """Wait until the journal's changes are on the record."""
        self._patience.ask(self._check_written)

    def _check_written(self) -> None:
        if not self._journal.drained(RETRY_S):
            raise exception.ReplyTimeout(
                host='the conductor', method='journal', limit_s=RETRY_S
            )

    def fire(self, event: Event, *args: Any) -> None:
        """See ``Migration.fire``; after what was noted before it.

        :raises StateConflict: somebody else ended or moved it on.
        """

        def fire() -> None:
            becomes = migration_states.after(self.status, event)
            try:
                self.migration.fire(event, *args)
            except exception.StateConflict:
                # A reply was lost after the swap: it has happened.
                if self.status is not becomes:
                    raise

        self.written()
        self._patience.ask(fire)

    def end(
        self,
        event: Event,
        reason: str,
        instance_values: dict[str, Any] | None = None,
    ) -> None:
        """Fire the last event: the instance is free again."""
        self.fire(
            event,
            {'reason': reason},
            {'task_state': None, 'progress': 0} | (instance_values or {}),
            {'task_state': str(TaskState.MIGRATING)},
        )

    def note_reason(self, reason: str | None) -> None:
        """Why it is as it is, while it goes on; None: no longer so."""
        if self.migration.reason != reason:
            if reason is not None:
                LOG.error('Migration %s: %s', self.migration.id, reason)
            self._patience.ask(
                lambda: self.migration.save_values(reason=reason)
            )
