"""Driver-neutral readings: a guest's state, a migration job's figures.

Immutable values with units in their names; nothing of libvirt in here.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Self


class Power(enum.StrEnum):
    """What the hypervisor says a guest does."""

    RUNNING = 'running'
    PAUSED = 'paused'
    SHUTOFF = 'shutoff'
    CRASHED = 'crashed'


class Reason(enum.StrEnum):
    """Why a guest is in its power state, as far as migration cares."""

    NORMAL = 'normal'
    #: Paused by its user: stays paused wherever it goes.
    USER = 'user'
    #: Paused because a migration is under way: by a forced pause or in
    #: switchover at the source, waiting for its memory at the destination.
    MIGRATION = 'migration'
    #: Running (destination) or shut off (source) because it has moved.
    MIGRATED = 'migrated'
    #: Running again because its migration was cancelled.
    MIGRATION_CANCELED = 'migration-canceled'
    POST_COPY = 'post-copy'
    POST_COPY_FAILED = 'post-copy-failed'
    #: Shut off by itself or by its user.
    SHUTDOWN = 'shutdown'
    #: Shut off, its memory kept on disk.
    SAVED = 'saved'
    CRASHED = 'crashed'
    #: It put itself to sleep (ACPI S3); only a wake-up has it go on.
    ASLEEP = 'asleep'
    OTHER = 'other'


@dataclasses.dataclass(frozen=True)
class GuestState:
    """One guest as one hypervisor sees it; absence is ``None``."""

    power: Power
    reason: Reason = Reason.NORMAL
    #: A migration job of this guest is active on this host: its own
    #: outgoing copy, or an incoming one.
    job: bool = False

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        return cls(
            power=Power(data['power']),
            reason=Reason(data['reason']),
            job=bool(data['job']),
        )


class JobState(enum.StrEnum):
    """Where the running copy is."""

    #: No job, and no call of ours under way: look at both hypervisors.
    NONE = 'none'
    #: Our call runs, the copy has not begun (connecting, preparing).
    STARTING = 'starting'
    ACTIVE = 'active'
    POST_COPY = 'post-copy'
    POST_COPY_FAILED = 'post-copy-failed'


@dataclasses.dataclass(frozen=True)
class JobStats:
    """One reading of a guest's migration job.

    All counters are 0 while the destination is being prepared; the disk
    is copied before the memory (libvirt), so memory_* stay 0 meanwhile.
    """

    state: JobState
    #: Since the hypervisor began the job, ms.
    elapsed_ms: int = 0
    memory_total_bytes: int = 0
    memory_processed_bytes: int = 0
    memory_remaining_bytes: int = 0
    disk_total_bytes: int = 0
    disk_processed_bytes: int = 0
    disk_remaining_bytes: int = 0
    #: Speed of the last moment, bytes/s.
    memory_bytes_per_s: int = 0
    #: How fast the guest writes its memory, bytes/s; 0 in the first pass.
    dirty_bytes_per_s: int = 0
    #: Passes over the memory begun so far; 0 before the first.
    pass_number: int = 0
    #: While active: the downtime expected now, ms. Of an ended job: the
    #: downtime the hypervisor measured, ms (means nothing for post-copy).
    downtime_ms: int = 0
    postcopy_requests: int = 0
    auto_converge_percent: int = 0

    @property
    def transferred_bytes(self) -> int:
        return self.memory_processed_bytes + self.disk_processed_bytes

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        return cls(**{**data, 'state': JobState(data['state'])})
