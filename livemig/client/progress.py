"""Decides what is honest to say of a running migration, from its samples.

Pure: samples in, a Progress and its line out. Nothing here reads a clock, a
terminal or the service.

Why there is no percentage of the whole: a guest that writes faster than the
network copies sends its memory again and again, and the remaining data grows
at the start of each pass. A percentage is given only of a phase whose end is
known, and within a phase it never runs backwards.
"""

import dataclasses
import datetime

from livemig.client.errors import printable

#: Statuses from which something follows, in the order of a migration's life.
#: Nova has them all but the post-copy one.
UNFINISHED = (
    'accepted',
    'queued',
    'preparing',
    'running',
    'running (post-copy)',
    'post-migrating',
)
#: Statuses from which nothing follows.
FINAL = frozenset({'completed', 'cancelled', 'failed', 'error'})

QUEUED = 'queued'
PREPARING = 'preparing'
STARTING = 'starting'
DISK_COPY = 'disk copy'
COPYING = 'copying memory'
FIRST_PASS = 'first pass'  # noqa: S105 (no password)
RE_COPYING = 're-copying'
POST_COPY = 'post-copy'
FINISHING = 'finishing'
DONE = 'done'

#: The phase that a status alone decides. `running` needs the counters too.
PHASE_OF_STATUS = {
    'accepted': QUEUED,
    'queued': QUEUED,
    'preparing': PREPARING,
    'running (post-copy)': POST_COPY,
    'post-migrating': FINISHING,
} | dict.fromkeys(FINAL, DONE)

FALLING = 'falling'
GROWING = 'growing'
STEADY = 'steady'

#: QEMU counts what the guest has written as a pass ends: a rate of nought
#: before that says nothing.
_UNCOUNTED = frozenset({STARTING, DISK_COPY, FIRST_PASS})

#: How old a derived rate may be before it is no longer told, in seconds.
RATE_AGE_S = 15.0


@dataclasses.dataclass(frozen=True)
class Sample:
    """One reading of a migration as the service told it.

    ``at_s`` is when it was read, on the reader's clock; ``counted_at`` is the
    service's own time of the counters, if it tells one. None is "not told".
    """

    at_s: float
    status: str
    memory_total_bytes: int | None = None
    memory_processed_bytes: int | None = None
    memory_remaining_bytes: int | None = None
    disk_total_bytes: int | None = None
    disk_processed_bytes: int | None = None
    disk_remaining_bytes: int | None = None
    counted_at: datetime.datetime | None = None
    elapsed_s: float | None = None
    timeout_s: float | None = None
    pass_number: int | None = None
    dirty_rate_bytes_per_s: float | None = None
    throughput_bytes_per_s: float | None = None
    reason: str | None = None
    completed_by: str | None = None
    downtime_ms: int | None = None

    @property
    def total_bytes(self) -> int | None:
        return _sum(self.memory_total_bytes, self.disk_total_bytes)

    @property
    def processed_bytes(self) -> int | None:
        return _sum(self.memory_processed_bytes, self.disk_processed_bytes)

    @property
    def remaining_bytes(self) -> int | None:
        return _sum(self.memory_remaining_bytes, self.disk_remaining_bytes)

    def counters(self) -> tuple[int | None, ...]:
        return (
            self.memory_total_bytes,
            self.memory_processed_bytes,
            self.memory_remaining_bytes,
            self.disk_total_bytes,
            self.disk_processed_bytes,
            self.disk_remaining_bytes,
        )


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is known after a sample; the next one builds upon it.

    ``percent`` is of the phase. ``pass_exact`` is False where the passes were
    counted here: some may have gone by between two samples. ``estimated``
    names the rates derived here instead of told by the service.
    """

    sample: Sample
    phase: str
    percent: int | None = None
    pass_number: int | None = None
    pass_exact: bool = True
    trend: str | None = None
    throughput_bytes_per_s: float | None = None
    dirty_rate_bytes_per_s: float | None = None
    estimated: tuple[str, ...] = ()
    # What later samples are compared with:
    #: the last sample that brought new counters
    counted: Sample | None = None
    #: the sample with which the present memory pass was first seen
    pass_began: Sample | None = None
    #: the greatest percentage told in this phase
    best_percent: int = 0
    #: remaining bytes when the phase was first seen
    phase_began_bytes: int | None = None
    #: watched since before the first byte
    from_start: bool = False

    @property
    def ended(self) -> bool:
        return self.phase == DONE


def advance(before: Progress | None, sample: Sample) -> Progress:
    """The progress after one more sample."""
    if before is None:
        before = Progress(sample, '')
    fresh = _brings_counters(before.counted, sample)
    after = dataclasses.replace(before, sample=sample)
    after = _with_pass(after, fresh)
    after = _with_phase(after, before.phase)
    after = _with_rates(after, before, fresh)
    if fresh:
        after = dataclasses.replace(
            after, trend=_trend(before.counted, sample), counted=sample
        )
    return _with_percent(after)


def _with_pass(after: Progress, fresh: bool) -> Progress:
    """Count the passes over memory, as told or as far as can be seen."""
    sample = after.sample
    began = after.pass_began
    if sample.pass_number is not None:
        if sample.pass_number != after.pass_number or not began:
            began = sample
        return dataclasses.replace(
            after,
            pass_number=sample.pass_number,
            pass_exact=True,
            pass_began=began,
        )
    if not fresh or sample.status != 'running':
        return after
    number = _counted_passes(after)
    if _grew(after.counted, sample) or not began:
        began = sample
    return dataclasses.replace(
        after,
        pass_number=number,
        pass_exact=number == 1,
        pass_began=began if number is not None else None,
    )


def _counted_passes(after: Progress) -> int | None:
    """At least so many passes have begun; None where it cannot be known."""
    sample, number = after.sample, after.pass_number
    remaining = sample.memory_remaining_bytes
    processed = sample.memory_processed_bytes
    if remaining is None or processed is None:
        return number
    if not processed:
        at_start = remaining > 0 and not sample.disk_remaining_bytes
        return 1 if at_start and number is None else number
    if number is None and after.from_start:
        number = 1
    if _grew(after.counted, sample):
        return (number or 1) + 1
    if processed + remaining > (sample.memory_total_bytes or 0):
        # More was sent than there is (pages of zeros count as nothing
        # sent), so it is certainly not the first pass.
        return max(number or 0, 2)
    return number


def _with_phase(after: Progress, phase_before: str) -> Progress:
    status = after.sample.status
    if status == 'running':
        phase = _copying_phase(after)
    else:
        phase = PHASE_OF_STATUS.get(status) or printable(status)
    after = dataclasses.replace(
        after,
        phase=phase,
        from_start=after.from_start
        or phase in (QUEUED, PREPARING, STARTING, DISK_COPY),
    )
    if phase == phase_before:
        return after
    return dataclasses.replace(
        after,
        best_percent=0,
        phase_began_bytes=after.sample.remaining_bytes,
    )


def _copying_phase(after: Progress) -> str:
    sample = after.sample
    if sample.disk_remaining_bytes and not sample.memory_processed_bytes:
        return DISK_COPY
    if not sample.total_bytes:
        return STARTING
    if after.pass_number is None:
        return COPYING
    return FIRST_PASS if after.pass_number <= 1 else RE_COPYING


def _with_rates(after: Progress, before: Progress, fresh: bool) -> Progress:
    """Rates as told by the service, else from the counters' differences."""
    sample = after.sample
    throughput = sample.throughput_bytes_per_s
    dirty_rate = sample.dirty_rate_bytes_per_s
    if not dirty_rate and after.phase in _UNCOUNTED:
        dirty_rate = None
    estimated = []
    if throughput is None:
        throughput = _derived_throughput(before, sample, fresh)
        if throughput is not None:
            estimated.append('throughput_bytes_per_s')
    if dirty_rate is None:
        dirty_rate = _derived_dirty_rate(before, sample, fresh)
        if dirty_rate is not None:
            estimated.append('dirty_rate_bytes_per_s')
    return dataclasses.replace(
        after,
        throughput_bytes_per_s=throughput,
        dirty_rate_bytes_per_s=dirty_rate,
        estimated=tuple(estimated),
    )


def _derived_throughput(
    before: Progress, sample: Sample, fresh: bool
) -> float | None:
    """Bytes sent between the last two different counters, a second.

    The service refreshes its counters every few seconds and is asked more
    often, so equal counters in between do not mean that nothing moves.
    """
    counted = before.counted
    if counted is None or sample.remaining_bytes is None:
        return None
    if not fresh:
        old = sample.at_s - counted.at_s > RATE_AGE_S
        return None if old else before.throughput_bytes_per_s
    sent = _difference(sample.processed_bytes, counted.processed_bytes)
    seconds = _seconds_between(counted, sample)
    if sent is None or sent < 0 or seconds <= 0:
        return None
    return sent / seconds


def _derived_dirty_rate(
    before: Progress, sample: Sample, fresh: bool
) -> float | None:
    """How fast the guest wrote memory during the pass that has just ended.

    QEMU adds what was written during a pass to the remaining data when the
    next one begins. So what is then remaining more than before, together with
    what was sent in between, was written since that pass began.
    """
    if sample.status != 'running':
        return None
    counted, began = before.counted, before.pass_began
    if not fresh or not _grew(counted, sample):
        return before.dirty_rate_bytes_per_s
    if counted is None or began is None:
        return None
    written = (sample.memory_remaining_bytes or 0) - (
        counted.memory_remaining_bytes or 0
    )
    sent = (sample.memory_processed_bytes or 0) - (
        counted.memory_processed_bytes or 0
    )
    seconds = _seconds_between(began, sample)
    return (written + max(0, sent)) / seconds if seconds > 0 else None


def _with_percent(after: Progress) -> Progress:
    """A percentage of the phase, or None rather than a smaller one."""
    percent = _phase_percent(after)
    if percent is None or percent < after.best_percent:
        return dataclasses.replace(after, percent=None)
    return dataclasses.replace(after, percent=percent, best_percent=percent)


def _phase_percent(after: Progress) -> int | None:
    sample = after.sample
    left: int | None
    whole: int | None
    if after.phase == FIRST_PASS:
        left, whole = sample.memory_remaining_bytes, sample.memory_total_bytes
    elif after.phase == DISK_COPY:
        left, whole = sample.disk_remaining_bytes, sample.disk_total_bytes
    elif after.phase == POST_COPY:
        left, whole = sample.remaining_bytes, after.phase_began_bytes
    elif sample.status == 'completed':
        return 100
    else:
        return None
    if left is None or not whole or left > whole:
        return None
    return 100 * (whole - left) // whole


def _brings_counters(counted: Sample | None, sample: Sample) -> bool:
    """Whether the sample's counters are new, or confirmed to be the same."""
    if sample.remaining_bytes is None:
        return False
    if counted is None:
        return True
    return sample.counters() != counted.counters() or (
        sample.counted_at is not None
        and sample.counted_at != counted.counted_at
    )


def _grew(counted: Sample | None, sample: Sample) -> bool:
    """Whether memory remains that did not before.

    A total of nought was a job that had not counted its memory yet.
    """
    if counted is None or not counted.memory_total_bytes:
        return False
    grown = _difference(
        sample.memory_remaining_bytes, counted.memory_remaining_bytes
    )
    return grown is not None and grown > 0


def _trend(counted: Sample | None, sample: Sample) -> str | None:
    if sample.status in FINAL or counted is None:
        return None
    grown = _difference(sample.remaining_bytes, counted.remaining_bytes)
    if grown is None or sample.total_bytes != counted.total_bytes:
        return None
    if grown == 0:
        return STEADY
    return GROWING if grown > 0 else FALLING


def _seconds_between(earlier: Sample, later: Sample) -> float:
    """By the service's clock if it tells it, else by the reader's."""
    if earlier.counted_at and later.counted_at:
        return (later.counted_at - earlier.counted_at).total_seconds()
    return later.at_s - earlier.at_s


def _difference(new: int | None, old: int | None) -> int | None:
    return None if new is None or old is None else new - old


def _sum(memory: int | None, disk: int | None) -> int | None:
    if memory is None and disk is None:
        return None
    return (memory or 0) + (disk or 0)
