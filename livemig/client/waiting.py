"""Time as the commands see it, handed in so that tests need not wait."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from livemig.client import errors

T = TypeVar('T')

#: How long an unreachable service is put up with while waiting, in seconds.
#: Long enough for a restart of the API, short enough for a person.
PATIENCE_S = 60.0


class Clock(Protocol):
    def monotonic_s(self) -> float:
        """Seconds since a moment of no meaning; never runs backwards."""

    def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""


class SystemClock:
    """The machine's own time."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Waiter:
    """Paces repeated questions and ends them at the timeout.

    :param timeout_s: None waits for ever.
    :param still: what goes on when waiting ends early, for the messages.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        interval_s: float,
        timeout_s: float | None,
        still: str,
    ) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self.still = still
        self._began_s = clock.monotonic_s()
        self._answered = False
        self._silent_since_s: float | None = None

    def until(
        self,
        ask: Callable[[], T | None],
        silent: Callable[[float], None] = lambda silent_s: None,
    ) -> T:
        """The first answer of *ask* that is not None.

        An unreachable service is asked again for PATIENCE_S seconds once it
        has answered before; *silent* is told for how long it has not.

        :raises Unreachable: at the first question, or out of patience.
        :raises WaitedTooLong: at the timeout.
        :raises Interrupted: on Ctrl-C.
        """
        try:
            while True:
                answer = self._ask(ask, silent)
                if answer is not None:
                    return answer
                self._pause()
        except KeyboardInterrupt:
            raise errors.Interrupted(f'Interrupted; {self.still}.') from None

    def _ask(
        self, ask: Callable[[], T | None], silent: Callable[[float], None]
    ) -> T | None:
        try:
            answer = ask()
        except errors.Unreachable:
            if not self._answered:
                raise
            now_s = self._clock.monotonic_s()
            if self._silent_since_s is None:
                self._silent_since_s = now_s
            silent_s = now_s - self._silent_since_s
            if silent_s >= PATIENCE_S:
                raise
            silent(silent_s)
            return None
        self._answered = True
        self._silent_since_s = None
        return answer

    def _pause(self) -> None:
        """Sleep for the interval, or for what is left until the timeout."""
        pause_s = self._interval_s
        if self._timeout_s is not None:
            waited_s = self._clock.monotonic_s() - self._began_s
            left_s = self._timeout_s - waited_s
            if left_s <= 0:
                raise errors.WaitedTooLong(
                    f'Waited {waited_s:.0f} seconds; {self.still}.'
                )
            pause_s = min(pause_s, left_s)
        self._clock.sleep(pause_s)
