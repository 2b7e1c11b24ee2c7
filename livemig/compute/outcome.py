"""Where a guest is after a migration: read from both hypervisors. Pure.

Neither libvirt's return value nor its error code decides: a lost guest was
reported as moved (QEMU 7.2, multifd with post-copy), and an abort shows as
any of three codes.
"""

from __future__ import annotations

import enum

from livemig.virt.job import GuestState, Power, Reason


class Outcome(enum.StrEnum):
    """What the two hypervisors say together."""

    #: It is at the destination, and only there.
    MOVED = 'moved'
    #: It is at the source, and only there.
    AT_SOURCE = 'at source'
    UNDER_WAY = 'under way'
    POST_COPY = 'post-copy'
    POST_COPY_BROKEN = 'post-copy broken'
    #: Shut off at the source, by itself or by a crash; not moved.
    SHUT_OFF_AT_SOURCE = 'shut off at source'
    #: It ran at the destination and ended there; what the source still has
    #: is from before.
    RAN_THERE = 'ran there'
    #: At neither.
    LOST = 'lost'
    #: It runs at both: nothing may be touched.
    TWICE = 'twice'


_STOPPED = frozenset({Power.SHUTOFF, Power.CRASHED})
_POST_COPY = frozenset({Reason.POST_COPY, Reason.POST_COPY_FAILED})
#: How a guest that ran at the destination may be shut off there: by itself
#: or its user, saved with its host, or for a reason that its libvirtd forgot
#: when it was started again.
_ENDED = frozenset({Reason.SHUTDOWN, Reason.SAVED, Reason.OTHER})


def outcome(
    source: GuestState | None, destination: GuestState | None
) -> Outcome:
    """What became of the migration. None: not known to that hypervisor."""
    if _in_post_copy(source, destination):
        return _post_copy(source, destination)
    if source is None or has_left(source):
        return _without_source(destination)
    if _ended_there(destination) and not _goes_on_here(source):
        return Outcome.RAN_THERE
    if source.power in _STOPPED:
        if _runs(destination):
            return Outcome.MOVED
        return Outcome.SHUT_OFF_AT_SOURCE
    # The source is running or paused.
    if _runs(destination):
        # Paused with its job still there it has only not been removed yet.
        if source.job and source.power is Power.PAUSED:
            return Outcome.UNDER_WAY
        return Outcome.TWICE
    if source.job or _waits(destination):
        return Outcome.UNDER_WAY
    return Outcome.AT_SOURCE


def went(
    found: Outcome, source: GuestState | None, destination: GuestState | None
) -> bool:
    """Nobody has the guest whole, but the destination had it last: what the
    source still has of it, if anything, is older."""
    return found is Outcome.RAN_THERE or (
        found is Outcome.LOST
        and destination is not None
        and (source is None or has_left(source))
    )


def has_left(source: GuestState) -> bool:
    """What libvirt leaves defined when it lost the last message."""
    return source.power is Power.SHUTOFF and source.reason is Reason.MIGRATED


def _waits(destination: GuestState | None) -> bool:
    """An incoming guest that waits for its memory."""
    return (
        destination is not None
        and destination.power is Power.PAUSED
        and (destination.reason is Reason.MIGRATION or destination.job)
    )


def _runs(destination: GuestState | None) -> bool:
    """It is itself there: running, or paused by its user."""
    return (
        destination is not None
        and destination.power not in _STOPPED
        and not _waits(destination)
    )


def _ended_there(destination: GuestState | None) -> bool:
    """It shut down (or was) at the destination: so it did run there.

    An incoming guest that never ran leaves no definition behind.
    """
    return (
        destination is not None
        and destination.power is Power.SHUTOFF
        and destination.reason in _ENDED
    )


def _goes_on_here(source: GuestState) -> bool:
    """It runs, is being moved, or stands still because its user says so."""
    if source.power in _STOPPED:
        return False
    return (
        source.power is Power.RUNNING
        or source.job
        or source.reason is Reason.USER
    )


def _without_source(destination: GuestState | None) -> Outcome:
    if destination is None:
        return Outcome.LOST
    if _waits(destination):
        return Outcome.UNDER_WAY
    if destination.power is Power.CRASHED:
        return Outcome.LOST
    if (
        destination.power is Power.SHUTOFF
        and destination.reason is Reason.CRASHED
    ):
        return Outcome.LOST
    # Running, paused by its user, or shut down by itself after it came.
    return Outcome.MOVED


def _in_post_copy(
    source: GuestState | None, destination: GuestState | None
) -> bool:
    return any(
        state is not None and state.reason in _POST_COPY
        for state in (source, destination)
    )


def _post_copy(
    source: GuestState | None, destination: GuestState | None
) -> Outcome:
    """Part of the memory may still be at the source: both are needed."""
    if destination is None or destination.power in _STOPPED:
        return Outcome.LOST
    if source is None or has_left(source):
        # The source lets go only when all its memory has been sent.
        return Outcome.POST_COPY
    if source.power in _STOPPED:
        return Outcome.LOST
    if Reason.POST_COPY_FAILED in (source.reason, destination.reason):
        return Outcome.POST_COPY_BROKEN
    return Outcome.POST_COPY
