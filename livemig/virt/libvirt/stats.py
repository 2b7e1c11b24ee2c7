"""libvirt's job statistics (a dict) -> JobStats. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import libvirt

from livemig.virt.job import GuestState, JobState, JobStats, Reason

#: JobStats field -> libvirt's key, where one is the other.
_PLAIN: Mapping[str, str] = {
    'elapsed_ms': libvirt.VIR_DOMAIN_JOB_TIME_ELAPSED,
    'memory_total_bytes': libvirt.VIR_DOMAIN_JOB_MEMORY_TOTAL,
    'memory_processed_bytes': libvirt.VIR_DOMAIN_JOB_MEMORY_PROCESSED,
    'memory_remaining_bytes': libvirt.VIR_DOMAIN_JOB_MEMORY_REMAINING,
    'disk_total_bytes': libvirt.VIR_DOMAIN_JOB_DISK_TOTAL,
    'disk_processed_bytes': libvirt.VIR_DOMAIN_JOB_DISK_PROCESSED,
    'disk_remaining_bytes': libvirt.VIR_DOMAIN_JOB_DISK_REMAINING,
    'memory_bytes_per_s': libvirt.VIR_DOMAIN_JOB_MEMORY_BPS,
    'pass_number': libvirt.VIR_DOMAIN_JOB_MEMORY_ITERATION,
    'downtime_ms': libvirt.VIR_DOMAIN_JOB_DOWNTIME,
    'postcopy_requests': libvirt.VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS,
    'auto_converge_percent': libvirt.VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE,
}

_POST_COPY: Mapping[Reason, JobState] = {
    Reason.POST_COPY: JobState.POST_COPY,
    Reason.POST_COPY_FAILED: JobState.POST_COPY_FAILED,
}

_MIGRATIONS = frozenset(
    {
        libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN,
        libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT,
    }
)


def is_outgoing(params: Mapping[str, object]) -> bool:
    """Is a migration that leaves this host under way?

    A job of another kind (a snapshot, a dump) is none of ours.
    """
    out = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
    return is_active(params) and bool(
        params[libvirt.VIR_DOMAIN_JOB_OPERATION] == out
    )


def is_active(params: Mapping[str, object]) -> bool:
    """Is a migration, out or in, under way?"""
    none = libvirt.VIR_DOMAIN_JOB_NONE
    return params.get('type', none) != none and is_migration(params)


def is_migration(params: Mapping[str, object]) -> bool:
    """Are these the figures of a migration? Events carry no 'type'."""
    return params.get(libvirt.VIR_DOMAIN_JOB_OPERATION) in _MIGRATIONS


def read(params: Mapping[str, object], state: JobState) -> JobStats:
    """All figures. libvirt counts the dirty rate in pages a second."""
    figures = {field: _number(params, key) for field, key in _PLAIN.items()}
    dirty = _number(
        params, libvirt.VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE
    ) * _number(params, libvirt.VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE)
    return JobStats(state=state, dirty_bytes_per_s=dirty, **figures)


def running(params: Mapping[str, object], guest: GuestState) -> JobStats:
    """A reading of a job that is under way.

    The job's type is the same before and in post-copy, and even after
    post-copy has failed; the guest's state tells. All counters are 0 until
    the destination is prepared.
    """
    known = _POST_COPY.get(guest.reason)
    if known is not None:
        return read(params, known)
    figures = read(params, JobState.ACTIVE)
    if figures.memory_total_bytes or figures.disk_total_bytes:
        return figures
    return read(params, JobState.STARTING)


def completed(params: Mapping[str, object]) -> JobStats | None:
    """The figures of a migration that has ended well; None: no such."""
    if not is_migration(params):
        return None
    return read(params, JobState.NONE)


def _number(params: Mapping[str, object], key: str) -> int:
    value = params.get(key, 0)
    return value if isinstance(value, int) and value >= 0 else 0
