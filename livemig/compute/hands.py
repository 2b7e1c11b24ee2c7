"""Whose hands an instance is in: one thread at a time changes its guest.

Two ways to keep the others off: ``Hands`` sends them away, ``Turns`` has
them wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from livemig import concurrency


class Hands:
    """The instances of a host that somebody is at."""

    def __init__(self) -> None:
        self._lock = concurrency.Lock()
        self._busy: set[str] = set()

    @contextlib.contextmanager
    def alone(self, instance_uuid: str) -> Iterator[bool]:
        """Only one thread at a time makes, changes or destroys a guest.

        A message and the periodic look at the records may find the same
        work; a disk made twice would be taken from a guest that runs.

        :returns: False if another one is at it: whatever is still to be
            done then is found on the record.
        """
        with self._lock:
            alone = instance_uuid not in self._busy
            self._busy.add(instance_uuid)
        try:
            yield alone
        finally:
            if alone:
                with self._lock:
                    self._busy.discard(instance_uuid)


class Turns:
    """One thread at a time for each instance; the others wait."""

    def __init__(self) -> None:
        self._lock = concurrency.Condition()
        self._taken: set[str] = set()

    @contextlib.contextmanager
    def of(self, instance_uuid: str) -> Iterator[None]:
        with self._lock:
            self._lock.wait_for(lambda: instance_uuid not in self._taken)
            self._taken.add(instance_uuid)
        try:
            yield
        finally:
            with self._lock:
                self._taken.discard(instance_uuid)
                self._lock.notify_all()
