"""libvirt's numbers, written out again from its documentation.

https://libvirt.org/html/libvirt-libvirt-domain.html
"""

from __future__ import annotations

import pytest

from livemig.virt.job import GuestState, Power, Reason
from livemig.virt.libvirt import states

RUNNING, PAUSED, SHUTDOWN, SHUTOFF, CRASHED, SUSPENDED = 1, 3, 4, 5, 6, 7


@pytest.mark.parametrize(
    ('state', 'reason', 'power', 'meaning'),
    [
        (RUNNING, 1, Power.RUNNING, Reason.NORMAL),
        (RUNNING, 2, Power.RUNNING, Reason.MIGRATED),
        (RUNNING, 5, Power.RUNNING, Reason.NORMAL),
        (RUNNING, 6, Power.RUNNING, Reason.MIGRATION_CANCELED),
        (RUNNING, 10, Power.RUNNING, Reason.POST_COPY),
        (RUNNING, 11, Power.RUNNING, Reason.POST_COPY_FAILED),
        (PAUSED, 0, Power.PAUSED, Reason.OTHER),
        (PAUSED, 1, Power.PAUSED, Reason.USER),
        (PAUSED, 2, Power.PAUSED, Reason.MIGRATION),
        (PAUSED, 3, Power.PAUSED, Reason.SAVED),
        (PAUSED, 5, Power.PAUSED, Reason.OTHER),
        (PAUSED, 11, Power.PAUSED, Reason.OTHER),
        (PAUSED, 12, Power.PAUSED, Reason.POST_COPY),
        (PAUSED, 13, Power.PAUSED, Reason.POST_COPY_FAILED),
        (SHUTDOWN, 1, Power.RUNNING, Reason.NORMAL),
        (SHUTOFF, 0, Power.SHUTOFF, Reason.OTHER),
        (SHUTOFF, 1, Power.SHUTOFF, Reason.SHUTDOWN),
        (SHUTOFF, 2, Power.SHUTOFF, Reason.SHUTDOWN),
        (SHUTOFF, 3, Power.SHUTOFF, Reason.CRASHED),
        (SHUTOFF, 4, Power.SHUTOFF, Reason.MIGRATED),
        (SHUTOFF, 5, Power.SHUTOFF, Reason.SAVED),
        (SHUTOFF, 6, Power.SHUTOFF, Reason.OTHER),
        (CRASHED, 1, Power.CRASHED, Reason.CRASHED),
        (SUSPENDED, 0, Power.PAUSED, Reason.ASLEEP),
        # Newer than this table: not to be touched.
        (99, 99, Power.RUNNING, Reason.NORMAL),
        (RUNNING, 99, Power.RUNNING, Reason.NORMAL),
    ],
)
def test_numbers(
    state: int, reason: int, power: Power, meaning: Reason
) -> None:
    assert states.guest_state(state, reason, True) == GuestState(
        power, meaning, True
    )


@pytest.mark.parametrize(
    ('state', 'waits'),
    [
        # As seen at a destination, in this order (libvirt 9.0).
        (GuestState(Power.PAUSED, Reason.OTHER, job=True), True),
        (GuestState(Power.PAUSED, Reason.MIGRATION, job=True), True),
        (GuestState(Power.PAUSED, Reason.MIGRATION), True),
        (GuestState(Power.RUNNING, Reason.MIGRATED, job=True), False),
        (GuestState(Power.RUNNING, Reason.POST_COPY, job=True), False),
        # Paused here for another reason: it is at home.
        (GuestState(Power.PAUSED, Reason.USER), False),
        (GuestState(Power.PAUSED, Reason.USER, job=True), False),
        (GuestState(Power.PAUSED, Reason.OTHER), False),
        (GuestState(Power.PAUSED, Reason.POST_COPY_FAILED, True), False),
        (GuestState(Power.SHUTOFF, Reason.MIGRATED), False),
    ],
)
def test_only_a_guest_that_never_ran_here_waits(
    state: GuestState, waits: bool
) -> None:
    assert states.waits_for_memory(state) is waits


@pytest.mark.parametrize(
    ('power', 'runs'),
    [
        (Power.RUNNING, True),
        (Power.PAUSED, True),
        (Power.SHUTOFF, False),
        (Power.CRASHED, False),
    ],
)
def test_a_paused_guest_has_a_qemu_too(power: Power, runs: bool) -> None:
    assert states.runs(GuestState(power)) is runs
    assert states.runs(None) is False
