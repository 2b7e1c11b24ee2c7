"""The destination's side of migrations: prepare, receive, undo, tidy up."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from oslo_log import log

from livemig import context, exception
from livemig.compute import power_states
from livemig.compute.hands import Turns
from livemig.compute.instances import AGAIN, Recorded
from livemig.compute.journal import AWAY
from livemig.compute.sweep import sweep
from livemig.notifications import Notifier, Phase
from livemig.objects import migration_states
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Status
from livemig.virt import driver as virt

LOG = log.getLogger(__name__)

#: What is notified -> the event of the instance action.
_EVENTS: Mapping[str, str] = {
    'live_migration_pre': 'compute_pre_live_migration',
    'live_migration_post_dest': 'compute_post_live_migration_at_destination',
    'live_migration_rollback_dest': (
        'compute_rollback_live_migration_at_destination'
    ),
}


class Incoming:
    """What a host does for guests that are to come to it.

    The source's runner asks for it; a message that comes too late, or
    again, harms nothing. One of them at a time for each guest: a manager
    that was restarted asks again while the first request is still at work,
    and neither may take the other's disks away.
    """

    def __init__(
        self, host: str, driver: virt.Driver, notifier: Notifier
    ) -> None:
        self._host = host
        self._driver = driver
        self._notifier = notifier
        self._turns = Turns()
        #: (operation, migration id) whose start has been told, but no end.
        self._begun: set[tuple[str, int]] = set()
        #: (guest, migration id) of notes that others wrote; told once.
        self._foreign: set[tuple[str, int]] = set()

    def prepare(self, ctxt: context.RequestContext, migration_id: int) -> None:
        """:raises StateConflict: too late."""
        with self._turn(ctxt, migration_id):
            migration, plan = self._coming(
                ctxt, migration_id, Status.PREPARING
            )
            with self._told(ctxt, migration, 'live_migration_pre'):
                self._driver.prepare_destination(plan)

    def finish(
        self, ctxt: context.RequestContext, migration_id: int
    ) -> dict[str, Any]:
        """:raises StateConflict: too late."""
        with self._turn(ctxt, migration_id):
            migration, plan = self._coming(
                ctxt, migration_id, Status.POST_MIGRATING
            )
            with self._told(
                ctxt, migration, 'live_migration_post_dest', AGAIN
            ):
                self._driver.finish_destination(plan.guest_id, migration_id)
                state = self._driver.guest_state(plan.guest_id)
                job = self._driver.completed_job(plan.guest_id)
        return {
            'power_state': int(power_states.of(state)),
            'job': job.to_dict() if job else None,
        }

    def undo(self, ctxt: context.RequestContext, migration_id: int) -> None:
        """:raises StateConflict: a newer migration brings the guest here."""
        with self._turn(ctxt, migration_id) as migration:
            if self._another_is_coming(ctxt, migration):
                raise exception.StateConflict(
                    what=f'Guest {migration.instance_uuid}',
                    expected=f'only migration {migration_id} to {self._host}',
                    found='a newer one on its way here',
                )
            with self._told(ctxt, migration, 'live_migration_rollback_dest'):
                self._driver.undo_destination(
                    migration.instance_uuid, migration_id
                )

    def tidy_up(self, ctxt: context.RequestContext) -> None:
        """Remove what ended migrations left here while nobody answered.

        Of one that ended in error only when its instance is deleted: until
        then the guest may be here, and what was made for it are its only
        disks.
        """
        sweep(
            functools.partial(self._tidy_up, ctxt, guest_id, migration_id)
            for guest_id, migration_id in self._driver.prepared()
        )

    def _tidy_up(
        self, ctxt: context.RequestContext, guest_id: str, migration_id: int
    ) -> None:
        # Looked at twice: nobody waits for a turn who has nothing to do, for
        # a destination may be preparing for minutes.
        if self._left(ctxt, guest_id, migration_id) is None:
            return
        with self._turns.of(guest_id):
            status = self._left(ctxt, guest_id, migration_id)
            if status is None:
                return
            LOG.info(
                'Removing what migration %(id)s left here of guest %(guest)s.',
                {'id': migration_id, 'guest': guest_id},
            )
            if status is Status.ERROR:
                self._driver.destroy(guest_id)
            self._driver.undo_destination(guest_id, migration_id)

    def _left(
        self, ctxt: context.RequestContext, guest_id: str, migration_id: int
    ) -> Status | None:
        """How the migration ended, if what it made here has to go."""
        migration = self._ours(ctxt, guest_id, migration_id)
        if migration is None:
            return None
        status = Status(migration.status)
        left = status in migration_states.ROLLED_BACK or (
            status is Status.ERROR and _is_deleted(ctxt, guest_id)
        )
        if not left or self._another_is_coming(ctxt, migration):
            return None
        return status

    def _ours(
        self, ctxt: context.RequestContext, guest_id: str, migration_id: int
    ) -> Migration | None:
        """The migration a note speaks of; None if the records have no such.

        A database that was restored from a backup, or another installation
        that uses this hypervisor, counts its migrations anew: by the number
        alone a guest would be destroyed that is just arriving.
        """
        row = ctxt.store.migration_get(migration_id)
        if row is None:
            return None
        migration = Migration.from_row(ctxt, row)
        if (migration.instance_uuid, migration.dest_compute) == (
            guest_id,
            self._host,
        ):
            return migration
        if (guest_id, migration_id) not in self._foreign:
            self._foreign.add((guest_id, migration_id))
            LOG.warning(
                'Something of guest %(guest)s was made on %(host)s for '
                'a migration %(id)s, which in the records is one of instance '
                '%(other)s to %(dest)s: it is left alone. Is the database '
                'an older one, or does another livemig use this hypervisor?',
                {
                    'guest': guest_id,
                    'host': self._host,
                    'id': migration_id,
                    'other': migration.instance_uuid,
                    'dest': migration.dest_compute,
                },
            )
        return None

    @contextlib.contextmanager
    def _turn(
        self, ctxt: context.RequestContext, migration_id: int
    ) -> Iterator[Migration]:
        """Wait for this guest's turn.

        :returns: the migration, read before; look at it again.
        """
        migration = Migration.get(ctxt, migration_id)
        with self._turns.of(migration.instance_uuid):
            yield migration

    def _coming(
        self,
        ctxt: context.RequestContext,
        migration_id: int,
        expected: Status,
    ) -> tuple[Migration, virt.TransferPlan]:
        """The migration, if it still is as the message expects.

        :raises StateConflict: the message came too late.
        """
        migration = Migration.get(ctxt, migration_id)
        if (
            migration.status != expected
            or migration.dest_compute != self._host
        ):
            raise exception.StateConflict(
                what=f'Migration {migration_id}',
                expected=f'{expected} to {self._host}',
                found=f'{migration.status} to {migration.dest_compute}',
            )
        return migration, virt.TransferPlan.from_dict(migration.plan or {})

    def _another_is_coming(
        self, ctxt: context.RequestContext, migration: Migration
    ) -> bool:
        """A late roll-back must not hit a newer migration's guest."""
        coming = Migration.list(
            ctxt,
            {
                'instance_uuid': migration.instance_uuid,
                'dest_compute': self._host,
                'status': sorted(map(str, migration_states.UNFINISHED)),
            },
        )
        return any(other.id != migration.id for other in coming)

    def _told(
        self,
        ctxt: context.RequestContext,
        migration: Migration,
        operation: str,
        again: tuple[type[Exception], ...] = AWAY,
    ) -> Recorded:
        """Record the event of the message and notify start and end, each
        once, however often the source has to ask.

        :param again: the errors after which it does.
        """
        key = (operation, migration.id)

        def notify(phase: Phase, error: BaseException | None) -> None:
            if phase is not Phase.START:
                self._begun.discard(key)
            elif key in self._begun:
                return
            else:
                self._begun.add(key)
            instance = Instance.get(
                ctxt, migration.instance_uuid, deleted=True
            )
            self._notifier.notify(
                ctxt, operation, phase, instance, migration, error
            )

        return Recorded(
            ctxt,
            self._host,
            migration.instance_uuid,
            str(migration.request_id),
            _EVENTS[operation],
            notify,
            again,
        )


def _is_deleted(ctxt: context.RequestContext, instance_uuid: str) -> bool:
    row = ctxt.store.instance_get(instance_uuid, deleted=True)
    return row is not None and bool(row['deleted'])
