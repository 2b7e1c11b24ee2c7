"""One migration on its source host, from queued to its final status.

A step a status: a runner built after a restart goes on where the record
says it stopped. All ways back lead through ``_roll_back``, and only that.
"""

from __future__ import annotations

from typing import Any

from oslo_log import log

from livemig import context, exception
from livemig.compute import (
    convergence,
    earlier,
    ending,
    figures,
    monitor,
    outcome,
    policy,
    power_states,
    release,
    requests,
    story,
    texts,
)
from livemig.compute.convergence import Cause, Do, Request, Seen
from livemig.compute.destination import SILENT_S, Destination
from livemig.compute.ending import Ending, Way
from livemig.compute.journal import AWAY, RETRY_S
from livemig.compute.monitor import Stopped
from livemig.compute.outcome import Outcome
from livemig.compute.patience import HYPERVISOR_AWAY, Patience
from livemig.compute.record import Record
from livemig.compute.tools import Tools
from livemig.notifications import Phase
from livemig.objects import base
from livemig.objects.instance_states import (
    TaskState,
    VmState,
    shut_down_values,
)
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event, Status
from livemig.virt import driver as virt
from livemig.virt import job as jobs

LOG = log.getLogger(__name__)


class Runner:
    """The only one who moves this migration on, once it is queued."""

    def __init__(
        self, tools: Tools, ctxt: context.RequestContext, migration: Migration
    ) -> None:
        self.migration_id = migration.id
        self.instance_uuid = migration.instance_uuid
        self.mailbox = monitor.Mailbox()
        self._tools = tools
        self._driver = tools.driver
        self._patience = Patience(
            tools.clock, tools.stop, f'Migration {migration.id}'
        )
        self._ctxt = ctxt
        self._seen = Seen()
        self._policy = convergence.Policy()
        #: Known as soon as the policy has been built.
        self._memory_mib: int | None = None
        self._start_error = ''
        #: Lost, with its newest disks at the destination.
        self._went = False
        self._story = story.Story(
            ctxt,
            tools.host,
            migration.id,
            migration.instance_uuid,
            tools.notifier,
        )
        self._record = Record(
            ctxt, migration, self._story.journal, self._patience
        )
        self._destination = Destination(
            ctxt, migration, tools.compute_api, self._patience
        )

    # -- what others may ask ------------------------------------------------
    @property
    def waits(self) -> bool:
        """Only for an answer of the destination: it takes nobody's turn."""
        return self._destination.silent

    def request(self, do: Do, request: Request) -> None:
        """Hand over a request; the same one again changes nothing."""
        if self.mailbox.put(do, request) and request.cause is not Cause.DELETE:
            self._story.requested(do, request)

    def close(self) -> None:
        """Never to be run (any more)."""
        self._story.journal.close()

    def reload(self) -> None:
        """The options changed: what is mutable holds from now on.

        Never waits: the process' main thread asks for it.
        """
        if self._memory_mib is not None:
            self._policy = self._build_policy(self._memory_mib)
            self._story.timeout_is(self._policy.timeout_s)

    def run(self) -> None:
        """Go on until the migration has ended, or the process stops."""
        # The log lines of this thread carry the request's id.
        self._ctxt.update_store()
        try:
            self._story.begin()
            self._requests_of_record()
            while self._record.status in self._STEPS:
                self._STEPS[self._record.status](self)
            self._story.end(self._migration)
            self._record.written()
        except Stopped:
            LOG.info(
                'Migration %(id)s goes on in the hypervisor while this '
                'manager stops; status %(status)s.',
                {'id': self.migration_id, 'status': self._migration.status},
            )
        finally:
            # The last words, if somebody takes them down.
            self._story.journal.drained(RETRY_S)
            self.close()

    # -- steps, one a status ------------------------------------------------
    def _queued(self) -> None:
        if self._wants_abort():
            self._record.end(Event.ABORT, 'Aborted before it began.')
        else:
            self._record.fire(Event.PREPARE)

    def _prepare(self) -> None:
        """Prepare the destination and begin the transfer.

        After a restart it is all done again: preparing is idempotent, and
        the transfer begins only in status running.
        """
        error = '' if self._wants_abort() else self._prepared()
        if self._wants_abort():
            self._not_begun(Event.ABORT, 'Aborted while preparing.')
        elif error:
            self._not_begun(Event.FAIL, error)
        else:
            self._start()

    def _prepared(self) -> str:
        """What keeps the transfer from beginning; '' for nothing."""
        try:
            self._destination.prepare()
        except exception.LivemigError as exc:
            return exc.message
        return self._patience.hypervisor(
            lambda: self._driver.reachable(self._plan.destination)
        )

    def _not_begun(self, event: Event, reason: str) -> None:
        """Roll back, if the guest is here as the record says: an older one,
        of a database that was restored, may not know that it has moved."""
        here = self._guest_here()
        if here is None or outcome.has_left(here):
            self._start_error = reason
            self._running()
        else:
            self._roll_back(event, reason)

    def _running(self) -> None:
        self._read_policy()
        self._record.fire(
            Event.START,
            {
                'started_at': base.utcnow(),
                'timeout_s': self._policy.timeout_s,
            },
        )

    def _start(self) -> None:
        self._running()
        try:
            self._driver.start(self._plan, policy.options_of(self._policy))
        except exception.HypervisorError as exc:
            # The steps go on with running: both hypervisors are asked.
            LOG.warning(
                'Migration %(id)s: %(exc)s',
                {'id': self.migration_id, 'exc': exc.message},
            )
            self._start_error = exc.message

    def _transfer(self) -> None:
        """Watch the transfer, then find out how it ended."""
        if self._memory_mib is None:
            self._read_policy()
            self._story.timeout_is(self._policy.timeout_s)
        watcher = monitor.Monitor(
            driver=self._driver,
            guest_id=self.instance_uuid,
            policy=lambda: self._policy,
            mailbox=self.mailbox,
            listener=self._story,
            clock=self._tools.clock,
            stop=self._tools.stop,
            tick_s=self._tools.conf.libvirt.live_migration_monitor_interval,
            destination_alive=lambda: self._driver.alive(
                self._plan.destination
            ),
            seen=self._already_seen(),
        )
        self._seen = watcher.run()
        self._record.written()
        self._record.reread()
        self._settle()

    def _already_seen(self) -> Seen:
        if self._record.status is Status.POST_COPY:
            return earlier.switched(self._seen)
        return earlier.paused(
            self._seen,
            self._guest_here(),
            by_user=self._plan.paused,
            forced=self._migration.force_requested_at is not None,
            elapsed_s=lambda: (
                self._patience.hypervisor(
                    lambda: self._driver.job(self.instance_uuid)
                ).elapsed_ms
                / 1000
            ),
        )

    def _finish(self) -> None:
        """The guest has moved: make that lasting on both sides."""
        self._story.tell('live_migration_post', Phase.START)
        try:
            answer = self._destination.finish()
            self._patience.hypervisor(
                lambda: self._driver.finish_source(self._plan)
            )
        except exception.LivemigError as exc:
            self._story.tell('live_migration_post', Phase.ERROR, exc)
            self._record.end(
                Event.FAIL,
                f'The guest runs on {self._destination.host}, but the work '
                f'after its move failed: {exc.message}',
            )
            return
        self._record.fire(
            Event.FINISH,
            figures.final(answer['job'], self._migration),
            {
                'task_state': None,
                'progress': 0,
                'power_state': answer['power_state'],
            },
            {'task_state': str(TaskState.MIGRATING)},
        )
        self._story.tell('live_migration_post', Phase.END)

    _STEPS = {
        Status.QUEUED: _queued,
        Status.PREPARING: _prepare,
        Status.RUNNING: _transfer,
        Status.POST_COPY: _transfer,
        Status.POST_MIGRATING: _finish,
    }

    # -- how it ended -------------------------------------------------------
    def _settle(self) -> None:
        """Nothing is under way: ask both hypervisors until they tell."""
        before, times = None, 0
        while True:
            found = self._look()
            times = times + 1 if found is before else 1
            before = found
            end = ending.ending(
                found, times, self._record.status, aborted=self._is_aborted()
            )
            if end is not None:
                self._end(end, found)
                return
            if found not in ending.ENDS and self._goes_on(found):
                return
            self._patience.wait(
                self._tools.conf.libvirt.live_migration_monitor_interval
            )

    def _is_aborted(self) -> bool:
        asked = (
            self._seen.abort is not None
            or self._migration.abort_requested_at is not None
        )
        return asked and not self._seen.abort_refused

    def _end(self, end: Ending, found: Outcome) -> None:
        if end.way is Way.FORTH:
            self._moved()
        elif end.event is None:
            self._lose(found)
        elif found is Outcome.SHUT_OFF_AT_SOURCE:
            self._roll_back(
                end.event,
                texts.SHUT_DOWN,
                shut_down_values(self._record.instance().vm_state),
            )
        else:
            self._roll_back(end.event, self._why(end.event))

    def _look(self) -> Outcome:
        here = self._guest_here()
        try:
            there = self._destination.guest_state(SILENT_S)
        except HYPERVISOR_AWAY:
            # Never guessed: it may be running there.
            self._record.note_reason(
                texts.waits(self._migration, self._seen.post_copy_broken)
            )
            there = self._destination.guest_state()
            self._record.note_reason(None)
        found = outcome.outcome(here, there)
        self._went = outcome.went(found, here, there)
        LOG.info(
            'Migration %(id)s: source %(source)s says %(here)s, destination '
            '%(destination)s says %(there)s: %(found)s.',
            {
                'id': self.migration_id,
                'source': self._tools.host,
                'here': here,
                'destination': self._destination.host,
                'there': there,
                'found': found,
            },
        )
        return found

    def _goes_on(self, found: Outcome) -> bool:
        """It is not over. True if there is a job to watch again."""
        if found is Outcome.POST_COPY_BROKEN:
            self._record.note_reason(texts.post_copy_broken(self._migration))
        elif found is Outcome.POST_COPY and not self._seen.post_copy_seen:
            self._seen = earlier.switched(self._seen)
            self._story.switched()
            self._record.written()
            self._record.reread()
        job = self._patience.hypervisor(
            lambda: self._driver.job(self.instance_uuid)
        )
        return job.state is not jobs.JobState.NONE

    def _moved(self) -> None:
        """From now on the record says that it runs at the destination."""
        job = self._patience.hypervisor(
            lambda: self._driver.completed_job(self.instance_uuid)
        )
        self._record.fire(
            Event.MEMORY_COPIED,
            figures.moved(job, self._story.last_job, self._seen),
            self._place_there(),
        )

    def _place_there(self) -> dict[str, Any]:
        return {
            'host': self._destination.host,
            'node': self._migration.dest_node,
        }

    def _why(self, event: Event) -> str:
        """Why the guest stays at the source."""
        if event is Event.ABORT:
            return texts.aborted(
                self._seen.abort.cause if self._seen.abort else Cause.OPERATOR,
                self._migration,
                self._policy,
                self._story.last_job,
                self._story.elapsed_s,
            )
        error = (
            self._start_error
            or self._driver.transfer_error(self.instance_uuid)
            or 'the transfer ended without an error of the hypervisor'
        )
        return texts.failed(error, self._migration)

    def _lose(self, found: Outcome) -> None:
        """It cannot be told where the guest runs, or it is gone."""
        text = texts.lost(found, self._migration)
        LOG.critical(
            'Migration %(id)s of instance %(uuid)s: %(text)s',
            {
                'id': self.migration_id,
                'uuid': self.instance_uuid,
                'text': text,
            },
        )
        self._record.fire(
            Event.LOSE,
            {'reason': text},
            {
                'task_state': None,
                'vm_state': str(VmState.ERROR),
                # Whoever starts it again starts it where it was last.
                **(self._place_there() if self._went else {}),
            },
            {'task_state': str(TaskState.MIGRATING)},
        )

    # -- the one way back ---------------------------------------------------
    def _roll_back(
        self,
        event: Event,
        reason: str,
        instance_values: dict[str, Any] | None = None,
    ) -> None:
        """The guest runs at the source, nothing is left at the
        destination, the task state is clear; the status comes last.

        Each step may be repeated: a restart half way begins it again.
        """
        self._story.tell('live_migration_rollback', Phase.START)
        state = (
            self._guest_here()
            if self._record.status is Status.PREPARING
            else self._patience.hypervisor(self._release_guest)
        )
        try:
            self._destination.undo()
        except (*AWAY, exception.HostForcedDown):
            reason += (
                f' The manager of {self._destination.host} does not answer: '
                'what was prepared there is removed when it is back.'
            )
        except exception.LivemigError as exc:
            # Whatever is wrong there, the guest is here and goes on.
            reason += f' {self._destination.host}: {exc.message}'
        values = {'power_state': int(power_states.of(state))} | (
            instance_values or {}
        )
        self._record.end(event, reason, values)
        self._story.tell('live_migration_rollback', Phase.END)

    def _release_guest(self) -> jobs.GuestState | None:
        return release.release(
            self._driver,
            self.instance_uuid,
            self._patience,
            self._seen,
            policy.options_of(self._policy),
            lifted=self._seen.limits_lifted
            or self._migration.force_requested_at is not None,
        )

    # -- what is known ------------------------------------------------------
    @property
    def _migration(self) -> Migration:
        return self._record.migration

    @property
    def _plan(self) -> virt.TransferPlan:
        return virt.TransferPlan.from_dict(self._migration.plan or {})

    def _read_policy(self) -> None:
        memory_mib = self._record.instance().memory_mb
        self._policy = self._patience.hypervisor(
            lambda: self._build_policy(memory_mib)
        )
        self._memory_mib = memory_mib

    def _build_policy(self, memory_mib: int) -> convergence.Policy:
        return policy.build(
            self._tools.conf,
            self._plan,
            memory_mib,
            self._driver.capabilities(),
        )

    def _guest_here(self) -> jobs.GuestState | None:
        return self._patience.hypervisor(
            lambda: self._driver.guest_state(self.instance_uuid)
        )

    def _requests_of_record(self) -> None:
        """What was asked before this runner was there."""
        for do, request in requests.of(self._migration):
            self.request(do, request)
        if self._record.instance_is_deleted():
            self.request(Do.ABORT, requests.deletion_of(self.instance_uuid))

    def _wants_abort(self) -> bool:
        self._record.reread()
        self._requests_of_record()
        return (
            self._migration.abort_requested_at is not None
            or self._record.instance_is_deleted()
        )
