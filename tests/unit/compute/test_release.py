"""A guest is let go on at its source, when its job is gone."""

from __future__ import annotations

import itertools

import pytest

from livemig import concurrency, exception
from livemig.compute.convergence import Seen
from livemig.compute.patience import Patience
from livemig.compute.release import release
from livemig.virt.driver import TransferOptions
from livemig.virt.job import GuestState, Power, Reason
from tests.clock import VirtualClock

GUEST = 'b6e5a6ba-0000-4000-8000-000000000001'
RUNS = GuestState(Power.RUNNING)
MOVES = GuestState(Power.RUNNING, job=True)
STANDS = GuestState(Power.PAUSED, Reason.MIGRATION)
HELD = GuestState(Power.PAUSED, Reason.MIGRATION, job=True)
USERS = GuestState(Power.PAUSED, Reason.USER)
SLEEPS = GuestState(Power.PAUSED, Reason.ASLEEP)
USERS_HELD = GuestState(Power.PAUSED, Reason.USER, job=True)


class Driver:
    """Shows these states one after the other, the last one for ever."""

    def __init__(self, *states):
        self.states = list(states)
        self.resumed = 0
        self.refuses = False

    def guest_state(self, guest_id):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def resume(self, guest_id):
        self.resumed += 1
        if self.refuses:
            raise exception.HypervisorError(host='host1', reason='No.')
        self.states = [RUNS]


def released(driver, seen=None):
    patience = Patience(VirtualClock(), concurrency.Event(), 'A test')
    return release(
        driver,
        GUEST,
        patience,
        seen or Seen(),
        TransferOptions(),
        lifted=False,
    )


def many(state, looks):
    return itertools.repeat(state, looks)


@pytest.mark.parametrize(
    ('states', 'resumed', 'left'),
    [
        ([None], 0, None),
        ([RUNS], 0, RUNS),
        ([MOVES, MOVES, RUNS], 0, RUNS),
        ([STANDS], 1, RUNS),
        ([HELD, HELD, STANDS], 1, RUNS),
        # libvirt lets it go on by itself.
        ([HELD, RUNS], 0, RUNS),
        ([USERS_HELD, USERS], 0, USERS),
        # libvirt would refuse; only a wake-up has it go on.
        ([SLEEPS], 0, SLEEPS),
        # A job that does not end, of whatever kind, holds nobody up ...
        ([*many(MOVES, 1000), RUNS], 0, MOVES),
        ([*many(USERS_HELD, 1000), USERS], 0, USERS_HELD),
        # ... unless nobody else would let the guest go on.
        ([*many(HELD, 1000), STANDS], 1, RUNS),
        ([*many(HELD, 1000), None], 0, None),
    ],
)
def test_a_guest_is_let_go_on(states, resumed, left):
    driver = Driver(*states)
    assert released(driver) == left
    assert driver.resumed == resumed


def test_a_guest_that_its_user_had_paused_before_stays_paused():
    driver = Driver(HELD, STANDS)
    assert released(driver, Seen(user_paused=True)) == STANDS
    assert driver.resumed == 0


def test_a_guest_that_cannot_be_resumed_keeps_its_migration_from_nothing():
    driver = Driver(HELD, STANDS)
    driver.refuses = True
    assert released(driver) == STANDS
    assert driver.resumed == 1
