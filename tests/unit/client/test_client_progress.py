"""What is said of a migration, for samples as services give them."""

import dataclasses
import datetime
import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from livemig.client import lines, progress

MIB = 1024 * 1024
EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def sample(
    at_s: float,
    status: str = 'running',
    sent: float | None = None,
    left: float | None = None,
    total: float | None = 1000,
    **more: Any,
) -> progress.Sample:
    """A sample with its memory counters in MiB."""
    if left is not None:
        more |= {
            'memory_total_bytes': int((total or 0) * MIB),
            'memory_processed_bytes': int((sent or 0) * MIB),
            'memory_remaining_bytes': int(left * MIB),
        }
    return progress.Sample(at_s=at_s, status=status, **more)


def disks(sent: float, left: float, total: float = 500) -> dict[str, int]:
    return {
        'disk_total_bytes': int(total * MIB),
        'disk_processed_bytes': int(sent * MIB),
        'disk_remaining_bytes': int(left * MIB),
    }


def follow(samples: list[progress.Sample]) -> list[progress.Progress]:
    told = []
    now = None
    for one in samples:
        now = progress.advance(now, one)
        told.append(now)
    return told


CASES: dict[str, tuple[list[progress.Sample], list[str]]] = {
    'statuses before the first byte': (
        [
            sample(0, 'accepted'),
            sample(1, 'queued', elapsed_s=1),
            sample(2, 'preparing', elapsed_s=2, timeout_s=800),
            sample(3, elapsed_s=3),
        ],
        [
            'queued',
            'queued  0:01',
            'preparing  0:02 / 13:20',
            'starting  0:03',
        ],
    ),
    'a job that has counted nothing yet': (
        [
            sample(
                *(1, 'running', 0, 0, 0),
                pass_number=1,
                throughput_bytes_per_s=0,
                elapsed_s=1,
            ),
        ],
        ['starting  0:01'],
    ),
    'what is dirtied is not known before a pass has ended': (
        [
            sample(
                *(1, 'running', 500, 500),
                pass_number=1,
                dirty_rate_bytes_per_s=0,
            ),
            sample(
                *(2, 'running', 900, 100),
                pass_number=2,
                dirty_rate_bytes_per_s=0,
            ),
        ],
        [
            'first pass 50%  500 MiB left of 1000 MiB',
            're-copying, pass 2  100 MiB left of 1000 MiB ↓  400 MiB/s'
            '  dirtied 0.0 MiB/s',
        ],
    ),
    'the first pass, seen from its start': (
        [
            sample(0, 'preparing'),
            sample(1, sent=0, left=1000),
            sample(3, sent=200, left=750),
            sample(4, sent=300, left=650),
        ],
        [
            'preparing',
            'first pass 0%  1000 MiB left of 1000 MiB',
            'first pass 25%  750 MiB left of 1000 MiB ↓  100 MiB/s',
            'first pass 35%  650 MiB left of 1000 MiB ↓  100 MiB/s',
        ],
    ),
    'remaining grows again: a re-copy without percentage': (
        [
            sample(0, sent=0, left=1000),
            sample(10, sent=990, left=10),
            sample(12, sent=1050, left=300),
            sample(13, sent=1150, left=200),
            sample(15, sent=1350, left=280),
        ],
        [
            'first pass 0%  1000 MiB left of 1000 MiB',
            'first pass 99%  10 MiB left of 1000 MiB ↓  99 MiB/s',
            're-copying, pass 2+  300 MiB left of 1000 MiB ↑  30 MiB/s'
            '  dirtied ~29 MiB/s',
            're-copying, pass 2+  200 MiB left of 1000 MiB ↓  100 MiB/s'
            '  dirtied ~29 MiB/s',
            # 80 more remain and 200 were sent: 280 in the 3 s of the pass.
            're-copying, pass 3+  280 MiB left of 1000 MiB ↑  100 MiB/s'
            '  dirtied ~93 MiB/s',
        ],
    ),
    'the service counts the passes and measures the rates': (
        [
            sample(
                0,
                sent=500,
                left=500,
                pass_number=1,
                throughput_bytes_per_s=100 * MIB,
                dirty_rate_bytes_per_s=5 * MIB,
            ),
            sample(
                5,
                sent=1100,
                left=40,
                pass_number=3,
                throughput_bytes_per_s=120 * MIB,
                dirty_rate_bytes_per_s=150 * MIB,
                elapsed_s=61,
                timeout_s=3600,
            ),
        ],
        [
            'first pass 50%  500 MiB left of 1000 MiB  100 MiB/s'
            '  dirtied 5.0 MiB/s',
            're-copying, pass 3  40 MiB left of 1000 MiB ↓  120 MiB/s'
            '  dirtied 150 MiB/s  1:01 / 1:00:00',
        ],
    ),
    'watching begins in the middle: no guess which pass it is': (
        [sample(0, sent=400, left=200), sample(1, sent=500, left=100)],
        [
            'copying memory  200 MiB left of 1000 MiB',
            'copying memory  100 MiB left of 1000 MiB ↓  100 MiB/s',
        ],
    ),
    'more was sent than there is: certainly a re-copy': (
        [sample(0, sent=1200, left=100)],
        ['re-copying, pass 2+  100 MiB left of 1000 MiB'],
    ),
    'disks first, then memory': (
        [
            sample(0, sent=0, left=0, total=0, **disks(0, 500)),
            sample(5, sent=0, left=0, total=0, **disks(250, 250)),
            sample(9, sent=0, left=0, total=0, **disks(300, 260)),
            sample(11, sent=100, left=900, **disks(500, 0)),
        ],
        [
            'disk copy 0%  500 MiB left of 500 MiB',
            'disk copy 50%  250 MiB left of 500 MiB ↓  50 MiB/s',
            # The guest wrote to its disk: rather no percentage than less.
            'disk copy  260 MiB left of 500 MiB ↑  12 MiB/s',
            'first pass 10%  900 MiB left of 1500 MiB  150 MiB/s',
        ],
    ),
    'the service counts more seldom than it is asked': (
        [
            sample(0, sent=0, left=1000),
            sample(5, sent=500, left=500),
            sample(6, sent=500, left=500),
            sample(19, sent=500, left=500),
            sample(21, sent=500, left=500),
        ],
        [
            'first pass 0%  1000 MiB left of 1000 MiB',
            'first pass 50%  500 MiB left of 1000 MiB ↓  100 MiB/s',
            'first pass 50%  500 MiB left of 1000 MiB ↓  100 MiB/s',
            'first pass 50%  500 MiB left of 1000 MiB ↓  100 MiB/s',
            'first pass 50%  500 MiB left of 1000 MiB ↓',
        ],
    ),
    'it counts and nothing moves': (
        [
            sample(0, sent=0, left=1000, counted_at=EPOCH),
            sample(
                5,
                sent=0,
                left=1000,
                counted_at=EPOCH + datetime.timedelta(seconds=4),
            ),
        ],
        [
            'first pass 0%  1000 MiB left of 1000 MiB',
            'first pass 0%  1000 MiB left of 1000 MiB →  0.0 MiB/s',
        ],
    ),
    "rates go by the service's clock": (
        [
            sample(0, sent=0, left=1000, counted_at=EPOCH),
            sample(
                9,
                sent=500,
                left=500,
                counted_at=EPOCH + datetime.timedelta(seconds=5),
            ),
        ],
        [
            'first pass 0%  1000 MiB left of 1000 MiB',
            'first pass 50%  500 MiB left of 1000 MiB ↓  100 MiB/s',
        ],
    ),
    'counters that begin anew give no rate': (
        [sample(0, sent=400, left=300), sample(1, sent=10, left=290)],
        [
            'copying memory  300 MiB left of 1000 MiB',
            'copying memory  290 MiB left of 1000 MiB ↓',
        ],
    ),
    'post-copy, with counters and without': (
        [
            sample(0, sent=1200, left=400),
            sample(1, 'running (post-copy)', sent=1200, left=400),
            sample(2, 'running (post-copy)', sent=1500, left=100),
            sample(3, 'running (post-copy)'),
        ],
        [
            're-copying, pass 2+  400 MiB left of 1000 MiB',
            'post-copy 0%  400 MiB left of 1000 MiB',
            'post-copy 75%  100 MiB left of 1000 MiB ↓  150 MiB/s',
            'post-copy',
        ],
    ),
    'the end tells how': (
        [
            sample(0, 'post-migrating', elapsed_s=9),
            sample(
                1,
                'completed',
                elapsed_s=10,
                completed_by='post-copy',
                downtime_ms=42,
                throughput_bytes_per_s=100 * MIB,
            ),
        ],
        [
            'finishing  0:09',
            'completed (post-copy) after 0:10, downtime 42 ms, 100 MiB/s',
        ],
    ),
    'an end that tells little': ([sample(0, 'completed')], ['completed']),
    'a reason cannot steer the terminal': (
        [sample(0, 'failed', elapsed_s=1, reason='no\x1b[2Jspace\nleft')],
        ['failed after 0:01: no [2Jspace left'],
    ),
    'a status of a later service': (
        [sample(0, 'pausing\x07')],
        ['pausing'],
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_line(case: str) -> None:
    samples, expected = CASES[case]
    assert [lines.line(now) for now in follow(samples)] == expected


def test_trends_without_unicode() -> None:
    down = follow([sample(0, sent=0, left=9), sample(1, sent=1, left=8)])
    up = follow([sample(0, sent=0, left=8), sample(1, sent=1, left=9)])
    assert '(falling)' in lines.line(down[-1], lines.ASCII)
    assert '(growing)' in lines.line(up[-1], lines.ASCII)


def test_forms_from_wide_to_narrow() -> None:
    growing = [sample(0, sent=1200, left=8), sample(1, sent=1300, left=9)]
    now = follow([dataclasses.replace(s, elapsed_s=61.0) for s in growing])[-1]
    wide = (
        'migration 12  re-copying, pass 3+  9.0 MiB left of 1000 MiB ↑  '
        '100 MiB/s  dirtied ~101 MiB/s  1:01'
    )
    middle = wide.replace(' of 1000 MiB', '')
    narrow = middle.replace('migration 12', '12').replace('re-copying, ', '')

    def fitting(width: int) -> str:
        return lines.fitting(now, 12, lines.UNICODE, width)

    assert fitting(200) == fitting(len(wide)) == wide
    assert fitting(len(wide) - 1) == fitting(len(middle)) == middle
    assert fitting(len(middle) - 1) == fitting(len(narrow)) == narrow
    assert fitting(len(narrow) - 1) == narrow[:-1]


def test_json_says_what_is_unknown_and_what_is_estimated() -> None:
    now = follow([sample(0, sent=0, left=1000), sample(1, sent=100, left=900)])
    text = lines.as_json(now[-1], migration_id=7)
    assert '\n' not in text
    assert json.loads(text) == {
        'migration_id': 7,
        'status': 'running',
        'phase': 'first pass',
        'percent': 10,
        'pass_number': 1,
        'pass_exact': True,
        'remaining_bytes': 900 * MIB,
        'total_bytes': 1000 * MIB,
        'trend': 'falling',
        'throughput_bytes_per_s': 100 * MIB,
        'dirty_rate_bytes_per_s': None,
        'estimated': ['throughput_bytes_per_s'],
        'elapsed_s': None,
        'timeout_s': None,
        'reason': None,
        'completed_by': None,
        'downtime_ms': None,
    }


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0, '0:00'), (59.9, '0:59'), (60, '1:00'), (3723, '1:02:03')],
)
def test_duration(seconds: float, text: str) -> None:
    assert lines.duration(seconds) == text


_BYTES = strategies.none() | strategies.integers(0, 4)
_SAMPLES = strategies.lists(
    strategies.builds(
        progress.Sample,
        at_s=strategies.just(0.0),
        status=strategies.sampled_from(
            ['queued', 'preparing', 'running', 'running (post-copy)']
        ),
        memory_total_bytes=_BYTES,
        memory_processed_bytes=_BYTES,
        memory_remaining_bytes=_BYTES,
        disk_total_bytes=_BYTES,
        disk_processed_bytes=_BYTES,
        disk_remaining_bytes=_BYTES,
        pass_number=strategies.none() | strategies.integers(1, 3),
    ),
    max_size=12,
)


@hypothesis.given(_SAMPLES)
@hypothesis.settings(deadline=None, max_examples=100)
def test_no_percentage_runs_backwards(samples: list[progress.Sample]) -> None:
    """Whatever a service says: within a phase it only grows, or is absent."""
    at_s = 0.0
    phase, percent = '', 0
    for now in follow(samples):
        at_s += 1
        if now.phase != phase:
            phase, percent = now.phase, 0
        if now.percent is not None:
            assert percent <= now.percent <= 100
            percent = now.percent
        assert lines.line(now)
