"""The final figures of a migration. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livemig.compute.convergence import Seen
from livemig.objects.migration import Migration
from livemig.virt.job import JobStats

CONVERGED = 'converged'
POST_COPY = 'post-copy'
PAUSE = 'pause'


def completed_by(seen: Seen) -> str:
    """What made it complete."""
    if seen.post_copy_started:
        return POST_COPY
    lifted = seen.limits_lifted and not seen.user_paused
    if seen.paused_at_s is not None or lifted:
        return PAUSE
    return CONVERGED


def downtime_ms(job: JobStats | None, by: str | None) -> int | None:
    """What the hypervisor measured; None for post-copy, whose figure says
    8 ms where a guest stood still for 38 s (QEMU 7.2)."""
    if job is None or by == POST_COPY:
        return None
    return job.downtime_ms


def throughput_bytes_per_s(job: JobStats | None) -> int | None:
    """Mean over the whole job."""
    if job is None or not job.elapsed_ms:
        return None
    return int(job.transferred_bytes * 1000 / job.elapsed_ms)


def moved(
    ended: JobStats | None, last: JobStats | None, seen: Seen
) -> dict[str, Any]:
    """The columns of a migration whose guest has arrived.

    :param ended: the figures of the ended job; None if nobody told them.
    :param last: the last reading before, whose downtime was a forecast.
    """
    by = completed_by(seen)
    job = ended or last
    values: dict[str, Any] = {
        'completed_by': by,
        'downtime_ms': downtime_ms(ended, by),
        'throughput_bytes_per_s': throughput_bytes_per_s(job),
        'reason': None,
    }
    if job is not None:
        values |= {
            'memory_total': job.memory_total_bytes,
            'memory_processed': job.memory_processed_bytes,
            'memory_remaining': 0,
            'disk_total': job.disk_total_bytes,
            'disk_processed': job.disk_processed_bytes,
            'disk_remaining': 0,
            'pass_number': job.pass_number,
            'elapsed_s': job.elapsed_ms / 1000,
        }
    return values


def final(
    job: Mapping[str, Any] | None, migration: Migration
) -> dict[str, Any]:
    """The destination's figures, where the source had none."""
    if job is None:
        return {}
    stats = JobStats.from_dict(dict(job))
    values: dict[str, Any] = {}
    if migration.downtime_ms is None:
        values['downtime_ms'] = downtime_ms(stats, migration.completed_by)
    if migration.throughput_bytes_per_s is None:
        values['throughput_bytes_per_s'] = throughput_bytes_per_s(stats)
    return values
