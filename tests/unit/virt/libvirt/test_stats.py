"""Readings as libvirt 9.0 gave them, and what they mean."""

from __future__ import annotations

import pytest

from livemig.virt.job import GuestState, JobState, JobStats, Power, Reason
from livemig.virt.libvirt import stats

RUNNING = GuestState(Power.RUNNING)
PREPARING = {'type': 2, 'operation': 5, 'time_elapsed': 120}
DISK = PREPARING | {
    'disk_total': 268435456,
    'disk_processed': 16777216,
    'disk_remaining': 251658240,
    'memory_total': 0,
}
MEMORY = PREPARING | {
    'memory_total': 1000,
    'memory_processed': 300,
    'memory_remaining': 700,
    'memory_bps': 52428800,
    'memory_dirty_rate': 2500,
    'memory_page_size': 4096,
    'memory_iteration': 3,
    'memory_postcopy_requests': 7,
    'auto_converge_throttle': 40,
    'downtime': 300,
    'disk_total': 50,
    'disk_processed': 50,
    'disk_remaining': 0,
}


def test_all_figures_in_their_units() -> None:
    assert stats.running(MEMORY, RUNNING) == JobStats(
        state=JobState.ACTIVE,
        elapsed_ms=120,
        memory_total_bytes=1000,
        memory_processed_bytes=300,
        memory_remaining_bytes=700,
        disk_total_bytes=50,
        disk_processed_bytes=50,
        disk_remaining_bytes=0,
        memory_bytes_per_s=52428800,
        # 2500 pages a second of 4 KiB.
        dirty_bytes_per_s=10240000,
        pass_number=3,
        downtime_ms=300,
        postcopy_requests=7,
        auto_converge_percent=40,
    )


@pytest.mark.parametrize(
    ('params', 'reason', 'state'),
    [
        (PREPARING, Reason.NORMAL, JobState.STARTING),
        (PREPARING | {'memory_total': 0}, Reason.NORMAL, JobState.STARTING),
        (DISK, Reason.NORMAL, JobState.ACTIVE),
        (MEMORY, Reason.NORMAL, JobState.ACTIVE),
        (MEMORY, Reason.MIGRATION, JobState.ACTIVE),
        # The type stays 2 in post-copy, and even when that has failed.
        (MEMORY, Reason.POST_COPY, JobState.POST_COPY),
        (MEMORY, Reason.POST_COPY_FAILED, JobState.POST_COPY_FAILED),
        (PREPARING, Reason.POST_COPY, JobState.POST_COPY),
    ],
)
def test_the_guest_tells_the_state_of_the_job(
    params: dict[str, object], reason: Reason, state: JobState
) -> None:
    guest = GuestState(Power.PAUSED, reason)
    assert stats.running(params, guest).state is state


@pytest.mark.parametrize(
    ('params', 'out', 'active'),
    [
        ({'type': 0}, False, False),
        ({}, False, False),
        ({'type': 2, 'operation': 5}, True, True),
        ({'type': 1, 'operation': 5}, True, True),
        ({'type': 2, 'operation': 4}, False, True),
        # A snapshot, a dump, a backup: not ours to abort.
        ({'type': 2, 'operation': 6}, False, False),
        ({'type': 2, 'operation': 8}, False, False),
        ({'type': 2, 'operation': 9}, False, False),
        ({'type': 0, 'operation': 5}, False, False),
    ],
)
def test_only_migrations_count(
    params: dict[str, object], out: bool, active: bool
) -> None:
    assert stats.is_outgoing(params) is out
    assert stats.is_active(params) is active


def test_final_figures_of_an_event_have_no_type() -> None:
    figures = stats.completed({'operation': 5, 'downtime': 42})
    assert figures == JobStats(state=JobState.NONE, downtime_ms=42)
    arrived = stats.completed({'type': 3, 'operation': 4, 'time_elapsed': 9})
    assert arrived == JobStats(state=JobState.NONE, elapsed_ms=9)


@pytest.mark.parametrize(
    'params', [{}, {'type': 0}, {'type': 3, 'operation': 6, 'downtime': 1}]
)
def test_no_final_figures_of_anything_else(params: dict[str, object]) -> None:
    assert stats.completed(params) is None
