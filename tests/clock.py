"""A clock that moves when somebody waits on it, as fast as it can."""

from __future__ import annotations

import datetime
import heapq
import itertools
import math
import threading
from collections.abc import Callable

from livemig import concurrency

#: Real seconds after which something that should have happened has not.
PATIENCE_S = 30.0


class VirtualClock(concurrency.Clock):
    """Virtual time, from 0 s and ``epoch`` on.

    Who waits moves time to the end of his wait at once, but never beyond
    ``limit_s``: there he blocks until the limit is raised or his event is
    set. Functions registered with ``at`` are called as time passes them:
    in order, once, in the waiting thread, holding no lock; time stands
    still for everybody else until the function has returned.

    A wait without end (``seconds=None``) moves nothing: it waits for its
    event.
    """

    def __init__(
        self,
        limit_s: float = math.inf,
        epoch: datetime.datetime = datetime.datetime(
            2026, 1, 1, tzinfo=datetime.UTC
        ),
    ) -> None:
        self._epoch = epoch
        self._changed = threading.Condition()
        self._now_s = 0.0
        self._limit_s = limit_s
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        #: The thread that runs a registered function just now, and how
        #: many (one may wait and so run the next).
        self._runner: int | None = None
        self._depth = 0
        #: Events of the waits that stand at the limit.
        self._blocked: dict[object, threading.Event] = {}

    # -- the clock ----------------------------------------------------------
    def now(self) -> datetime.datetime:
        return self._epoch + datetime.timedelta(seconds=self._now_s)

    def monotonic_s(self) -> float:
        return self._now_s

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        if seconds is None:
            return event.wait()
        deadline_s = self._now_s + max(0.0, seconds)
        while not event.is_set():
            call, limit_s = self._step(deadline_s)
            if call is not None:
                self._run(call)
            elif self._now_s >= deadline_s:
                break
            else:
                self._block(event, limit_s)
        return event.is_set()

    def _step(
        self, deadline_s: float
    ) -> tuple[Callable[[], object] | None, float]:
        """Move as far as allowed: (function to call, limit in force)."""
        me = threading.get_ident()
        with self._changed:
            still = self._changed.wait_for(
                lambda: self._runner in (None, me), PATIENCE_S
            )
            if not still:
                raise AssertionError(
                    'A function registered with at() does not return.'
                )
            target_s = min(deadline_s, self._limit_s)
            call = None
            if self._calls and self._calls[0][0] <= target_s:
                target_s, _, call = heapq.heappop(self._calls)
                self._runner = me
                self._depth += 1
            if target_s > self._now_s:
                self._now_s = target_s
                self._changed.notify_all()
            return call, self._limit_s

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        finally:
            with self._changed:
                self._depth -= 1
                if not self._depth:
                    self._runner = None
                    self._changed.notify_all()

    def _block(self, event: threading.Event, limit_s: float) -> None:
        """Stand at the limit until it is raised or the event is set."""
        token = object()
        with self._changed:
            if self._limit_s > limit_s:
                return
            self._blocked[token] = event
            self._changed.notify_all()
        # The event's own condition wakes us for both reasons.
        condition = event._cond  # type: ignore[attr-defined]
        try:
            with condition:
                condition.wait_for(
                    lambda: event.is_set() or self._limit_s > limit_s
                )
        finally:
            with self._changed:
                self._blocked.pop(token, None)

    # -- for tests ----------------------------------------------------------
    @property
    def limit_s(self) -> float:
        return self._limit_s

    @limit_s.setter
    def limit_s(self, limit_s: float) -> None:
        """Let time go on up to there; it can only be raised."""
        with self._changed:
            if limit_s <= self._limit_s:
                return
            self._limit_s = limit_s
            events = list(self._blocked.values())
            # So that until_blocked() does not count those about to go on.
            self._blocked.clear()
        for event in events:
            condition = event._cond  # type: ignore[attr-defined]
            with condition:
                condition.notify_all()

    def at(self, time_s: float, fn: Callable[[], object]) -> None:
        """Have ``fn()`` called when time reaches ``time_s``; what is past
        is called at the next wait."""
        with self._changed:
            heapq.heappush(self._calls, (time_s, next(self._order), fn))

    def advance(self, seconds: float) -> None:
        """Move time on by that much, calling what is due, whoever waits;
        raises the limit if need be."""
        self.limit_s = self._now_s + seconds
        self.wait(threading.Event(), seconds)

    def until_blocked(self, count: int = 1) -> None:
        """Wait (really) until that many waits stand at the limit."""

        def standing() -> int:
            return sum(not e.is_set() for e in self._blocked.values())

        with self._changed:
            if not self._changed.wait_for(
                lambda: standing() >= count, PATIENCE_S
            ):
                raise AssertionError(
                    f'{standing()} waits stand at the limit, not {count}.'
                )

    def until(self, time_s: float) -> None:
        """Wait (really) until others have moved time to ``time_s``."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._now_s >= time_s, PATIENCE_S
            ):
                raise AssertionError(f'It is {self._now_s} s, not {time_s} s.')
