"""Observe, decide, obey: the loop beside one running transfer.

It touches the hypervisor only. What it has to tell goes to listeners that
must not block (the runner hands it a journal), so that neither the broker
nor the database can stop a tick.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Callable
from typing import Protocol

from oslo_log import log

from livemig import concurrency, exception
from livemig.compute import convergence
from livemig.compute.convergence import Cause, Decision, Do, Request, Seen
from livemig.virt import driver as virt
from livemig.virt import job as jobs

LOG = log.getLogger(__name__)


class Stopped(Exception):
    """The process stops; the transfer goes on without a monitor."""


class Mailbox:
    """What was asked of a migration, on its way to the monitor.

    Written by message handlers, read by the monitor; the same request
    twice (a repeated message) is one.
    """

    def __init__(self) -> None:
        self._lock = concurrency.Lock()
        self._requests: collections.deque[tuple[Do, Request]] = (
            collections.deque()
        )
        self._known: set[str] = set()

    def put(self, do: Do, request: Request) -> bool:
        """:return: False if this request is known already."""
        with self._lock:
            if request.request_id in self._known:
                return False
            self._known.add(request.request_id)
            self._requests.append((do, request))
            return True

    def take(self) -> list[tuple[Do, Request]]:
        with self._lock:
            taken = list(self._requests)
            self._requests.clear()
            return taken


class Listener(Protocol):
    """Who is told what the monitor saw and did. Must not block."""

    def sampled(self, job: jobs.JobStats, elapsed_s: float) -> None: ...

    def switched(self) -> None:
        """The guest runs at the destination now, in post-copy."""

    def post_copy_broken(self, broken: bool) -> None:
        """Post-copy has failed and waits for somebody, or goes on again."""

    def paused(self, decision: Decision) -> None: ...

    def timed_out(self, do: Do, decision: Decision) -> Request:
        """The timeout (or the pause limit) asks for something."""

    def refused(
        self,
        do: Do,
        request: Request | None,
        error: exception.LivemigError,
    ) -> None:
        """The hypervisor refused what was asked."""


@dataclasses.dataclass
class Monitor:
    """Watches one transfer until both hypervisors have to be asked."""

    driver: virt.Driver
    guest_id: str
    policy: Callable[[], convergence.Policy]
    mailbox: Mailbox
    listener: Listener
    clock: concurrency.Clock
    stop: concurrency.Event
    tick_s: float = 0.5
    sample_s: float = 2.0
    #: See ``Driver.alive``.
    destination_alive: Callable[[], str] = str
    seen: Seen = dataclasses.field(default_factory=Seen)

    def run(self) -> Seen:
        """Watch; returns when there is no job any more, or one that tells
        nothing more.

        :raises Stopped:
        """
        began_s: float | None = None
        sampled_s: float | None = None
        broken_s: float | None = None
        while True:
            job = self._observe()
            now_s = self.clock.monotonic_s()
            if began_s is None and job is not None:
                # After a restart the hypervisor knows how long it has run.
                began_s = now_s - job.elapsed_ms / 1000
            if job is not None and began_s is not None:
                elapsed_s = now_s - began_s
                if sampled_s is None or now_s - sampled_s >= self.sample_s:
                    sampled_s = now_s
                    self.listener.sampled(job, elapsed_s)
                self._read_mail()
                self._note(job)
                if not self.seen.post_copy_broken:
                    broken_s = None
                elif broken_s is None:
                    broken_s = now_s
                self._see(
                    post_copy_broken_s=0
                    if broken_s is None
                    else now_s - broken_s
                )
                decision = convergence.decide(
                    job, elapsed_s, self.seen, self.policy()
                )
                if decision.do is Do.LOOK:
                    return self.seen
                self._obey(decision, job, elapsed_s)
            if self.clock.wait(self.stop, self.tick_s):
                raise Stopped

    def _observe(self) -> jobs.JobStats | None:
        try:
            return self.driver.job(self.guest_id)
        except exception.HypervisorError as exc:
            # Away, or the guest is just going: the next look tells.
            LOG.warning(
                'Guest %(guest)s: %(exc)s Its migration is left alone; '
                'looking again.',
                {'guest': self.guest_id, 'exc': exc.message},
            )
            return None

    def _read_mail(self) -> None:
        for do, request in self.mailbox.take():
            if do is Do.ABORT and self.seen.abort is None:
                self._see(abort=request, abort_refused=False)
            elif do is Do.PAUSE and self.seen.force is None:
                self._see(force=request)

    def _note(self, job: jobs.JobStats) -> None:
        """The switch counts when the job is seen in post-copy, whoever
        made it: a switch that was only asked for may still fail."""
        if (
            job.state
            in (jobs.JobState.POST_COPY, jobs.JobState.POST_COPY_FAILED)
            and not self.seen.post_copy_seen
        ):
            self._see(post_copy_started=True, post_copy_seen=True)
            self.listener.switched()
        broken = job.state is jobs.JobState.POST_COPY_FAILED
        if broken is not self.seen.post_copy_broken:
            self._see(post_copy_broken=broken)
            self.listener.post_copy_broken(broken)

    def _see(self, **changes: object) -> None:
        self.seen = dataclasses.replace(self.seen, **changes)  # type: ignore[arg-type]

    # -- obeying ------------------------------------------------------------
    def _obey(
        self, decision: Decision, job: jobs.JobStats, elapsed_s: float
    ) -> None:
        obey = {
            Do.WAIT: None,
            Do.ABORT: self._abort,
            Do.LIFT_LIMITS: self._lift_limits,
            Do.PAUSE: self._pause,
            Do.START_POST_COPY: self._start_post_copy,
            Do.LIFT_POST_COPY_LIMIT: self._lift_post_copy_limit,
            Do.SET_MAX_DOWNTIME: self._set_max_downtime,
        }[decision.do]
        if obey is None:
            return
        LOG.info(
            'Guest %(guest)s: %(do)s, because %(reason)s (%(elapsed).1f s, '
            'pass %(pass)d, %(left)d bytes left).',
            {
                'guest': self.guest_id,
                'do': decision.do,
                'reason': decision.reason,
                'elapsed': elapsed_s,
                'pass': job.pass_number,
                'left': job.memory_remaining_bytes + job.disk_remaining_bytes,
            },
        )
        try:
            obey(decision, job, elapsed_s)
        except exception.HypervisorError as exc:
            # Away, or the guest ended in this moment: the next tick tells.
            LOG.warning('%s Trying again.', exc.message)

    def _abort(
        self, decision: Decision, job: jobs.JobStats, elapsed_s: float
    ) -> None:
        request = self.seen.abort
        if request is None:
            request = self.listener.timed_out(Do.ABORT, decision)
            self._see(abort=request)
        try:
            self.driver.abort(self.guest_id)
        except exception.NoActiveJob as exc:
            if job.state is jobs.JobState.STARTING:
                # Our call runs but libvirt has no job yet: code 55 now,
                # accepted some 50 ms later (libvirt 9.0).
                return
            if request.cause not in (Cause.OPERATOR, Cause.DELETE):
                # It ends just now, or hangs: the timeout would only ask
                # again, with a new request at each look.
                return
            self._refuse_abort(request, exc, final=False)
        except (
            exception.AbortMigrationNotSupported,
            exception.AbortRefused,
        ) as exc:
            self._refuse_abort(request, exc, final=True)
        except exception.HypervisorError as exc:
            LOG.warning('%s The abort is tried again.', exc.message)
        else:
            self._see(aborted=True)

    def _refuse_abort(
        self,
        request: Request,
        error: exception.LivemigError,
        *,
        final: bool,
    ) -> None:
        """The migration is untouched and goes on. The timeout does not
        ask again at each tick; a person may."""
        asked = request.cause is Cause.OPERATOR
        self._see(abort=None, abort_refused=final or not asked)
        self.listener.refused(Do.ABORT, request, error)

    def _own_request(self, decision: Decision) -> None:
        """The timeout's wish becomes a request like an operator's."""
        if self.seen.force is None:
            self._see(force=self.listener.timed_out(Do.PAUSE, decision))

    def _lift(self, *, downtime: bool) -> None:
        """A guest that is paused with the bandwidth limit kept stands
        still for the rest of the pass: 9.9 s against 0.1-0.3 s lifted,
        with the maximum downtime raised too (libvirt 9.0, QEMU 7.2).

        :raises NoActiveJob:
        """
        self.driver.set_bandwidth(self.guest_id, 0)
        if downtime:
            self.driver.set_max_downtime(
                self.guest_id, convergence.HIGHEST_DOWNTIME_MS
            )
        self._see(limits_lifted=True)

    def _lift_limits(
        self, decision: Decision, job: jobs.JobStats, elapsed_s: float
    ) -> None:
        self._own_request(decision)
        with contextlib.suppress(exception.NoActiveJob):
            self._lift(downtime=self.seen.user_paused)

    def _pause(
        self, decision: Decision, job: jobs.JobStats, elapsed_s: float
    ) -> None:
        self._own_request(decision)
        try:
            self._lift(downtime=True)
            self.driver.pause(self.guest_id, forced=True)
        except (exception.NoActiveJob, exception.GuestNotFound):
            # It arrived in this moment: the next look will say so.
            return
        except exception.NotSupportedByDriver as exc:
            self._refuse_force(exc)
            return
        self._see(paused_at_s=elapsed_s)
        self.listener.paused(decision)

    def _start_post_copy(
        self, decision: Decision, job: jobs.JobStats, elapsed_s: float
    ) -> None:
        self._own_request(decision)
        if silent := self.destination_alive():
            self._not_switched(f'{silent} No switch to post-copy now.')
            return
        try:
            self.driver.start_post_copy(self.guest_id)
        except exception.PostCopyRefused as exc:
            self._not_switched(exc.message)
        except exception.PostCopyNotSupported as exc:
            LOG.info('%s The guest is paused instead.', exc.message)
            self._see(post_copy_refusals=self.policy().post_copy_tries)
        except exception.NoActiveJob:
            return
        else:
            self._see(post_copy_started=True)
            # Post-copy is often over before the next tick.
            self._note(self.driver.job(self.guest_id))

    def _not_switched(self, why: str) -> None:
        self._see(post_copy_refusals=self.seen.post_copy_refusals + 1)
        LOG.info('%s', why)

    def _refuse_force(self, error: exception.LivemigError) -> None:
        request = self.seen.force
        self._see(force_refused=True)
        self.listener.refused(Do.PAUSE, request, error)

    def _lift_post_copy_limit(
        self, decision: Decision, job: jobs.JobStats, elapsed_s: float
    ) -> None:
        try:
            self.driver.set_bandwidth(self.guest_id, 0, post_copy=True)
        except exception.NoActiveJob:
            return
        except exception.HypervisorError as exc:
            LOG.warning('%s', exc.message)
        self._see(post_copy_limit_lifted=True)

    def _set_max_downtime(
        self, decision: Decision, job: jobs.JobStats, elapsed_s: float
    ) -> None:
        try:
            self.driver.set_max_downtime(self.guest_id, decision.value)
        except exception.NoActiveJob:
            return
        self._see(max_downtime_ms=decision.value)
