"""The arithmetic of one simulated migration: what is copied when. Pure.

Disks first, then memory in passes: the first copies all of it, each
further one what the guest wrote during the one before, at most its
working set. When what is left can be sent within the maximum downtime,
the guest is stopped and moves. Between two changes (of phase, pass, limit
or load) everything is linear, so a state depends on the moments of the
changes and not on how often somebody looks.

Measured against libvirt 9.0 / QEMU 7.2: the model told right of each of
six guests whether it converges, and the total within a second.
"""

from __future__ import annotations

import math

from livemig.virt import job
from livemig.virt.simulation.terms import (
    DEFAULT_DOWNTIME_MS,
    MAX_DOWNTIME_MS,
    MEASURED_AFTER_S,
    MIB,
    PAGE_BYTES,
    THROTTLE_FIRST_PERCENT,
    THROTTLE_MOST_PERCENT,
    THROTTLE_STEP_PERCENT,
    Happening,
    Load,
    Pace,
    Phase,
)

#: Phases in which an abort that was asked for comes into effect.
_ABORTABLE = frozenset({Phase.DISK, Phase.MEMORY})
#: Phases in which the stream can break.
_COPYING = _ABORTABLE | {Phase.POST_COPY}

_STATE_OF_PHASE = {
    Phase.CALLED: job.JobState.STARTING,
    Phase.PREPARING: job.JobState.STARTING,
    Phase.DISK: job.JobState.ACTIVE,
    Phase.MEMORY: job.JobState.ACTIVE,
    Phase.SWITCHOVER: job.JobState.ACTIVE,
    Phase.CONFIRMING: job.JobState.ACTIVE,
    Phase.POST_COPY: job.JobState.POST_COPY,
    Phase.POST_COPY_FAILED: job.JobState.POST_COPY_FAILED,
    Phase.ENDED: job.JobState.NONE,
}


class Transfer:
    """One migration; whoever changes it has brought it to now first.

    :param now_s: the moment of the call
    :param disk_bytes: to be copied; 0 for none
    :param stopped: the guest's CPUs do not run (its user paused it)
    """

    def __init__(
        self,
        now_s: float,
        pace: Pace,
        load: Load,
        *,
        memory_bytes: int,
        disk_bytes: int = 0,
        bandwidth_mib_s: int = 0,
        max_downtime_ms: int | None = None,
        auto_converge: bool = False,
        stopped: bool = False,
    ) -> None:
        self.pace = pace
        self.load = load
        self.memory_bytes = memory_bytes
        self.disk_bytes = disk_bytes
        self.bandwidth_mib_s = bandwidth_mib_s
        self.post_copy_mib_s = 0
        self.max_downtime_ms = DEFAULT_DOWNTIME_MS
        if max_downtime_ms is not None:
            self.set_max_downtime(max_downtime_ms)
        self.auto_converge = auto_converge
        self.stopped = stopped
        self.link_up = True
        self.error = ''
        #: When the stream shall break by itself, if ever.
        self.breaks_at_s = math.inf
        #: The same, counted from the switch to post-copy.
        self.post_copy_breaks_after_s = math.inf
        self.given_up = False
        #: The switch to post-copy was made, whatever came of it.
        self.was_post_copy = False

        self.phase = Phase.CALLED
        self.now_s = now_s
        self.pass_number = 0
        self.postcopy_requests = 0
        self.throttle_percent = 0
        self._busy_passes = 0
        self._phase_ends_s = now_s + pace.call_s
        self._begun_s = now_s
        self._abort_at_s = math.inf
        self._lost_at_s = math.inf
        self._memory_begun_s = math.inf
        self._stopped_at_s = math.inf
        self._downtime_s = 0.0
        self._disk_done = 0.0
        self._sent = 0.0
        #: Left of this pass, and written again since it began.
        self._left = 0.0
        self._dirtied = 0.0
        self._pass_begun_s = now_s
        self._pass_bytes = 0.0
        self._dirty_rate = 0.0

    # -- time ---------------------------------------------------------------
    def step(self, until_s: float) -> Happening | None:
        """Go on until something happens, at most until ``until_s``; None
        when that moment is reached and nothing is due any more."""
        while (change_s := self._next_change_s()) <= until_s:
            self._flow_to(change_s)
            happening = self._turn()
            if happening is not None:
                return happening
        self._flow_to(until_s)
        return None

    def _next_change_s(self) -> float:
        if self.phase is Phase.ENDED:
            return math.inf
        moments = [self._phase_ends_s]
        if self.phase in _ABORTABLE:
            moments.append(self._abort_at_s)
        if self.phase in _COPYING:
            moments += [self.breaks_at_s, self._lost_at_s]
            moments.append(self.now_s + self._until_copied_s())
        return max(self.now_s, min(moments))

    def _until_copied_s(self) -> float:
        """Until this phase or pass is over, the guest converges, or its
        working set is all dirty (so that the slope changes)."""
        rate = self.rate
        if not rate:
            return math.inf
        if self.phase is Phase.DISK:
            return (self.disk_bytes - self._disk_done) / rate
        if self.phase is Phase.POST_COPY:
            return self.pending_bytes / rate
        moments = [self._left / rate]
        measured_in_s = self._measured_at_s - self.now_s
        if measured_in_s > 0:
            moments.append(measured_in_s)
        dirty_rate = self._dirtying
        if dirty_rate:
            clean = self.load.working_set_bytes - self._dirtied
            moments.append(clean / dirty_rate)
        surplus = self.pending_bytes - self._threshold_bytes
        if surplus <= 0:
            moments.append(max(0.0, measured_in_s))
        elif rate > dirty_rate:
            soon = surplus / (rate - dirty_rate)
            if soon >= measured_in_s:
                moments.append(soon)
        return min(moments)

    def _flow_to(self, moment_s: float) -> None:
        """Copy and dirty at the present rates up to ``moment_s``."""
        seconds = moment_s - self.now_s
        self.now_s = moment_s
        if seconds <= 0 or self.phase not in _COPYING:
            return
        copied = self.rate * seconds
        if self.phase is Phase.DISK:
            self._disk_done = min(self.disk_bytes, self._disk_done + copied)
            return
        copied = min(copied, self.pending_bytes)
        self._sent += copied
        if self.phase is Phase.POST_COPY:
            self._left = max(0.0, self.pending_bytes - copied)
            self._dirtied = 0.0
            return
        self._dirtied += self._dirtying * seconds
        if self.load.working_set_bytes - self._dirtied < PAGE_BYTES:
            self._dirtied = min(
                self._dirtied + PAGE_BYTES, self.load.working_set_bytes
            )
        self._left = max(0.0, self._left - copied)

    def _turn(self) -> Happening | None:
        """What is due at this very moment."""
        if self.now_s >= self._phase_ends_s:
            return self._phase_over()
        if self.phase in _ABORTABLE and self.now_s >= self._abort_at_s:
            return self._end(Happening.CANCELLED)
        if self.phase in _COPYING:
            if self.now_s >= self.breaks_at_s:
                return self.break_stream()
            if self.now_s >= self._lost_at_s:
                return self.lose_peer()
        return self._copied()

    def _phase_over(self) -> Happening:
        """The end of a phase that lasts a given time."""
        self._phase_ends_s = math.inf
        if self.phase is Phase.CALLED:
            self._begun_s = self.now_s
            self._enter(Phase.PREPARING, self.pace.prepare_s)
            return Happening.CONNECTING
        if self.phase is Phase.PREPARING:
            if self.error:
                return self._end(Happening.FAILED)
            if self._abort_at_s < math.inf:
                return self._end(Happening.CANCELLED)
            self.phase = Phase.DISK
            return Happening.PREPARED
        if self.phase is Phase.SWITCHOVER:
            self.arrive()
            return Happening.ARRIVED
        return self._end(Happening.ENDED)

    def _enter(self, phase: Phase, lasting_s: float) -> None:
        self.phase = phase
        self._phase_ends_s = self.now_s + lasting_s

    def _end(self, happening: Happening) -> Happening:
        self.phase = Phase.ENDED
        self._phase_ends_s = math.inf
        return happening

    def _copied(self) -> Happening | None:
        """Whether a disk, a pass or all of it has been copied by now."""
        if self.phase is Phase.DISK:
            if self.disk_bytes - self._disk_done < PAGE_BYTES:
                self._begin_memory()
        elif self.phase is Phase.POST_COPY:
            if self.pending_bytes < PAGE_BYTES:
                self.arrive()
                return Happening.ARRIVED
        elif self.phase is Phase.MEMORY:
            if self._converged:
                return self._switch_over()
            if self._left < PAGE_BYTES:
                self._begin_pass()
        return None

    # -- copying ------------------------------------------------------------
    @property
    def rate(self) -> float:
        """Bytes/s on the wire just now."""
        if not self.link_up or self.phase not in _COPYING:
            return 0.0
        limit = self.bandwidth_mib_s
        if self.phase is Phase.POST_COPY:
            limit = self.post_copy_mib_s
        link = self.pace.link_bytes_per_s
        return min(link, limit * MIB) if limit else link

    @property
    def pending_bytes(self) -> float:
        """Memory the destination does not have yet."""
        return self._left + self._dirtied

    @property
    def _dirtying(self) -> float:
        """Bytes/s of memory that is clean until then."""
        if self.stopped or self._dirtied >= self.load.working_set_bytes:
            return 0.0
        throttled = (100 - self.throttle_percent) / 100
        return self.load.dirty_bytes_per_s * throttled

    @property
    def _threshold_bytes(self) -> float:
        return max(PAGE_BYTES, self.rate * self.max_downtime_ms / 1000)

    @property
    def _measured_at_s(self) -> float:
        return self._memory_begun_s + MEASURED_AFTER_S

    @property
    def _converged(self) -> bool:
        if not self.rate:
            return False
        if self._left >= PAGE_BYTES and self.now_s < self._measured_at_s:
            return False
        return self.pending_bytes < self._threshold_bytes + PAGE_BYTES

    def _begin_memory(self) -> None:
        self._disk_done = self.disk_bytes
        self.phase = Phase.MEMORY
        self._memory_begun_s = self.now_s
        self.pass_number = 1
        self._pass_begun_s = self.now_s
        self._left = self._pass_bytes = float(self.memory_bytes)

    def _begin_pass(self) -> None:
        lasted_s = max(self.now_s - self._pass_begun_s, 1e-6)
        self._dirty_rate = self._dirtied / lasted_s
        if self.auto_converge:
            self._throttle()
        self.pass_number += 1
        self._pass_begun_s = self.now_s
        self._left = self._pass_bytes = self._dirtied
        self._dirtied = 0.0

    def _throttle(self) -> None:
        """QEMU: the second pass in which the guest wrote more than half of
        what was sent slows its CPUs down."""
        if self._dirtied * 2 <= self._pass_bytes:
            return
        self._busy_passes += 1
        if self._busy_passes < 2:
            return
        self._busy_passes = 0
        self.throttle_percent = min(
            THROTTLE_MOST_PERCENT,
            self.throttle_percent + THROTTLE_STEP_PERCENT
            if self.throttle_percent
            else THROTTLE_FIRST_PERCENT,
        )

    def _switch_over(self) -> Happening:
        """QEMU lifts the bandwidth limit for the rest (measured)."""
        rest_s = self.pending_bytes / self.pace.link_bytes_per_s
        self._stopped_at_s = min(self._stopped_at_s, self.now_s)
        self._sent += self.pending_bytes
        self._left = self._dirtied = 0.0
        self._enter(Phase.SWITCHOVER, rest_s + self.pace.switchover_s)
        return Happening.SWITCHOVER

    def arrive(self) -> None:
        if not self.was_post_copy:
            self._downtime_s = self.now_s - self._stopped_at_s
        self._left = self._dirtied = 0.0
        self._enter(Phase.CONFIRMING, self.pace.confirm_s)

    # -- what is done to it ---------------------------------------------------
    @property
    def has_job(self) -> bool:
        """The hypervisor knows of it: it can be changed and aborted."""
        return self.phase not in (Phase.CALLED, Phase.ENDED)

    def refuse(self, reason: str, after_s: float = 0.0) -> None:
        """End while preparing, ``after_s`` from now: nobody answered."""
        self.error = reason
        self._enter(Phase.PREPARING, after_s)

    def abort(self) -> None:
        """Takes effect a moment later, in the preparations at their end;
        once the switchover has begun, none at all."""
        self._abort_at_s = min(
            self._abort_at_s, self.now_s + self.pace.abort_s
        )

    def set_max_downtime(self, downtime_ms: int) -> None:
        self.max_downtime_ms = max(1, min(downtime_ms, MAX_DOWNTIME_MS))

    def stop_cpus(self) -> None:
        """The guest is paused, so it dirties nothing any more."""
        if not self.stopped:
            self.stopped = True
            self._stopped_at_s = self.now_s

    def switch_to_post_copy(self) -> None:
        """Only in the memory phase."""
        self.phase = Phase.POST_COPY
        self.was_post_copy = True
        self._downtime_s = 0.005
        self.breaks_at_s = min(
            self.breaks_at_s, self.now_s + self.post_copy_breaks_after_s
        )

    def break_stream(self) -> Happening:
        """The stream is reset: an end before post-copy, a halt in it."""
        self.breaks_at_s = self.post_copy_breaks_after_s = math.inf
        if self.phase is Phase.POST_COPY:
            self.phase = Phase.POST_COPY_FAILED
            return Happening.POST_COPY_BROKEN
        self.error = 'operation failed: migration out: Connection reset'
        return self._end(Happening.FAILED)

    def lose_peer(self) -> Happening:
        """The other hypervisor is gone: libvirt ends what is not yet in
        post-copy. What is goes on without libvirt, which learns nothing
        more and so leaves the source's guest behind."""
        self._lost_at_s = math.inf
        if self.was_post_copy or self.phase is Phase.CONFIRMING:
            self.given_up = True
            return Happening.POST_COPY_GIVEN_UP
        self.error = 'internal error: client socket is closed'
        return self._end(Happening.FAILED)

    def recover(self) -> None:
        """A broken post-copy goes on."""
        self.phase = Phase.POST_COPY
        self.given_up = False

    def cut_link(self) -> None:
        self.link_up = False
        self._lost_at_s = self.now_s + self.pace.keepalive_s

    def mend_link(self) -> None:
        self.link_up = True
        self._lost_at_s = math.inf

    @property
    def in_post_copy(self) -> bool:
        """The guest runs at the destination, its memory is on both."""
        return self.phase in (Phase.POST_COPY, Phase.POST_COPY_FAILED)

    # -- reading --------------------------------------------------------------
    @property
    def state(self) -> job.JobState:
        if self.was_post_copy and self.phase is not Phase.ENDED:
            failed = self.given_up or self.phase is Phase.POST_COPY_FAILED
            return (
                job.JobState.POST_COPY_FAILED
                if failed
                else job.JobState.POST_COPY
            )
        return _STATE_OF_PHASE[self.phase]

    def stats(self) -> job.JobStats:
        """A reading as the source's hypervisor gives it."""
        elapsed_ms = int((self.now_s - self._begun_s) * 1000)
        if self.phase in (Phase.CALLED, Phase.PREPARING):
            return job.JobStats(state=self.state, elapsed_ms=elapsed_ms)
        disk_done = int(self._disk_done)
        remaining = int(self._left)
        if self.was_post_copy:
            remaining = int(self.pending_bytes)
        in_memory = self.pass_number > 0
        return job.JobStats(
            state=self.state,
            elapsed_ms=elapsed_ms,
            memory_total_bytes=self.memory_bytes if in_memory else 0,
            memory_processed_bytes=int(self._sent),
            memory_remaining_bytes=remaining if in_memory else 0,
            disk_total_bytes=self.disk_bytes,
            disk_processed_bytes=disk_done,
            disk_remaining_bytes=self.disk_bytes - disk_done,
            memory_bytes_per_s=int(self.rate) if in_memory else 0,
            dirty_bytes_per_s=int(self._dirty_rate),
            pass_number=self.pass_number,
            downtime_ms=self._downtime_ms(),
            postcopy_requests=int(self._sent / MIB)
            if self.was_post_copy
            else 0,
            auto_converge_percent=self.throttle_percent,
        )

    def _downtime_ms(self) -> int:
        """Expected while it goes on, measured once the guest has moved."""
        if self._downtime_s:
            return max(1, int(self._downtime_s * 1000))
        if self.pass_number < 2 or not self.rate:
            return DEFAULT_DOWNTIME_MS
        return int(self._left / self.rate * 1000)
