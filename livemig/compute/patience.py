"""Asks until somebody answers: hosts, broker, records, hypervisor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from oslo_log import log

from livemig import concurrency, exception
from livemig.compute.journal import AWAY
from livemig.compute.monitor import Stopped

LOG = log.getLogger(__name__)

T = TypeVar('T')

#: The same for what only a host's hypervisor can answer.
HYPERVISOR_AWAY = (*AWAY, exception.HypervisorUnavailable)

#: How soon what could not be reached is asked again, s.
RETRY_S = 1.0


@dataclasses.dataclass(frozen=True)
class Patience:
    """One work's patience; ends only with the answer or the process."""

    clock: concurrency.Clock
    stop: concurrency.Event
    #: Whose, for the log.
    name: str

    def ask(
        self,
        call: Callable[[], T],
        patience_s: float | None = None,
        unless_silent: str = '',
        away: tuple[type[exception.LivemigError], ...] = AWAY,
        between: Callable[[], object] = lambda: None,
    ) -> T:
        """Call until the far end answers.

        :param patience_s: give up after that; None = never.
        :param unless_silent: the host that is not waited for when it does
            not answer; what it needs itself still is.
        :param away: the errors that are no answer.
        :param between: called after each of them; what it raises ends it.
        :raises Stopped:
        """
        began_s = self.clock.monotonic_s()
        while True:
            try:
                return call()
            except away as exc:
                silent = isinstance(exc, exception.ReplyTimeout) and (
                    exc.kwargs.get('host') == unless_silent
                )
                waited_s = self.clock.monotonic_s() - began_s
                if silent or (
                    patience_s is not None and waited_s > patience_s
                ):
                    raise
                self._log(exc)
            between()
            self.wait(RETRY_S)

    def hypervisor(self, call: Callable[[], T]) -> T:
        """Call this host's hypervisor until it is there.

        :raises Stopped:
        """
        while True:
            try:
                return call()
            except exception.HypervisorUnavailable as exc:
                self._log(exc)
            self.wait(RETRY_S)

    def wait(self, seconds: float) -> None:
        """:raises Stopped:"""
        if self.clock.wait(self.stop, seconds):
            raise Stopped

    def _log(self, error: exception.LivemigError) -> None:
        LOG.warning(
            '%(name)s: %(error)s Asking again.',
            {'name': self.name, 'error': error.message},
        )
