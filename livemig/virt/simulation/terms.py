"""Words and figures the parts of the simulation share."""

from __future__ import annotations

import dataclasses
import enum

MIB = 1024 * 1024
GIB = 1024 * MIB
#: What is less than a page is nothing: guards against rounding, too.
PAGE_BYTES = 4096

#: libvirt's own bound (virDomainMigrateSetMaxDowntime).
MAX_DOWNTIME_MS = 2_000_000
#: QEMU's default maximum downtime, and what it expects in the first pass.
DEFAULT_DOWNTIME_MS = 300
#: QEMU knows no bandwidth before, so it does not switch over earlier.
MEASURED_AFTER_S = 0.1

#: CPU throttling of auto-converge: QEMU's defaults.
THROTTLE_FIRST_PERCENT = 20
THROTTLE_STEP_PERCENT = 10
THROTTLE_MOST_PERCENT = 99


@dataclasses.dataclass(frozen=True)
class Load:
    """How a guest writes its memory."""

    working_set_bytes: int
    dirty_bytes_per_s: float


@dataclasses.dataclass(frozen=True)
class Pace:
    """How fast a source host's hypervisor and its link are."""

    link_bytes_per_s: float = 1000 * MIB
    #: From the call to the job: until then there is nothing to abort.
    call_s: float = 0.05
    #: Starting the destination's empty guest.
    prepare_s: float = 0.5
    #: From the request to abort to its effect; measured 0.05 to 0.26 s.
    abort_s: float = 0.1
    #: What a switchover costs besides sending what is left.
    switchover_s: float = 0.02
    #: From the guest's start at the destination to its end at the source.
    confirm_s: float = 0.1
    #: Until a peer that says nothing more is given up.
    keepalive_s: float = 6.0
    #: Until a destination that answers nothing is given up.
    connect_s: float = 133.0


class Phase(enum.StrEnum):
    """Where a transfer is; finer than ``JobState``."""

    #: Called for; the hypervisor has no job yet.
    CALLED = 'called'
    PREPARING = 'preparing'
    DISK = 'disk'
    MEMORY = 'memory'
    SWITCHOVER = 'switchover'
    #: The guest runs at the destination, the source has yet to let go.
    CONFIRMING = 'confirming'
    POST_COPY = 'post-copy'
    #: The stream is broken on both ends; stands until it is recovered.
    POST_COPY_FAILED = 'post-copy-failed'
    ENDED = 'ended'


class Happening(enum.StrEnum):
    """What whoever owns the guests has to do something about."""

    #: The destination is asked now: ``refuse`` if it cannot be.
    CONNECTING = 'connecting'
    #: The destination is to be made now: ``refuse`` if it cannot be.
    PREPARED = 'prepared'
    #: The source's CPUs stop.
    SWITCHOVER = 'switchover'
    #: The destination's CPUs go on, all memory is there.
    ARRIVED = 'arrived'
    #: Nothing is left to be done at the source.
    ENDED = 'ended'
    CANCELLED = 'cancelled'
    #: ``Transfer.error`` says why.
    FAILED = 'failed'
    POST_COPY_BROKEN = 'post-copy broken'
    #: Only the source's hypervisor thinks so; the copy goes on by itself.
    POST_COPY_GIVEN_UP = 'post-copy given up'
