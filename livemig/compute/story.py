"""What is told of one migration: record, instance actions, notifications.

All of it goes through the journal, so telling never blocks the work; what
must not be lost is tried again until it is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from oslo_log import log

from livemig import concurrency, context, exception
from livemig.compute import journal, requests, texts
from livemig.compute.convergence import Cause, Decision, Do, Request
from livemig.notifications import Notifier, Phase
from livemig.objects import action as actions
from livemig.objects import base
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event, Status
from livemig.virt import job as jobs

LOG = log.getLogger(__name__)

#: The event of the ``live-migration`` action that lasts as long as the
#: work itself.
WORK_EVENT = 'compute_live_migration'


@dataclasses.dataclass(frozen=True)
class _Kind:
    """How a request of one kind is called where it is told."""

    action: str
    event: str
    notification: str


_KINDS: Mapping[Do, _Kind] = {
    Do.ABORT: _Kind(
        actions.ABORT, 'compute_live_migration_abort', 'live_migration_abort'
    ),
    Do.PAUSE: _Kind(
        actions.FORCE_COMPLETE,
        'compute_live_migration_force_complete',
        'live_migration_force_complete',
    ),
}


class Story:
    """The one who tells. Implements ``monitor.Listener``.

    :param ctxt: the migration's own context (its request id).
    """

    def __init__(
        self,
        ctxt: context.RequestContext,
        host: str,
        migration_id: int,
        instance_uuid: str,
        notifier: Notifier,
    ) -> None:
        self._ctxt = ctxt
        self._host = host
        self._migration_id = migration_id
        self._instance_uuid = instance_uuid
        self._notifier = notifier
        #: Requests come from other threads too, until the end is told.
        self._lock = concurrency.Lock()
        self._known: set[str] = set()
        self._open: dict[str, tuple[Do, Request]] = {}
        #: The last reading, for the final figures.
        self.last_job: jobs.JobStats | None = None
        self.elapsed_s = 0.0
        self.journal = journal.Journal(str(migration_id), self._save_sample)

    # -- the whole work -----------------------------------------------------
    def begin(self) -> None:
        """The work begins, or goes on after a restart."""
        self._event_start(self._request_id, WORK_EVENT)

    def end(self, migration: Migration) -> None:
        """The work has ended; every open event ends with its result."""
        status = Status(migration.status)
        reason = migration.reason or ''
        done = status is Status.COMPLETED
        # One that came too late to be handed over: it stands on the record.
        for do, request in requests.of(migration):
            self.requested(do, request)
        with self._lock:
            still_open = list(self._open.values())
        for do, request in still_open:
            self._close(do, request, _result(do, status, reason))
        # The last of the events: while it is open, not all is told.
        self._event_finish(
            self._request_id, WORK_EVENT, None if done else reason
        )
        self._tell('live_migration_end', Phase.END)

    def end_late(self, migration: Migration) -> None:
        """The same, of what another process has told a part of."""
        for do, request in requests.of(migration):
            is_open = _is_open(
                self._ctxt,
                self._host,
                self._instance_uuid,
                request.request_id,
                _KINDS[do].event,
            )
            if is_open is not None:
                self._known.add(request.request_id)
            if is_open:
                self._open[request.request_id] = (do, request)
        self.end(migration)

    # -- requests -----------------------------------------------------------
    def requested(self, do: Do, request: Request) -> None:
        """A request reached this host; told once, however often it comes."""
        kind = _KINDS[do]
        with self._lock:
            if request.request_id in self._known:
                return
            self._known.add(request.request_id)
            self._open[request.request_id] = (do, request)
        self._event_start(request.request_id, kind.event)
        self._tell(kind.notification, Phase.START, request=request)

    def timed_out(self, do: Do, decision: Decision) -> Request:
        """The timeout asks for what a person could ask for."""
        request = Request(
            decision.cause or Cause.TIMEOUT, base.new_request_id()
        )
        self.journal.change(lambda: self._write_request(do, request))
        self._tell('live_migration_timeout', Phase.START, request=request)
        self.requested(do, request)
        LOG.warning(
            'Migration %(id)s: %(reason)s; %(do)s by request %(request)s.',
            {
                'id': self._migration_id,
                'reason': decision.reason,
                'do': _KINDS[do].action,
                'request': request.request_id,
            },
        )
        return request

    def refused(
        self,
        do: Do,
        request: Request | None,
        error: exception.LivemigError,
    ) -> None:
        """The hypervisor refused; the migration is untouched."""
        LOG.warning(
            'Migration %(id)s: %(do)s refused: %(error)s',
            {
                'id': self._migration_id,
                'do': _KINDS[do].action,
                'error': error.message,
            },
        )
        if request is None or request.cause is Cause.DELETE:
            return
        if do is Do.ABORT:
            self.journal.change(lambda: self._forget_abort(request))
        self._close(do, request, error)

    def _close(
        self,
        do: Do,
        request: Request,
        error: exception.LivemigError | None,
    ) -> None:
        with self._lock:
            self._open.pop(request.request_id, None)
        kind = _KINDS[do]
        self._event_finish(
            request.request_id, kind.event, error.message if error else None
        )
        self._tell(
            kind.notification,
            Phase.ERROR if error else Phase.END,
            error,
            request,
        )

    def _write_request(self, do: Do, request: Request) -> None:
        ctxt = self._context()
        kind = _KINDS[do]
        ctxt.store.action_start(
            {
                **actions.values(
                    ctxt,
                    self._instance_uuid,
                    kind.action,
                    request.request_id,
                ),
                'user_id': None,
            }
        )
        migration = Migration.get(ctxt, self._migration_id)
        try:
            if do is Do.ABORT:
                migration.request_abort(None, request.request_id)
            else:
                migration.request_force(
                    None, request.request_id, request.method
                )
        except exception.InvalidState as exc:
            # Somebody asked first, or it has just ended: both are fine.
            LOG.debug('%s', exc.message)

    def _forget_abort(self, request: Request) -> None:
        """An abort that was refused is not under way any more; another
        one, that came before it, still is."""
        self._ctxt.store.migration_update(
            self._migration_id,
            {
                'abort_requested_at': None,
                'abort_requested_by': None,
                'abort_request_id': None,
            },
            {'abort_request_id': request.request_id},
        )

    # -- what the monitor saw and did ---------------------------------------
    def sampled(self, job: jobs.JobStats, elapsed_s: float) -> None:
        if job.state is jobs.JobState.NONE:
            # No reading of a transfer: the last one is what it came to.
            return
        if job.transferred_bytes or job.memory_total_bytes:
            self.last_job = job
        self.elapsed_s = elapsed_s
        self.journal.sample(
            {
                'memory_total': job.memory_total_bytes,
                'memory_processed': job.memory_processed_bytes,
                'memory_remaining': job.memory_remaining_bytes,
                'disk_total': job.disk_total_bytes,
                'disk_processed': job.disk_processed_bytes,
                'disk_remaining': job.disk_remaining_bytes,
                'memory_bytes_per_s': job.memory_bytes_per_s,
                'dirty_bytes_per_s': job.dirty_bytes_per_s,
                'pass_number': job.pass_number,
                'elapsed_s': elapsed_s,
            }
        )

    def timeout_is(self, timeout_s: int) -> None:
        """The options may have changed: who watches sees what holds now."""

        def write() -> None:
            self._ctxt.store.migration_update(
                self._migration_id,
                {'timeout_s': timeout_s},
                {'status': [str(Status.RUNNING), str(Status.POST_COPY)]},
            )

        self.journal.change(write)

    def switched(self) -> None:
        def write() -> None:
            migration = Migration.get(self._context(), self._migration_id)
            if migration.status == Status.RUNNING:
                migration.fire(Event.SWITCH_TO_POST_COPY)

        self.journal.change(write)

    def post_copy_broken(self, broken: bool) -> None:
        """Somebody has to act: the record says so until it is mended."""

        def write() -> None:
            ctxt = self._context()
            migration = Migration.get(ctxt, self._migration_id)
            reason = texts.post_copy_broken(migration) if broken else None
            migration.save_values(reason=reason)

        if broken:
            LOG.error('Migration %s: post-copy is broken.', self._migration_id)
        else:
            LOG.info('Migration %s: post-copy goes on.', self._migration_id)
        self.journal.change(write)

    def paused(self, decision: Decision) -> None:
        """Each pause by livemig is an action of its own: of the user who
        asked to force it, or of nobody."""
        request_id = base.new_request_id()
        with self._lock:
            forces = [r for do, r in self._open.values() if do is Do.PAUSE]
        user_id = forces[0].user_id if forces else None
        name = 'compute_live_migration_paused_vm'

        def write() -> None:
            ctxt = self._context()
            ctxt.store.action_start(
                {
                    **actions.values(
                        ctxt,
                        self._instance_uuid,
                        actions.PAUSED_VM,
                        request_id,
                    ),
                    'user_id': user_id,
                }
            )
            now = base.utcnow()
            ctxt.store.event_start(
                self._instance_uuid,
                request_id,
                {'event': name, 'host': self._host, 'start_time': now},
            )
            ctxt.store.event_finish(
                self._instance_uuid,
                request_id,
                {
                    'event': name,
                    'host': self._host,
                    'finish_time': now,
                    'result': actions.SUCCESS,
                    'details': (
                        f'Migration {self._migration_id}: guest paused, '
                        f'because {decision.reason}.'
                    ),
                },
            )

        self.journal.change(write)

    # -- helpers ------------------------------------------------------------
    @property
    def _request_id(self) -> str:
        return str(self._ctxt.request_id)

    def _context(self) -> context.RequestContext:
        """A context for the journal's thread."""
        return self._ctxt.copy()

    def _save_sample(self, values: Mapping[str, Any]) -> None:
        store = self._ctxt.store
        store.migration_update(self._migration_id, values)
        total = values['memory_total']
        if total:
            percent = 100 - round(100 * values['memory_remaining'] / total)
            store.instance_update(
                self._instance_uuid,
                {'progress': percent},
                {'task_state': 'migrating'},
            )

    def _event_start(self, request_id: str, name: str) -> None:
        values = {
            'event': name,
            'host': self._host,
            'start_time': base.utcnow(),
        }
        self.journal.change(
            lambda: self._ctxt.store.event_start(
                self._instance_uuid, request_id, values
            )
        )

    def _event_finish(
        self, request_id: str, name: str, error: str | None
    ) -> None:
        values = {
            'event': name,
            'host': self._host,
            'finish_time': base.utcnow(),
            'result': actions.ERROR if error is not None else actions.SUCCESS,
            'details': error,
        }
        self.journal.change(
            lambda: self._ctxt.store.event_finish(
                self._instance_uuid, request_id, values
            )
        )

    def _tell(
        self,
        operation: str,
        phase: Phase,
        error: exception.LivemigError | None = None,
        request: Request | None = None,
    ) -> None:
        """Notify; the payload is the record as it is when it is sent.

        :param request: what it is about, if not the migration itself.
        """

        def write() -> None:
            ctxt = self._context()
            if request is not None:
                ctxt.request_id = request.request_id
                ctxt.user_id = request.user_id
            row = ctxt.store.instance_get(self._instance_uuid, deleted=True)
            if row is None:
                return
            self._notifier.notify(
                ctxt,
                operation,
                phase,
                Instance.from_row(ctxt, row),
                Migration.get(ctxt, self._migration_id),
                error,
            )

        self.journal.change(write)

    def tell(
        self,
        operation: str,
        phase: Phase,
        error: exception.LivemigError | None = None,
    ) -> None:
        """A step of the work begins, has ended or failed."""
        self._tell(operation, phase, error)


def end_late(
    ctxt: context.RequestContext,
    host: str,
    notifier: Notifier,
    migration: Migration,
) -> None:
    """Tell the end of an ended migration, if its manager was killed before
    it could.

    :raises ReplyTimeout: nobody takes it down now.
    """
    uuid = migration.instance_uuid
    if not _is_open(ctxt, host, uuid, str(ctxt.request_id), WORK_EVENT):
        return
    LOG.info('The end of migration %s is told late.', migration.id)
    story = Story(ctxt, host, migration.id, uuid, notifier)
    try:
        story.end_late(migration)
        if not story.journal.drained(journal.RETRY_S):
            raise exception.ReplyTimeout(
                host='the conductor',
                method='journal',
                limit_s=journal.RETRY_S,
            )
    finally:
        story.journal.close()


def _is_open(
    ctxt: context.RequestContext,
    host: str,
    instance_uuid: str,
    request_id: str,
    name: str,
) -> bool | None:
    """Whether that event of the host is open; None: never begun."""
    row = ctxt.store.action_get(instance_uuid, request_id)
    its = [
        event['finish_time'] is None
        for event in (row or {}).get('events', ())
        if (event['event'], event['host']) == (name, host)
    ]
    return any(its) if its else None


def _result(
    do: Do, status: Status, reason: str
) -> exception.LivemigError | None:
    """How a request ended, given how the migration did: None = well."""
    if do is Do.ABORT:
        if status is Status.CANCELLED:
            return None
        return exception.LivemigError(
            f'Too late to abort: the migration is {status}. {reason}'
        )
    if status is Status.COMPLETED:
        return None
    return exception.LivemigError(f'The migration is {status}. {reason}')
