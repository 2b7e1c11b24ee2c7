"""Which end a migration has come to, given what both hypervisors say. Pure.

The one place that turns an outcome into what is to be done about it; the
runner does it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from livemig.compute.outcome import Outcome
from livemig.objects.migration_states import Event, Status

#: Looks in a row, a tick apart, before an outcome is believed; else one.
#: The two hypervisors are not read at the same instant, and a job that a
#: killed manager began shows only a moment later.
LOOKS: Mapping[Outcome, int] = {
    Outcome.AT_SOURCE: 2,
    Outcome.LOST: 5,
    Outcome.TWICE: 5,
    Outcome.RAN_THERE: 5,
}

#: Outcomes that are an end; the others may still become one.
ENDS = frozenset(
    {
        Outcome.MOVED,
        Outcome.AT_SOURCE,
        Outcome.LOST,
        Outcome.TWICE,
        Outcome.RAN_THERE,
        Outcome.SHUT_OFF_AT_SOURCE,
    }
)


class Way(enum.StrEnum):
    """The three ways on from an end."""

    #: It runs at the destination: make that lasting.
    FORTH = 'forth'
    #: It is at the source: roll back.
    BACK = 'back'
    #: It is gone, or nobody can tell where it is: touch nothing.
    NONE = 'none'


@dataclasses.dataclass(frozen=True)
class Ending:
    """What is to be done, and for a way back: as which event."""

    way: Way
    event: Event | None = None


def ending(
    found: Outcome, times: int, status: Status, *, aborted: bool
) -> Ending | None:
    """The end that was found; None: not one, or not believed yet.

    :param times: how often in a row it was found.
    :param aborted: an abort was asked for and not refused.
    """
    if found not in ENDS or times < LOOKS.get(found, 1):
        return None
    if found is Outcome.MOVED:
        return Ending(Way.FORTH)
    if found in (Outcome.LOST, Outcome.TWICE, Outcome.RAN_THERE):
        return Ending(Way.NONE)
    if status is Status.POST_COPY:
        # What had been switched does not come back by itself: what is at
        # the source is only what it left there.
        return Ending(Way.NONE)
    if found is Outcome.SHUT_OFF_AT_SOURCE:
        return Ending(Way.BACK, Event.FAIL)
    return Ending(Way.BACK, Event.ABORT if aborted else Event.FAIL)
