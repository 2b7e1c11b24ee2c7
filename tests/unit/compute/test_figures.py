"""The final figures of a migration: what is known, and nothing else."""

import pytest

from livemig.compute import figures
from livemig.compute.convergence import Seen
from livemig.virt.job import JobState, JobStats

MIB = 1024**2


@pytest.mark.parametrize(
    ('seen', 'by'),
    [
        (Seen(), 'converged'),
        (Seen(max_downtime_ms=500), 'converged'),
        (Seen(paused_at_s=1, limits_lifted=True), 'pause'),
        # It came between the lifting of the limits and the pause.
        (Seen(limits_lifted=True), 'pause'),
        # A guest its user had paused is not paused again.
        (Seen(limits_lifted=True, user_paused=True), 'converged'),
        (Seen(post_copy_started=True), 'post-copy'),
        (Seen(post_copy_started=True, limits_lifted=True), 'post-copy'),
    ],
)
def test_what_made_it_complete(seen, by):
    assert figures.completed_by(seen) == by


def test_a_downtime_of_post_copy_means_nothing():
    """8 ms where a guest stood still for 38 s (QEMU 7.2)."""
    done = JobStats(JobState.NONE, downtime_ms=8)
    assert figures.downtime_ms(done, 'post-copy') is None
    assert figures.downtime_ms(done, 'pause') == 8
    assert figures.downtime_ms(None, 'pause') is None


def test_the_mean_speed_counts_disks_and_memory():
    done = JobStats(
        JobState.NONE,
        elapsed_ms=4000,
        memory_processed_bytes=30 * MIB,
        disk_processed_bytes=10 * MIB,
    )
    assert figures.throughput_bytes_per_s(done) == 10 * MIB
    assert figures.throughput_bytes_per_s(None) is None
    assert figures.throughput_bytes_per_s(JobStats(JobState.NONE)) is None
