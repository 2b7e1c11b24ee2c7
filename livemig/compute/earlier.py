"""What was done to a guest before this manager saw it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from livemig.compute.convergence import Seen
from livemig.virt.job import GuestState, Power, Reason


def switched(seen: Seen) -> Seen:
    """It is in post-copy."""
    return dataclasses.replace(
        seen, post_copy_started=True, post_copy_seen=True
    )


def paused(
    seen: Seen,
    state: GuestState | None,
    *,
    by_user: bool,
    forced: bool,
    elapsed_s: Callable[[], float],
) -> Seen:
    """Who paused it, if it is paused at the source.

    :param by_user: its user had, before the migration began.
    :param forced: somebody asked to force it.
    :param elapsed_s: how long its job has run.
    """
    if state is None or state.power is not Power.PAUSED:
        return seen
    if by_user or state.reason is Reason.USER:
        return dataclasses.replace(seen, user_paused=True)
    if not forced:
        return seen
    # Paused by the manager before this one: its limit begins anew.
    return dataclasses.replace(
        seen, limits_lifted=True, paused_at_s=elapsed_s()
    )
