"""What to do next with a running migration. Pure: values in, decision out.

``decide`` reads no clock, option, database, log or hypervisor. What was
done already comes in as ``seen``; the monitor that obeys keeps it.

There is no progress timeout and no automatic switch to post-copy: the
specification live-migration-force-after-timeout removed them, because
samples of a saw tooth say nothing about progress.
"""

from __future__ import annotations

import dataclasses
import enum

from livemig.virt import job as jobs

ABORT = 'abort'
FORCE_COMPLETE = 'force_complete'

#: Highest limit QEMU takes, ms; libvirt refuses more (PVE bug 7044).
HIGHEST_DOWNTIME_MS = 2_000_000

#: How often both hypervisors are asked while post-copy is broken, s: the
#: source's job stands for ever, even when the guest has ended at the
#: destination (libvirt 9.0).
BROKEN_LOOK_S = 5.0


class Do(enum.StrEnum):
    """The closed set of things the monitor can be told to do."""

    WAIT = 'wait'
    #: Nothing is under way any more, or this side alone cannot tell: ask
    #: both hypervisors.
    LOOK = 'look'
    ABORT = 'abort'
    LIFT_LIMITS = 'lift_limits'
    PAUSE = 'pause'
    START_POST_COPY = 'start_post_copy'
    LIFT_POST_COPY_LIMIT = 'lift_post_copy_limit'
    SET_MAX_DOWNTIME = 'set_max_downtime'


class Cause(enum.StrEnum):
    """Who wants it."""

    OPERATOR = 'operator'
    TIMEOUT = 'timeout'
    #: A forced pause that did not arrive in time.
    PAUSE_LIMIT = 'pause limit'
    #: The instance is being deleted.
    DELETE = 'delete'


@dataclasses.dataclass(frozen=True)
class Policy:
    """How one migration is treated; made once, replaced on reload.

    Units are resolved: nothing here is per GiB any more.
    """

    #: From the start of the transfer; 0 = none.
    timeout_s: int = 0
    #: ``abort`` or ``force_complete``.
    timeout_action: str = ABORT
    #: (after this many seconds, maximum downtime in ms), rising.
    downtime_steps: tuple[tuple[float, int], ...] = ()
    #: MiB/s, 0 = no limit.
    bandwidth_mib_s: int = 0
    #: Configured, and both ends and this guest can.
    post_copy: bool = False
    auto_converge: bool = False
    #: A forced pause must have arrived within this; 0 = no limit.
    forced_pause_limit_s: float = 60
    #: Refusals of the switch to post-copy before pausing instead.
    post_copy_tries: int = 10


@dataclasses.dataclass(frozen=True)
class Request:
    """What a person or the timeout asked of a migration."""

    cause: Cause
    request_id: str
    user_id: str | None = None
    #: force only: ``auto`` or ``pause``.
    method: str = 'auto'


@dataclasses.dataclass(frozen=True)
class Seen:
    """The only memory between two ticks. A step is noted here when the
    hypervisor accepted it, not before."""

    abort: Request | None = None
    #: The hypervisor took the abort; it is not asked again.
    aborted: bool = False
    #: The driver cannot abort, or it is too late for ever.
    abort_refused: bool = False
    force: Request | None = None
    limits_lifted: bool = False
    paused_at_s: float | None = None
    #: The hypervisor took the switch to post-copy.
    post_copy_started: bool = False
    #: The job has been seen in post-copy: no way back.
    post_copy_seen: bool = False
    #: The job shows as broken just now; it may be mended from outside.
    post_copy_broken: bool = False
    #: For how long, since both hypervisors were asked.
    post_copy_broken_s: float = 0
    post_copy_refusals: int = 0
    #: Nothing more to try: the driver cannot pause either.
    force_refused: bool = False
    post_copy_limit_lifted: bool = False
    max_downtime_ms: int | None = None
    #: The guest's user had paused it before the migration.
    user_paused: bool = False

    @property
    def forced(self) -> bool:
        return self.paused_at_s is not None or self.post_copy_started


@dataclasses.dataclass(frozen=True)
class Decision:
    """The next step, why, and for steps with a value: the value."""

    do: Do
    reason: str
    cause: Cause | None = None
    value: int = 0


WAIT = Decision(Do.WAIT, 'the copy is under way')


def decide(
    job: jobs.JobStats, elapsed_s: float, seen: Seen, policy: Policy
) -> Decision:
    """The next step of a migration. First rule that applies wins.

    :param elapsed_s: since the start of the transfer.
    """
    if job.state is jobs.JobState.NONE:
        return Decision(Do.LOOK, 'no job is under way any more')
    if job.state in (jobs.JobState.POST_COPY, jobs.JobState.POST_COPY_FAILED):
        return _in_post_copy(job, seen)
    if seen.aborted:
        return Decision(Do.WAIT, 'waiting for the abort to take effect')
    return (
        _abort(elapsed_s, seen, policy)
        or _force(job, elapsed_s, seen, policy)
        or _downtime_step(elapsed_s, seen, policy)
        or WAIT
    )


def _in_post_copy(job: jobs.JobStats, seen: Seen) -> Decision:
    """Post-copy is never aborted, paused or limited (QEMU bug 1052)."""
    if not seen.post_copy_limit_lifted:
        return Decision(
            Do.LIFT_POST_COPY_LIMIT,
            'a limited post-copy makes the guest wait for its memory',
        )
    if job.state is jobs.JobState.POST_COPY_FAILED:
        if seen.post_copy_broken_s >= BROKEN_LOOK_S:
            return Decision(Do.LOOK, 'post-copy is broken: is it still there?')
        return Decision(Do.WAIT, 'post-copy is broken: nothing is touched')
    return Decision(Do.WAIT, 'post-copy is under way')


def _abort(elapsed_s: float, seen: Seen, policy: Policy) -> Decision | None:
    if seen.abort_refused:
        return None
    if seen.abort is not None:
        return Decision(Do.ABORT, 'abort was asked for', seen.abort.cause)
    limit_s = policy.forced_pause_limit_s
    if (
        limit_s
        and seen.paused_at_s is not None
        and elapsed_s - seen.paused_at_s > limit_s
    ):
        return Decision(
            Do.ABORT,
            f'the forced pause had not arrived after {limit_s:g} s',
            Cause.PAUSE_LIMIT,
        )
    if policy.timeout_action == ABORT and timed_out(elapsed_s, policy):
        return Decision(
            Do.ABORT,
            f'not completed within {policy.timeout_s} s',
            Cause.TIMEOUT,
        )
    return None


def _force(
    job: jobs.JobStats, elapsed_s: float, seen: Seen, policy: Policy
) -> Decision | None:
    if seen.forced or seen.force_refused:
        return None
    request = seen.force
    if request is not None:
        cause, method = request.cause, request.method
        why = 'force complete was asked for'
    elif policy.timeout_action == FORCE_COMPLETE and timed_out(
        elapsed_s, policy
    ):
        cause, method = Cause.TIMEOUT, 'auto'
        why = f'not completed within {policy.timeout_s} s'
    else:
        return None
    if job.pass_number < 1 or seen.user_paused:
        # Pausing before memory flows: with a destination that cannot be
        # reached libvirt holds the guest stopped for minutes.
        if not seen.limits_lifted:
            return Decision(Do.LIFT_LIMITS, why, cause)
        what = 'the guest is paused' if seen.user_paused else 'no pass yet'
        return Decision(Do.WAIT, f'{why}; {what}', cause)
    if (
        method == 'auto'
        and policy.post_copy
        and seen.post_copy_refusals < policy.post_copy_tries
    ):
        return Decision(Do.START_POST_COPY, why, cause)
    return Decision(Do.PAUSE, why, cause)


def _downtime_step(
    elapsed_s: float, seen: Seen, policy: Policy
) -> Decision | None:
    if seen.limits_lifted:
        return None
    due = [ms for after_s, ms in policy.downtime_steps if after_s < elapsed_s]
    if due and (
        seen.max_downtime_ms is None or due[-1] > seen.max_downtime_ms
    ):
        return Decision(
            Do.SET_MAX_DOWNTIME,
            f'downtime step after {elapsed_s:.0f} s',
            value=due[-1],
        )
    return None


def timed_out(elapsed_s: float, policy: Policy) -> bool:
    """The completion timeout has passed; a timeout of 0 never does."""
    return policy.timeout_s > 0 and elapsed_s > policy.timeout_s


def downtime_steps(
    downtime_ms: int, steps: int, delay_s: int, data_gib: float
) -> tuple[tuple[float, int], ...]:
    """When to allow how much downtime: ``steps + 1`` rising limits.

    The first holds from the start, the last is ``downtime_ms``.

    :param delay_s: between two steps, per GiB of data.
    """
    base_ms = downtime_ms / steps
    rise_ms = (downtime_ms - base_ms) / steps
    wait_s = int(delay_s * data_gib)
    return tuple(
        (float(wait_s * i), int(base_ms + rise_ms * i))
        for i in range(steps + 1)
    )


def data_gib(memory_mib: int, disk_sizes_bytes: tuple[int, ...]) -> float:
    """What is to be copied, GiB: each part counts as 2 at the least."""
    return max(2.0, memory_mib / 1024) + sum(
        max(2.0, size / 1024**3) for size in disk_sizes_bytes
    )
