"""Writes a migration's story down without ever blocking the monitor.

Two kinds of entries: *samples*, of which only the newest is kept and which
may be dropped; and *changes*, which are written in order and tried again
until the record's keeper takes them. A broker or a database that is away
for minutes therefore delays the record and ends no migration.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

from oslo_log import log

from livemig import concurrency, exception

LOG = log.getLogger(__name__)

#: Errors after which an entry is tried again, and how soon, s.
AWAY = (
    exception.BrokerUnreachable,
    exception.ReplyTimeout,
    exception.DatabaseUnreachable,
)
RETRY_S = 1.0

Change = Callable[[], None]


class Journal:
    """One migration's writer: a thread of its own."""

    def __init__(
        self,
        name: str,
        write_sample: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._name = name
        self._write_sample = write_sample
        self._changes: collections.deque[Change] = collections.deque()
        self._sample: Mapping[str, Any] | None = None
        self._wake = concurrency.Condition()
        self._closed = False
        self._busy = False
        self._thread = concurrency.spawn(self._run, name=f'journal-{name}')

    def sample(self, values: Mapping[str, Any]) -> None:
        """Note the newest figures; the ones before are forgotten."""
        with self._wake:
            self._sample = values
            self._wake.notify_all()

    def change(self, write: Change) -> None:
        """Note something that must be written, after all before it.

        ``write`` may be called more than once, so it must be harmless to
        repeat; any error but an unreachable keeper drops it, logged.
        """
        with self._wake:
            self._changes.append(write)
            self._wake.notify_all()

    def drained(self, patience_s: float) -> bool:
        """Wait until all is written or dropped; False if it is not.

        The last sample too: it must not come after the final figures.
        """
        with self._wake:
            return bool(
                self._wake.wait_for(
                    lambda: (
                        not self._changes
                        and self._sample is None
                        and not self._busy
                    ),
                    patience_s,
                )
            )

    def close(self) -> None:
        """Stop; what is not written by now is lost."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(
                    lambda: self._closed or self._changes or self._sample
                )
                if self._closed:
                    return
                self._busy = True
                change = self._changes[0] if self._changes else None
                sample, self._sample = self._sample, None
            if change is not None:
                self._try_change(change)
            if sample is not None:
                self._try_sample(sample)

    def _try_change(self, change: Change) -> None:
        try:
            change()
        except AWAY as exc:
            LOG.warning(
                'Migration %(name)s: the record cannot be written now '
                '(%(exc)s); the migration goes on, it is tried again.',
                {'name': self._name, 'exc': exc.message},
            )
            with self._wake:
                self._wake.wait_for(lambda: self._closed, RETRY_S)
            return
        except Exception:
            LOG.exception('Migration %s: an entry is dropped.', self._name)
        with self._wake:
            self._changes.popleft()

    def _try_sample(self, sample: Mapping[str, Any]) -> None:
        try:
            self._write_sample(sample)
        except AWAY as exc:
            LOG.debug('Sample dropped: %s', exc.message)
        except Exception:
            LOG.exception('Migration %s: a sample is dropped.', self._name)
