"""What a migration does next: tables of values, and what must always hold.

Expected values come from the specifications (abort, force complete, force
after timeout), Nova's monitor (data size, downtime steps, strict timeout)
and what libvirt 9.0 / QEMU 7.2 were measured to do.
"""

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from livemig.compute import convergence
from livemig.compute.convergence import (
    Cause,
    Do,
    Policy,
    Request,
    Seen,
    decide,
)
from livemig.virt.job import JobState, JobStats

STARTING = JobStats(JobState.STARTING)
FIRST_DISK = JobStats(JobState.ACTIVE, disk_total_bytes=1, pass_number=0)
ACTIVE = JobStats(JobState.ACTIVE, pass_number=1)
POST_COPY = JobStats(JobState.POST_COPY, pass_number=3)
BROKEN = JobStats(JobState.POST_COPY_FAILED, pass_number=3)
NONE = JobStats(JobState.NONE)

ASKED_ABORT = Request(Cause.OPERATOR, 'req-abort', 'alice')
ASKED_FORCE = Request(Cause.OPERATOR, 'req-force', 'alice')
ASKED_PAUSE = Request(Cause.OPERATOR, 'req-pause', 'alice', 'pause')
DELETED = Request(Cause.DELETE, 'delete-1')

#: No rule of its own: each case adds what it is about.
PLAIN = Policy()
TIMEOUT_ABORT = Policy(timeout_s=100)
TIMEOUT_FORCE = Policy(timeout_s=100, timeout_action='force_complete')
PERMITTED = Policy(post_copy=True)
STEPS = Policy(downtime_steps=((0.0, 50), (150.0, 95), (300.0, 140)))
LIMIT_60 = Policy(forced_pause_limit_s=60)


def cases(*rows):
    """(id, job, elapsed_s, seen, policy, do, cause or value)."""
    return [pytest.param(*row[1:], id=row[0]) for row in rows]


@pytest.mark.parametrize(
    ('job', 'elapsed_s', 'seen', 'policy', 'do', 'cause'),
    cases(
        # Nothing is asked for.
        ('starting', STARTING, 1, Seen(), PLAIN, Do.WAIT, None),
        ('copying', ACTIVE, 1, Seen(), PLAIN, Do.WAIT, None),
        ('ended', NONE, 1, Seen(), PLAIN, Do.LOOK, None),
        # Abort: in any phase before post-copy.
        (
            'abort-starting',
            STARTING,
            1,
            Seen(abort=ASKED_ABORT),
            PLAIN,
            Do.ABORT,
            Cause.OPERATOR,
        ),
        (
            'abort-disk',
            FIRST_DISK,
            1,
            Seen(abort=ASKED_ABORT),
            PLAIN,
            Do.ABORT,
            Cause.OPERATOR,
        ),
        (
            'abort-copying',
            ACTIVE,
            1,
            Seen(abort=ASKED_ABORT),
            PLAIN,
            Do.ABORT,
            Cause.OPERATOR,
        ),
        (
            'deleted',
            ACTIVE,
            1,
            Seen(abort=DELETED),
            PLAIN,
            Do.ABORT,
            Cause.DELETE,
        ),
        # It was taken: not asked again.
        (
            'aborted',
            ACTIVE,
            1,
            Seen(abort=ASKED_ABORT, aborted=True),
            PLAIN,
            Do.WAIT,
            None,
        ),
        (
            'aborted-and-ended',
            NONE,
            1,
            Seen(abort=ASKED_ABORT, aborted=True),
            PLAIN,
            Do.LOOK,
            None,
        ),
        # Refused for good: the migration goes on.
        (
            'abort-refused',
            ACTIVE,
            1,
            Seen(abort=ASKED_ABORT, abort_refused=True),
            PLAIN,
            Do.WAIT,
            None,
        ),
        (
            'abort-refused-then-timeout',
            ACTIVE,
            101,
            Seen(abort_refused=True),
            TIMEOUT_ABORT,
            Do.WAIT,
            None,
        ),
        (
            'abort-refused-then-force',
            ACTIVE,
            1,
            Seen(abort_refused=True, force=ASKED_FORCE),
            PLAIN,
            Do.PAUSE,
            Cause.OPERATOR,
        ),
        # The timeout aborts: strictly after it, and 0 is none.
        ('at-timeout', ACTIVE, 100, Seen(), TIMEOUT_ABORT, Do.WAIT, None),
        (
            'after-timeout',
            ACTIVE,
            100.5,
            Seen(),
            TIMEOUT_ABORT,
            Do.ABORT,
            Cause.TIMEOUT,
        ),
        (
            'timeout-while-starting',
            STARTING,
            100.5,
            Seen(),
            TIMEOUT_ABORT,
            Do.ABORT,
            Cause.TIMEOUT,
        ),
        ('timeout-0-abort', ACTIVE, 1e9, Seen(), Policy(), Do.WAIT, None),
        (
            'timeout-0-force',
            ACTIVE,
            1e9,
            Seen(),
            Policy(timeout_action='force_complete'),
            Do.WAIT,
            None,
        ),
        # The timeout forces, like the request of the same name.
        (
            'at-timeout-force',
            ACTIVE,
            100,
            Seen(),
            TIMEOUT_FORCE,
            Do.WAIT,
            None,
        ),
        (
            'after-timeout-force',
            ACTIVE,
            100.5,
            Seen(),
            TIMEOUT_FORCE,
            Do.PAUSE,
            Cause.TIMEOUT,
        ),
        (
            'after-timeout-force-permitted',
            ACTIVE,
            100.5,
            Seen(),
            dataclasses.replace(TIMEOUT_FORCE, post_copy=True),
            Do.START_POST_COPY,
            Cause.TIMEOUT,
        ),
        # Once only: it does not fire again while the condition holds.
        (
            'timeout-forced-already',
            ACTIVE,
            200,
            Seen(
                force=Request(Cause.TIMEOUT, 'r'),
                limits_lifted=True,
                paused_at_s=199,
            ),
            TIMEOUT_FORCE,
            Do.WAIT,
            None,
        ),
        # Force complete.
        (
            'force',
            ACTIVE,
            1,
            Seen(force=ASKED_FORCE),
            PLAIN,
            Do.PAUSE,
            Cause.OPERATOR,
        ),
        (
            'force-permitted',
            ACTIVE,
            1,
            Seen(force=ASKED_FORCE),
            PERMITTED,
            Do.START_POST_COPY,
            Cause.OPERATOR,
        ),
        # force-end: always by pausing.
        (
            'force-by-pausing',
            ACTIVE,
            1,
            Seen(force=ASKED_PAUSE),
            PERMITTED,
            Do.PAUSE,
            Cause.OPERATOR,
        ),
        (
            'forced-by-post-copy',
            ACTIVE,
            1,
            Seen(force=ASKED_FORCE, post_copy_started=True),
            PERMITTED,
            Do.WAIT,
            None,
        ),
        (
            'cannot-be-forced',
            ACTIVE,
            1,
            Seen(force=ASKED_FORCE, force_refused=True),
            PLAIN,
            Do.WAIT,
            None,
        ),
        # Before the first pass there is nothing to pause for: a guest
        # paused while libvirt still connects stood still for minutes.
        (
            'force-starting',
            STARTING,
            1,
            Seen(force=ASKED_FORCE),
            PERMITTED,
            Do.LIFT_LIMITS,
            Cause.OPERATOR,
        ),
        (
            'force-disk',
            FIRST_DISK,
            1,
            Seen(force=ASKED_PAUSE),
            PLAIN,
            Do.LIFT_LIMITS,
            Cause.OPERATOR,
        ),
        (
            'force-disk-lifted',
            FIRST_DISK,
            1,
            Seen(force=ASKED_PAUSE, limits_lifted=True),
            PLAIN,
            Do.WAIT,
            Cause.OPERATOR,
        ),
        (
            'force-lifted-and-then-the-first-pass',
            ACTIVE,
            1,
            Seen(force=ASKED_PAUSE, limits_lifted=True),
            PLAIN,
            Do.PAUSE,
            Cause.OPERATOR,
        ),
        # A guest its user paused is not paused again: limits only.
        (
            'force-user-paused',
            ACTIVE,
            1,
            Seen(force=ASKED_FORCE, user_paused=True),
            PLAIN,
            Do.LIFT_LIMITS,
            Cause.OPERATOR,
        ),
        (
            'force-user-paused-lifted',
            ACTIVE,
            1,
            Seen(force=ASKED_FORCE, user_paused=True, limits_lifted=True),
            PERMITTED,
            Do.WAIT,
            Cause.OPERATOR,
        ),
        # Refused switches: tried again, then pausing.
        (
            'post-copy-refused-9',
            ACTIVE,
            1,
            Seen(force=ASKED_FORCE, post_copy_refusals=9),
            PERMITTED,
            Do.START_POST_COPY,
            Cause.OPERATOR,
        ),
        (
            'post-copy-refused-10',
            ACTIVE,
            1,
            Seen(force=ASKED_FORCE, post_copy_refusals=10),
            PERMITTED,
            Do.PAUSE,
            Cause.OPERATOR,
        ),
        (
            'post-copy-never-tried',
            ACTIVE,
            1,
            Seen(force=ASKED_FORCE),
            dataclasses.replace(PERMITTED, post_copy_tries=0),
            Do.PAUSE,
            Cause.OPERATOR,
        ),
        # A forced pause that does not arrive ends in an abort.
        (
            'pause-within-limit',
            ACTIVE,
            70,
            Seen(force=ASKED_PAUSE, limits_lifted=True, paused_at_s=10),
            LIMIT_60,
            Do.WAIT,
            None,
        ),
        (
            'pause-beyond-limit',
            ACTIVE,
            70.5,
            Seen(force=ASKED_PAUSE, limits_lifted=True, paused_at_s=10),
            LIMIT_60,
            Do.ABORT,
            Cause.PAUSE_LIMIT,
        ),
        (
            'pause-limit-0',
            ACTIVE,
            1e9,
            Seen(force=ASKED_PAUSE, limits_lifted=True, paused_at_s=10),
            Policy(forced_pause_limit_s=0),
            Do.WAIT,
            None,
        ),
        # The user's own pause has no limit.
        (
            'user-paused-beyond-limit',
            ACTIVE,
            1e6,
            Seen(user_paused=True),
            LIMIT_60,
            Do.WAIT,
            None,
        ),
        # The completion timeout holds for a paused guest, too.
        (
            'paused-then-timeout',
            ACTIVE,
            101,
            Seen(force=ASKED_PAUSE, limits_lifted=True, paused_at_s=100),
            TIMEOUT_ABORT,
            Do.ABORT,
            Cause.TIMEOUT,
        ),
        # Abort after a forced pause is allowed.
        (
            'paused-then-abort',
            ACTIVE,
            11,
            Seen(force=ASKED_PAUSE, paused_at_s=10, abort=ASKED_ABORT),
            PLAIN,
            Do.ABORT,
            Cause.OPERATOR,
        ),
        # Post-copy: only its own limit is lifted, then patience.
        (
            'post-copy',
            POST_COPY,
            1,
            Seen(post_copy_started=True),
            PERMITTED,
            Do.LIFT_POST_COPY_LIMIT,
            None,
        ),
        (
            'post-copy-lifted',
            POST_COPY,
            1,
            Seen(post_copy_started=True, post_copy_limit_lifted=True),
            PERMITTED,
            Do.WAIT,
            None,
        ),
        (
            'post-copy-abort-and-timeout',
            POST_COPY,
            1e6,
            Seen(abort=ASKED_ABORT, post_copy_limit_lifted=True),
            TIMEOUT_ABORT,
            Do.WAIT,
            None,
        ),
        (
            'post-copy-broken',
            BROKEN,
            1e6,
            Seen(
                abort=ASKED_ABORT,
                post_copy_limit_lifted=True,
                post_copy_broken_s=4.9,
            ),
            TIMEOUT_ABORT,
            Do.WAIT,
            None,
        ),
        (
            'post-copy-broken-for-a-while',
            BROKEN,
            1e6,
            Seen(
                abort=ASKED_ABORT,
                post_copy_limit_lifted=True,
                post_copy_broken_s=5,
            ),
            TIMEOUT_ABORT,
            Do.LOOK,
            None,
        ),
        # The order of the rules.
        (
            'abort-before-force',
            ACTIVE,
            1,
            Seen(abort=ASKED_ABORT, force=ASKED_FORCE),
            PERMITTED,
            Do.ABORT,
            Cause.OPERATOR,
        ),
        (
            'operator-before-timeout',
            ACTIVE,
            101,
            Seen(abort=ASKED_ABORT),
            TIMEOUT_ABORT,
            Do.ABORT,
            Cause.OPERATOR,
        ),
        (
            'operators-force-before-the-timeouts',
            ACTIVE,
            101,
            Seen(force=ASKED_PAUSE),
            TIMEOUT_FORCE,
            Do.PAUSE,
            Cause.OPERATOR,
        ),
        (
            'timeout-abort-before-force',
            ACTIVE,
            101,
            Seen(force=ASKED_FORCE),
            TIMEOUT_ABORT,
            Do.ABORT,
            Cause.TIMEOUT,
        ),
        (
            'pause-limit-before-timeout',
            ACTIVE,
            101,
            Seen(force=ASKED_PAUSE, paused_at_s=10),
            dataclasses.replace(TIMEOUT_ABORT, forced_pause_limit_s=60),
            Do.ABORT,
            Cause.PAUSE_LIMIT,
        ),
        (
            'ended-before-abort',
            NONE,
            101,
            Seen(abort=ASKED_ABORT),
            TIMEOUT_ABORT,
            Do.LOOK,
            None,
        ),
        (
            'force-before-downtime-step',
            ACTIVE,
            151,
            Seen(force=ASKED_FORCE),
            STEPS,
            Do.PAUSE,
            Cause.OPERATOR,
        ),
        (
            'abort-before-downtime-step',
            ACTIVE,
            151,
            Seen(abort=ASKED_ABORT),
            STEPS,
            Do.ABORT,
            Cause.OPERATOR,
        ),
    ),
)
def test_the_next_step(job, elapsed_s, seen, policy, do, cause):
    decision = decide(job, elapsed_s, seen, policy)
    assert (decision.do, decision.cause) == (do, cause)
    assert decision.reason


@pytest.mark.parametrize(
    ('job', 'elapsed_s', 'seen', 'expected'),
    cases(
        # Strictly after its time.
        ('at-0', ACTIVE, 0, Seen(), None),
        ('just-after-0', ACTIVE, 0.5, Seen(), 50),
        ('set-already', ACTIVE, 1, Seen(max_downtime_ms=50), None),
        ('at-150', ACTIVE, 150, Seen(max_downtime_ms=50), None),
        ('after-150', ACTIVE, 150.1, Seen(max_downtime_ms=50), 95),
        ('starting', STARTING, 1, Seen(), 50),
        # A manager that was away takes the last one that is due.
        ('late', ACTIVE, 1000, Seen(max_downtime_ms=50), 140),
        ('late-and-new', ACTIVE, 1000, Seen(), 140),
        # Never down again.
        ('higher', ACTIVE, 1000, Seen(max_downtime_ms=500), None),
        ('lifted', ACTIVE, 1000, Seen(limits_lifted=True), None),
        ('post-copy', POST_COPY, 9, Seen(post_copy_limit_lifted=True), None),
        ('aborted', ACTIVE, 1000, Seen(aborted=True), None),
    ),
)
def test_the_downtime_steps_in_force(job, elapsed_s, seen, expected):
    decision = decide(job, elapsed_s, seen, STEPS)
    if expected is None:
        assert decision.do is Do.WAIT
    else:
        assert (decision.do, decision.value) == (
            Do.SET_MAX_DOWNTIME,
            expected,
        )


# -- figures --------------------------------------------------------------
@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        # Nova's documented example: 500 ms, 10 steps, 75 s per GiB, 2 GiB.
        (
            (500, 10, 75, 2.0),
            (
                (0.0, 50),
                (150.0, 95),
                (300.0, 140),
                (450.0, 185),
                (600.0, 230),
                (750.0, 275),
                (900.0, 320),
                (1050.0, 365),
                (1200.0, 410),
                (1350.0, 455),
                (1500.0, 500),
            ),
        ),
        (
            (400, 10, 30, 3.0),
            tuple(
                zip(
                    (0.0, 90, 180, 270, 360, 450, 540, 630, 720, 810, 900),
                    (40, 76, 112, 148, 184, 220, 256, 292, 328, 364, 400),
                    strict=True,
                )
            ),
        ),
        # Whole seconds: int(3 * 2.5) = 7.
        ((300, 3, 3, 2.5), ((0.0, 100), (7.0, 166), (14.0, 233), (21.0, 300))),
    ],
)
def test_downtime_steps(arguments, expected):
    assert convergence.downtime_steps(*arguments) == expected


@given(
    st.integers(100, 2_000_000),
    st.integers(3, 100),
    st.integers(3, 1000),
    st.floats(2, 5000),
)
@example(500, 10, 75, 2.0)
@example(100, 22, 3, 2.0)
def test_downtime_steps_rise_to_the_maximum(downtime, steps, delay, gib):
    made = convergence.downtime_steps(downtime, steps, delay, gib)
    assert len(made) == steps + 1
    times, limits = zip(*made, strict=True)
    assert times[0] == 0
    assert list(times) == sorted(set(times))
    assert list(limits) == sorted(limits)
    assert limits[0] == downtime // steps
    # Nova's formula cuts off what the division of floats lacks.
    assert limits[-1] in (downtime - 1, downtime)


GIB = 1024**3


@pytest.mark.parametrize(
    ('memory_mib', 'disks', 'expected'),
    [
        # Each part counts as 2 GiB at the least.
        (64, (), 2.0),
        (2048, (), 2.0),
        (3072, (), 3.0),
        (4608, (), 4.5),
        (64, (1,), 4.0),
        (64, (2 * GIB,), 4.0),
        (8192, (10 * GIB, GIB), 20.0),
        (8192, (5 * GIB // 2,), 10.5),
    ],
)
def test_the_size_of_the_data(memory_mib, disks, expected):
    assert convergence.data_gib(memory_mib, disks) == expected


# -- what always holds ----------------------------------------------------
requests = st.builds(
    Request,
    st.sampled_from(Cause),
    st.just('req'),
    st.none() | st.just('alice'),
    st.sampled_from(['auto', 'pause']),
)
jobs = st.builds(
    JobStats,
    st.sampled_from(JobState),
    elapsed_ms=st.integers(0, 10**7),
    memory_total_bytes=st.integers(0, 2**40),
    memory_remaining_bytes=st.integers(0, 2**40),
    memory_bytes_per_s=st.integers(0, 2**34),
    dirty_bytes_per_s=st.integers(0, 2**34),
    pass_number=st.integers(0, 40),
    downtime_ms=st.integers(0, 10**6),
)
times = st.floats(0, 10**6)
histories = st.builds(
    Seen,
    abort=st.none() | requests,
    aborted=st.booleans(),
    abort_refused=st.booleans(),
    force=st.none() | requests,
    limits_lifted=st.booleans(),
    paused_at_s=st.none() | times,
    post_copy_started=st.booleans(),
    post_copy_seen=st.booleans(),
    post_copy_refusals=st.integers(0, 20),
    force_refused=st.booleans(),
    post_copy_limit_lifted=st.booleans(),
    max_downtime_ms=st.none() | st.integers(1, 2_000_000),
    user_paused=st.booleans(),
)
steps = st.lists(
    st.tuples(st.floats(0, 10**5), st.integers(1, 2_000_000)), max_size=12
).map(
    lambda found: tuple(
        zip(
            sorted(after_s for after_s, _ in found),
            sorted(ms for _, ms in found),
            strict=True,
        )
    )
)
policies = st.builds(
    Policy,
    timeout_s=st.integers(0, 10**5),
    timeout_action=st.sampled_from(['abort', 'force_complete']),
    downtime_steps=steps,
    bandwidth_mib_s=st.integers(0, 10**4),
    post_copy=st.booleans(),
    auto_converge=st.booleans(),
    forced_pause_limit_s=st.floats(0, 10**5),
    post_copy_tries=st.integers(0, 20),
)
FORCING = {Do.PAUSE, Do.START_POST_COPY}
PURE_COPY = {JobState.STARTING, JobState.ACTIVE}


@given(jobs, times, histories, policies)
def test_post_copy_is_left_alone(job, elapsed_s, seen, policy):
    in_post_copy = dataclasses.replace(job, state=JobState.POST_COPY)
    broken = dataclasses.replace(job, state=JobState.POST_COPY_FAILED)
    for one in (in_post_copy, broken):
        decision = decide(one, elapsed_s, seen, policy)
        assert decision.do in {Do.WAIT, Do.LIFT_POST_COPY_LIMIT}


@given(jobs, times, histories, policies)
def test_after_the_abort_nothing_is_done(job, elapsed_s, seen, policy):
    aborted = dataclasses.replace(seen, aborted=True)
    decision = decide(job, elapsed_s, aborted, policy)
    if job.state in PURE_COPY:
        assert decision.do is Do.WAIT
    else:
        assert decision.do not in {Do.ABORT, *FORCING, Do.SET_MAX_DOWNTIME}


@given(jobs, times, histories, policies)
def test_forcing_happens_once(job, elapsed_s, seen, policy):
    decision = decide(job, elapsed_s, seen, policy)
    if decision.do in FORCING | {Do.LIFT_LIMITS}:
        assert seen.paused_at_s is None
        assert not seen.post_copy_started


@given(jobs, times, histories, policies)
def test_the_downtime_never_falls(job, elapsed_s, seen, policy):
    decision = decide(job, elapsed_s, seen, policy)
    if decision.do is Do.SET_MAX_DOWNTIME:
        assert decision.value > (seen.max_downtime_ms or 0)
        assert not seen.limits_lifted
        assert decision.value in {ms for _, ms in policy.downtime_steps}


@given(jobs, times, histories, policies)
def test_a_timeout_of_0_never_acts(job, elapsed_s, seen, policy):
    never = dataclasses.replace(policy, timeout_s=0)
    decision = decide(job, elapsed_s, seen, never)
    if seen.abort is None and seen.force is None:
        assert decision.cause in {None, Cause.PAUSE_LIMIT}
    assert decision.cause is not Cause.TIMEOUT or Cause.TIMEOUT in {
        r.cause for r in (seen.abort, seen.force) if r is not None
    }


@given(jobs, times, histories, policies)
def test_without_a_job_one_looks(job, elapsed_s, seen, policy):
    ended = dataclasses.replace(job, state=JobState.NONE)
    assert decide(ended, elapsed_s, seen, policy).do is Do.LOOK
    if job.state is not JobState.NONE:
        assert decide(job, elapsed_s, seen, policy).do is not Do.LOOK


@given(jobs, times, histories, policies)
def test_nothing_is_forced_that_nobody_wants(job, elapsed_s, seen, policy):
    decision = decide(job, elapsed_s, seen, policy)
    timed_out = 0 < policy.timeout_s < elapsed_s
    if decision.do in FORCING | {Do.LIFT_LIMITS}:
        assert seen.force or (
            timed_out and policy.timeout_action == 'force_complete'
        )
        assert not seen.force_refused
    if decision.do is Do.ABORT:
        paused_long = seen.paused_at_s is not None
        assert (
            seen.abort
            or paused_long
            or (timed_out and policy.timeout_action == 'abort')
        )


@given(jobs, times, histories, policies)
def test_post_copy_only_where_it_is_permitted(job, elapsed_s, seen, policy):
    decision = decide(job, elapsed_s, seen, policy)
    if decision.do is Do.START_POST_COPY:
        assert policy.post_copy
        assert seen.force is None or seen.force.method == 'auto'
        assert not seen.user_paused
        assert job.pass_number >= 1
    if decision.do is Do.PAUSE:
        assert not seen.user_paused
        assert job.pass_number >= 1


@given(jobs, times, histories, policies)
def test_deciding_changes_nothing(job, elapsed_s, seen, policy):
    """Pure: the same values, the same decision, the values as before."""
    before = (dataclasses.replace(job), dataclasses.replace(seen))
    first = decide(job, elapsed_s, seen, policy)
    assert decide(job, elapsed_s, seen, policy) == first
    assert (job, seen) == before
    assert first.reason
