"""The life of a migration: one table, and what is derived from it. Pure.

Rows are statuses (the words on the wire), columns events. An empty cell is
forbidden. Nothing else in livemig lists statuses: ask for a set here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Status(enum.StrEnum):
    """Statuses, spelled as on the wire."""

    ACCEPTED = 'accepted'
    QUEUED = 'queued'
    PREPARING = 'preparing'
    RUNNING = 'running'
    POST_COPY = 'running (post-copy)'
    POST_MIGRATING = 'post-migrating'
    COMPLETED = 'completed'
    CANCELLED = 'cancelled'
    FAILED = 'failed'
    ERROR = 'error'


class Event(enum.StrEnum):
    """What can happen to a migration."""

    ENQUEUE = 'enqueue'
    PREPARE = 'prepare'
    START = 'start'
    SWITCH_TO_POST_COPY = 'switch_to_post_copy'
    #: Both hypervisors say: the guest runs at the destination.
    MEMORY_COPIED = 'memory_copied'
    FINISH = 'finish'
    #: It *is* aborted (a request to abort is no event).
    ABORT = 'abort'
    FAIL = 'fail'
    #: The guest is gone, or cannot be told where it runs.
    LOSE = 'lose'


S, E = Status, Event

TRANSITIONS: Mapping[Status, Mapping[Event, Status]] = {
    # Nobody has touched a hypervisor yet: it was not possible at all.
    S.ACCEPTED: {
        E.ENQUEUE: S.QUEUED,
        E.ABORT: S.CANCELLED,
        E.FAIL: S.ERROR,
    },
    S.QUEUED: {
        E.PREPARE: S.PREPARING,
        E.ABORT: S.CANCELLED,
        E.FAIL: S.FAILED,
    },
    S.PREPARING: {
        E.START: S.RUNNING,
        E.ABORT: S.CANCELLED,
        E.FAIL: S.FAILED,
    },
    S.RUNNING: {
        E.SWITCH_TO_POST_COPY: S.POST_COPY,
        E.MEMORY_COPIED: S.POST_MIGRATING,
        E.ABORT: S.CANCELLED,
        E.FAIL: S.FAILED,
        E.LOSE: S.ERROR,
    },
    # Never aborted, never rolled back: the guest runs at the destination
    # with part of its memory at the source.
    S.POST_COPY: {
        E.MEMORY_COPIED: S.POST_MIGRATING,
        E.LOSE: S.ERROR,
    },
    S.POST_MIGRATING: {
        E.FINISH: S.COMPLETED,
        E.FAIL: S.ERROR,
    },
    S.COMPLETED: {},
    S.CANCELLED: {},
    S.FAILED: {},
    S.ERROR: {},
}

#: Ended for good.
FINAL = frozenset(s for s, row in TRANSITIONS.items() if not row)

#: Not ended.
UNFINISHED = frozenset(TRANSITIONS) - FINAL

#: In the hands of the source's compute manager.
ON_SOURCE = UNFINISHED - {S.ACCEPTED}

#: Ended with the guest at the source, and nothing of it elsewhere.
ROLLED_BACK = frozenset({S.CANCELLED, S.FAILED})

#: What ``GET /servers/{id}/migrations`` lists, before 2.202.
IN_PROGRESS = frozenset({S.QUEUED, S.PREPARING, S.RUNNING, S.POST_MIGRATING})

#: The same from 2.202: post-copy stays visible.
IN_PROGRESS_WITH_POST_COPY = IN_PROGRESS | {S.POST_COPY}

#: What an operator may ask to abort from 2.65; before: RUNNING alone.
ABORTABLE = frozenset({S.QUEUED, S.PREPARING, S.RUNNING})

#: What an operator may force to complete.
FORCEABLE = frozenset({S.RUNNING})


def after(status: Status, event: Event) -> Status | None:
    """The status that ``event`` leads to; None if it is forbidden."""
    return TRANSITIONS[status].get(event)


def accepts(event: Event) -> frozenset[Status]:
    """The statuses in which ``event`` is possible."""
    return frozenset(s for s, row in TRANSITIONS.items() if event in row)
