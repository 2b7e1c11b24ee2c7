"""Watching a migration that happens on virtual time."""

import datetime
from typing import Any

import pytest

from tests.functional.client.conftest import Clock, Run
from tests.functional.client.standin import StandIn

MIB = 1024 * 1024
#: When the stand-in's migrations are created; no zone, as on the wire.
EPOCH = datetime.datetime(2026, 1, 1)  # noqa: DTZ001


def counters(sent: int, left: int, total: int = 1000) -> dict[str, int]:
    return {
        'memory_total_bytes': total * MIB,
        'memory_processed_bytes': sent * MIB,
        'memory_remaining_bytes': left * MIB,
    }


class Story:
    """Lets a server's migration go through what a test says, in time."""

    def __init__(self, standin: StandIn, clock: Clock) -> None:
        self.standin, self.clock = standin, clock
        self.server = standin.server('web')
        self.migration = standin.migration(self.server, 'queued')

    def at(self, time_s: float, **fields: Any) -> None:
        changed = (EPOCH + datetime.timedelta(seconds=time_s)).isoformat(
            timespec='microseconds'
        )
        row = self.standin.migrations[self.migration]
        self.clock.at(time_s, lambda: row.update(updated_at=changed, **fields))


@pytest.fixture
def story(standin: StandIn, clock: Clock) -> Story:
    return Story(standin, clock)


def test_lines_for_a_file(livemig: Run, story: Story) -> None:
    story.at(2, status='preparing')
    story.at(4, status='running', **counters(0, 1000))
    story.at(8, **counters(400, 600))
    story.at(12, **counters(950, 50))
    story.at(14, **counters(1100, 500))
    story.at(
        20,
        status='completed',
        completed_by='pause',
        downtime_ms=80,
        throughput_bytes_per_s=90 * MIB,
    )
    outcome = livemig('migration', 'watch', 'web')
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines() == [
        'migration 1  queued  0:00',
        'migration 1  preparing  0:02',
        'migration 1  first pass 0%  1000 MiB left of 1000 MiB  0:04',
        'migration 1  re-copying, pass 2+  500 MiB left of 1000 MiB '
        '(growing)  75 MiB/s  dirtied ~60 MiB/s  0:14',
        'migration 1  completed (pause) after 0:20, downtime 80 ms, 90 MiB/s',
    ]


def test_a_line_now_and_then_where_no_phase_changes(
    livemig: Run, story: Story
) -> None:
    story.at(25, status='completed')
    outcome = livemig('migration', 'watch', 'web', '1')
    assert [line.split('  ')[1:] for line in outcome.out.splitlines()] == [
        ['queued', '0:00'],
        ['queued', '0:10'],
        ['queued', '0:20'],
        ['completed after 0:25'],
    ]


def test_json_lines(livemig: Run, story: Story) -> None:
    story.at(2, status='running', **counters(0, 1000), reason='why not')
    story.at(4, status='completed')
    outcome = livemig(
        *['migration', 'watch', 'web', '-f', 'json', '--interval', '2']
    )
    assert outcome.code == 0
    told = outcome.json_lines()
    assert [row['status'] for row in told] == [
        'queued',
        'running',
        'completed',
    ]
    assert told[1]['percent'] == 0
    assert told[1]['reason'] == 'why not'
    assert told[0]['migration_id'] == story.migration
    assert told[0]['server_uuid'] == story.server


@pytest.mark.parametrize('status', ['cancelled', 'failed', 'error'])
def test_an_end_that_is_not_completion(
    livemig: Run, story: Story, status: str
) -> None:
    story.at(3, status=status, reason='No space left.')
    outcome = livemig('migration', 'watch', 'web')
    assert outcome.code == 5
    assert outcome.err == (
        f'Migration 1 did not complete ({status}): No space left.\n'
    )
    assert f'{status} after 0:03: No space left.\n' in outcome.out


def test_an_older_service_hides_post_copy_and_tells_no_reason(
    livemig: Run, standin: StandIn, story: Story
) -> None:
    standin.highest = '2.100'
    story.at(1, status='running', **counters(1200, 100))
    story.at(2, status='running (post-copy)')
    story.at(3, status='completed', reason='Not told.')
    outcome = livemig('migration', 'watch', 'web')
    assert outcome.code == 0
    assert [line.split('  ')[1] for line in outcome.out.splitlines()] == [
        'queued',
        're-copying, pass 2+',
        'post-copy',
        'completed after 0:03',
    ]


def test_a_migration_that_has_long_ended(
    livemig: Run, standin: StandIn, story: Story
) -> None:
    standin.migrations[1]['status'] = 'completed'
    assert livemig('migration', 'watch', 'web', '1').code == 0
    assert livemig('migration', 'watch', 'web').code == 3
    assert livemig('migration', 'watch', 'web', '2').code == 3


def test_the_end_is_found_among_many(
    livemig: Run, standin: StandIn, story: Story
) -> None:
    standin.page_size = 2
    for _ in range(5):
        standin.migration(story.server, 'cancelled')
    story.at(2, status='completed')
    assert livemig('migration', 'watch', 'web', '1').code == 0


def test_patience_ends(livemig: Run, story: Story, clock: Clock) -> None:
    outcome = livemig('migration', 'watch', 'web', '--timeout', '30')
    assert outcome.code == 124
    assert 'migration 1 goes on' in outcome.err
    assert clock.monotonic_s() == 30


def test_ctrl_c_stops_watching_only(
    livemig: Run, standin: StandIn, story: Story, clock: Clock
) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    clock.at(5, press)
    outcome = livemig('migration', 'watch', 'web')
    assert outcome.code == 130
    assert outcome.err == (
        'Interrupted; migration 1 goes on ("livemig live-migration-abort '
        'web 1" would abort it).\n'
    )
    assert standin.asked('DELETE') == []


def test_a_restart_of_the_service_is_sat_out(
    livemig: Run, standin: StandIn, story: Story, clock: Clock
) -> None:
    clock.at(5, lambda: standin.refuse('GET', '', 503, 'Starting.'))
    clock.at(50, standin.refusals.clear)
    story.at(60, status='completed')
    outcome = livemig('migration', 'watch', 'web')
    assert outcome.code == 0
    silences = [
        line for line in outcome.out.splitlines() if 'no answer' in line
    ]
    assert silences[0] == ('migration 1  no answer from the service for 5 s')
    assert len(silences) == 4


def test_a_service_that_stays_away(
    livemig: Run, standin: StandIn, story: Story, clock: Clock
) -> None:
    clock.at(5, lambda: standin.refuse('GET', '', 503, 'Starting.'))
    outcome = livemig('migration', 'watch', 'web')
    assert outcome.code == 6
    assert clock.monotonic_s() == 65


def test_the_end_is_when_it_was_not_when_it_was_seen(
    livemig: Run, story: Story, clock: Clock
) -> None:
    story.at(2, status='completed')
    outcome = livemig('migration', 'watch', 'web', '--interval', '9')
    assert clock.monotonic_s() == 9
    assert 'completed after 0:02' in outcome.out


def test_elapsed_time_from_the_middle(
    livemig: Run, standin: StandIn, story: Story, clock: Clock
) -> None:
    """By the service's clock: ours may say something else."""
    standin.migrations[1].update(
        status='running', updated_at='2026-01-01T00:05:00.000000'
    )
    clock.at(3, lambda: standin.migrations[1].update(status='preparing'))
    outcome = livemig('migration', 'watch', 'web', '--timeout', '4')
    times = [line.split('  ')[-1] for line in outcome.out.splitlines()]
    assert times == ['5:00', '5:03']


# -- server migrate --wait ---------------------------------------------------
def begin(
    standin: StandIn, server: str, status: str = 'queued', **fields: Any
) -> int:
    standin.servers[server]['OS-EXT-STS:task_state'] = 'migrating'
    return standin.migration(server, status, **fields)


def test_migrate_waits_for_its_own_migration(
    livemig: Run, standin: StandIn, clock: Clock
) -> None:
    server = standin.server('web')
    standin.migration(server, 'cancelled')

    def accepted(_: str) -> None:
        standin.servers[server]['OS-EXT-STS:task_state'] = 'migrating'
        clock.at(2, lambda: begin(standin, server))
        clock.at(4, lambda: standin.migrations[2].update(status='completed'))

    standin.on['os-migrateLive'] = accepted
    outcome = livemig('server', 'migrate', '--live', '--wait', 'web')
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1].startswith('migration 2  completed')
    assert clock.monotonic_s() == 4


def test_migrate_waits_for_one_that_fails_at_once(
    livemig: Run, standin: StandIn
) -> None:
    server = standin.server('web')
    standin.on['os-migrateLive'] = lambda _: standin.migration(
        server, 'error', reason='No valid host.'
    )
    outcome = livemig('server', 'migrate', '--live', '--wait', 'web')
    assert outcome.code == 5
    assert 'No valid host.' in outcome.err


def test_migrate_that_begins_nothing(livemig: Run, standin: StandIn) -> None:
    standin.server('web')
    outcome = livemig('server', 'migrate', '--live', '--wait', 'web')
    assert outcome.code == 5
    assert 'No migration' in outcome.err


def test_migrate_waits_no_longer_than_told(
    livemig: Run, standin: StandIn, clock: Clock
) -> None:
    server = standin.server('web')
    standin.on['os-migrateLive'] = lambda _: begin(standin, server)
    words = 'server migrate --live --wait --timeout 9 web'
    assert livemig(*words.split()).code == 124
    assert clock.monotonic_s() == 9
