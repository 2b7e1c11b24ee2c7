"""Whose hands an instance is in: one thread at a time changes its guest."""

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
