"""Follows one live migration to its end and tells about it."""

import datetime
import shutil
from typing import Any, Protocol, TextIO

from livemig.client import errors, lines, lookup, progress
from livemig.client.compute import Compute, Json
from livemig.client.waiting import Clock, Waiter

#: Without a terminal a line is written when the phase changes, and at least
#: so often, in seconds.
PLAIN_EVERY_S = 10.0

_COUNTERS = (
    'memory_total_bytes',
    'memory_processed_bytes',
    'memory_remaining_bytes',
    'disk_total_bytes',
    'disk_processed_bytes',
    'disk_remaining_bytes',
)
#: From 2.202, or later still: absent or null where the service has no such.
_TOLD = (
    'timeout_s',
    'pass_number',
    'dirty_rate_bytes_per_s',
    'throughput_bytes_per_s',
    'reason',
    'completed_by',
    'downtime_ms',
)


class Teller(Protocol):
    """Where the story goes: a terminal, a file, a program."""

    def tell(self, now: progress.Progress) -> None:
        """The newest state, ended ones too."""

    def tell_silence(self, silent_s: float) -> None:
        """The service has not answered for so long."""

    def close(self) -> None:
        """Nothing more will be told."""


class Migration:
    """The readings of one live migration, over the time it is watched."""

    def __init__(
        self, compute: Compute, clock: Clock, server: str, migration_id: int
    ) -> None:
        self._compute = compute
        self._clock = clock
        self._server = server
        self.id = migration_id
        self._base: tuple[float, float] | None = None

    def sample(self) -> progress.Sample:
        """What the service says now, wherever it says it.

        The server's own list has the counters, but only while the migration
        is in progress; the list of all migrations has every status.

        :raises NotFound: if the server has no such live migration.
        """
        try:
            row = self._compute.get(
                f'/servers/{self._server}/migrations/{self.id}'
            )['migration']
        except errors.NotFound as error:
            row = self._from_all(error)
        return self._sample(row)

    def _from_all(self, error: errors.NotFound) -> Json:
        for row in lookup.migrations_of(self._compute, self._server):
            if row['id'] == self.id:
                return row
        raise error

    def _sample(self, row: Json) -> progress.Sample:
        counted_at = parse_time(row.get('updated_at'))
        counters: Any = {name: row.get(name) for name in _COUNTERS + _TOLD}
        return progress.Sample(
            at_s=self._clock.monotonic_s(),
            status=row['status'],
            counted_at=counted_at,
            elapsed_s=self._elapsed_s(row, counted_at),
            **counters,
        )

    def _elapsed_s(
        self, row: Json, updated_at: datetime.datetime | None
    ) -> float | None:
        """Since the request, as told, or by the service's own clock.

        Its clock and ours may differ: so its two times give the start, and
        only what has passed since the first reading is measured here. An
        ended migration's last change is its end.
        """
        if row.get('elapsed_s') is not None:
            return float(row['elapsed_s'])
        created_at = parse_time(row.get('created_at'))
        if created_at is None:
            return None
        changed_at = updated_at or created_at
        by_service_s = (changed_at - created_at).total_seconds()
        if row['status'] in progress.FINAL:
            return by_service_s
        now_s = self._clock.monotonic_s()
        if self._base is None:
            self._base = (now_s, by_service_s)
        began_s, then_s = self._base
        return max(by_service_s, then_s + now_s - began_s)


def follow(migration: Migration, waiter: Waiter, teller: Teller) -> None:
    """Tell about a migration until it has completed.

    :raises EndedOtherwise: if it ended in another way.
    :raises WaitedTooLong, Interrupted, Unreachable: see Waiter.
    """
    now: progress.Progress | None = None

    def ask() -> progress.Progress | None:
        nonlocal now
        now = progress.advance(now, migration.sample())
        teller.tell(now)
        return now if now.ended else None

    try:
        ended = waiter.until(ask, teller.tell_silence)
    finally:
        teller.close()
    if ended.sample.status != 'completed':
        why = ended.sample.reason or 'the service gives no reason'
        raise errors.EndedOtherwise(
            f'Migration {migration.id} did not complete '
            f'({ended.sample.status}): {why}'
        )


class TerminalTeller:
    """One line that is written over and over."""

    def __init__(self, out: TextIO, migration_id: int) -> None:
        self._out = out
        self._id = migration_id
        self._title = f'migration {migration_id}'
        encoding = (out.encoding or '').lower().replace('-', '')
        self._arrows = lines.UNICODE if encoding == 'utf8' else lines.ASCII
        self._open = False

    def tell(self, now: progress.Progress) -> None:
        if now.ended:
            # Nothing is written over it, so it may take two lines. A reason
            # follows as the error's, in full.
            self._write(f'{self._title}  {lines.outcome(now)}')
            self.close()
            return
        self._write(lines.fitting(now, self._id, self._arrows, self._width()))

    def tell_silence(self, silent_s: float) -> None:
        text = f'no answer from the service for {silent_s:.0f} s'
        self._write(f'{self._title}  {text}'[: self._width()])

    def close(self) -> None:
        if self._open:
            self._out.write('\n')
            self._out.flush()
        self._open = False

    def _width(self) -> int:
        """Asked each time: a person may resize the terminal. One column is
        left free, since in the last one some terminals start a new line."""
        return max(20, shutil.get_terminal_size().columns - 1)

    def _write(self, text: str) -> None:
        # Back to the margin, write, erase what an older line left behind.
        self._out.write(f'\r{text}\x1b[K')
        self._out.flush()
        self._open = True


class PlainTeller:
    """A line at each change of phase, and one now and then."""

    def __init__(self, out: TextIO, title: str, clock: Clock) -> None:
        self._out = out
        self._title = errors.printable(title)
        self._clock = clock
        self._told: tuple[str, int | None] | None = None
        self._told_s = 0.0

    def tell(self, now: progress.Progress) -> None:
        told = (now.sample.status + now.phase, now.pass_number)
        late = self._clock.monotonic_s() - self._told_s >= PLAIN_EVERY_S
        if told != self._told or late:
            self._write(lines.line(now, lines.ASCII))
        self._told = told

    def tell_silence(self, silent_s: float) -> None:
        if self._clock.monotonic_s() - self._told_s >= PLAIN_EVERY_S:
            self._write(f'no answer from the service for {silent_s:.0f} s')

    def close(self) -> None:
        pass

    def _write(self, text: str) -> None:
        self._out.write(f'{self._title}  {text}\n')
        self._out.flush()
        self._told_s = self._clock.monotonic_s()


class JsonTeller:
    """One JSON object on a line of its own, for each reading."""

    def __init__(self, out: TextIO, server: str, migration_id: int) -> None:
        self._out = out
        self._ids = {'migration_id': migration_id, 'server_uuid': server}

    def tell(self, now: progress.Progress) -> None:
        self._out.write(lines.as_json(now, **self._ids) + '\n')
        self._out.flush()

    def tell_silence(self, silent_s: float) -> None:
        """Readers of JSON see by the time between lines that none came."""

    def close(self) -> None:
        pass


def parse_time(text: str | None) -> datetime.datetime | None:
    """A time of the API, which is UTC with or without saying so."""
    if text is None:
        return None
    read = datetime.datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=datetime.UTC)
