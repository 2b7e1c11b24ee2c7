"""What became of a guest, for each pair of states two hypervisors show.

The rows are what libvirt 9.0 / QEMU 7.2 were measured to leave behind:
after success, abort, failures, post-copy, and after the death of a client,
a libvirtd or a QEMU at either end.
"""

import itertools

import pytest

from livemig.compute.outcome import Outcome, outcome
from livemig.virt.job import GuestState, Power, Reason


def state(text):
    """'-' for none, or 'power reason [job]'."""
    if text == '-':
        return None
    power, reason, *job = text.split()
    return GuestState(Power(power), Reason(reason), bool(job))


#: (source, destination, what they say together)
ROWS = [
    # -- it has moved ---------------------------------------------------------
    ('-', 'running migrated', 'moved'),
    ('-', 'running normal', 'moved'),
    # libvirt lost the last message: the source's definition stays.
    ('shutoff migrated', 'running migrated', 'moved'),
    ('shutoff migrated', 'running normal', 'moved'),
    # Its user had paused it before: it stays paused.
    ('-', 'paused user', 'moved'),
    ('shutoff migrated', 'paused user', 'moved'),
    # It shut itself down after it had come.
    ('-', 'shutoff shutdown', 'moved'),
    ('shutoff migrated', 'shutoff shutdown', 'moved'),
    # The source's QEMU is dead, the guest runs over there.
    ('shutoff crashed', 'running migrated', 'moved'),
    # -- it has stayed --------------------------------------------------------
    # Aborted: the reason is as before, or says so.
    ('running normal', '-', 'at source'),
    ('running migration-canceled', '-', 'at source'),
    # Either libvirtd died before post-copy, or the destination's QEMU.
    ('running normal', 'shutoff crashed', 'at source'),
    # It came here by an earlier migration.
    ('running migrated', '-', 'at source'),
    # Its user had paused it.
    ('paused user', '-', 'at source'),
    # A forced pause that libvirt did not undo.
    ('paused migration', '-', 'at source'),
    # What is left at the destination of a guest that was there once.
    ('running normal', 'shutoff migrated', 'at source'),
    # -- it goes on -----------------------------------------------------------
    # The destination's QEMU is being started.
    ('running normal job', '-', 'under way'),
    ('paused user job', '-', 'under way'),
    # Memory flows.
    ('running normal job', 'paused migration job', 'under way'),
    ('running migration-canceled job', 'paused migration job', 'under way'),
    ('paused user job', 'paused migration job', 'under way'),
    # A forced pause, or switchover.
    ('paused migration job', 'paused migration job', 'under way'),
    ('paused migration', 'paused migration', 'under way'),
    # The source's libvirtd is back and knows no job; the destination's has
    # not noticed yet.
    ('running normal', 'paused migration', 'under way'),
    ('running normal', 'paused migration job', 'under way'),
    # It runs over there, and the source's is only not removed yet: killing
    # a QEMU takes libvirt up to 2 s.
    ('paused migration job', 'running migrated', 'under way'),
    ('paused user job', 'paused user', 'under way'),
    # The source let go first.
    ('-', 'paused migration job', 'under way'),
    ('shutoff migrated', 'paused migration', 'under way'),
    # -- post-copy ------------------------------------------------------------
    ('paused post-copy job', 'running post-copy job', 'post-copy'),
    # A libvirtd was restarted: both QEMUs go on without it.
    ('paused post-copy', 'running post-copy', 'post-copy'),
    # Its last moments.
    ('paused post-copy', 'running migrated', 'post-copy'),
    ('shutoff migrated', 'running post-copy', 'post-copy'),
    ('-', 'running post-copy', 'post-copy'),
    # The link is down, the destination notices nothing (keepalive), or the
    # destination's libvirtd was restarted.
    ('paused post-copy-failed', 'running post-copy', 'post-copy broken'),
    ('paused post-copy-failed job', 'running post-copy', 'post-copy broken'),
    # The stream was reset.
    (
        'paused post-copy-failed',
        'running post-copy-failed',
        'post-copy broken',
    ),
    ('paused post-copy', 'running post-copy-failed', 'post-copy broken'),
    # -- not moved, not running -----------------------------------------------
    ('shutoff shutdown', '-', 'shut off at source'),
    ('shutoff crashed', '-', 'shut off at source'),
    ('crashed crashed', '-', 'shut off at source'),
    # The destination still waits for a guest that has ended.
    ('shutoff shutdown', 'paused migration', 'shut off at source'),
    # -- lost -----------------------------------------------------------------
    ('-', '-', 'lost'),
    ('shutoff migrated', '-', 'lost'),
    # multifd with post-copy: libvirt said that all was well.
    ('-', 'shutoff crashed', 'lost'),
    ('-', 'crashed crashed', 'lost'),
    ('shutoff migrated', 'shutoff crashed', 'lost'),
    # A QEMU died in post-copy, at the destination or at the source.
    ('paused post-copy-failed', 'shutoff crashed', 'lost'),
    ('paused post-copy-failed', '-', 'lost'),
    ('paused post-copy', 'crashed crashed', 'lost'),
    ('shutoff crashed', 'running post-copy-failed', 'lost'),
    ('crashed crashed', 'running post-copy-failed', 'lost'),
    # -- ran there ------------------------------------------------------------
    # The source's libvirtd died in the last moment and left the guest
    # paused; meanwhile it ran over there, until it shut down. To resume
    # the source would take it back in time.
    ('paused migration', 'shutoff shutdown', 'ran there'),
    ('paused other', 'shutoff shutdown', 'ran there'),
    ('shutoff crashed', 'shutoff shutdown', 'ran there'),
    # Saved when its host went down; or its libvirtd, started again, does
    # not know any more why it is off. What never ran leaves no definition.
    ('paused migration', 'shutoff saved', 'ran there'),
    ('paused migration', 'shutoff other', 'ran there'),
    ('shutoff crashed', 'shutoff other', 'ran there'),
    # -- at both --------------------------------------------------------------
    # Somebody started the definition that was left at the source.
    ('running normal', 'running migrated', 'twice'),
    ('running normal', 'running normal', 'twice'),
    ('running normal job', 'running migrated', 'twice'),
    ('running migrated', 'paused user', 'twice'),
]


@pytest.mark.parametrize(('source', 'destination', 'expected'), ROWS)
def test_each_pair(source, destination, expected):
    assert outcome(state(source), state(destination)) == expected


def test_every_outcome_has_a_row():
    assert {row[2] for row in ROWS} == {str(o) for o in Outcome}


# -- whatever the two say -------------------------------------------------
GUESTS = [
    None,
    *itertools.starmap(
        GuestState, itertools.product(Power, Reason, (False, True))
    ),
]
PAIRS = list(itertools.product(GUESTS, repeat=2))
#: One of these is acted upon: the other side's guest is removed, and the
#: guest is given out to run there.
SETTLED = {Outcome.MOVED, Outcome.AT_SOURCE}
HALVES = {Reason.POST_COPY, Reason.POST_COPY_FAILED}


def runs(guest):
    """Its CPUs run there, whatever else is said of it."""
    return guest is not None and guest.power is Power.RUNNING


def lives(guest):
    return guest is not None and guest.power in (Power.RUNNING, Power.PAUSED)


def in_post_copy(*pair):
    return any(guest is not None and guest.reason in HALVES for guest in pair)


def found(holds):
    """The outcomes of all pairs for which that holds; there are some."""
    outcomes = {outcome(*pair) for pair in PAIRS if holds(*pair)}
    assert outcomes
    return outcomes


def test_a_guest_that_runs_at_both_is_touched_at_neither():
    assert not found(lambda s, d: runs(s) and runs(d)) & SETTLED


def test_a_guest_that_runs_at_the_destination_is_not_at_the_source():
    here = {Outcome.AT_SOURCE, Outcome.SHUT_OFF_AT_SOURCE}
    assert not found(lambda s, d: runs(d)) & here


def test_a_guest_that_lives_at_the_source_has_not_moved():
    assert Outcome.MOVED not in found(lambda s, d: lives(s))


def test_at_source_means_that_it_lives_there_and_only_there():
    settled = [pair for pair in PAIRS if outcome(*pair) is Outcome.AT_SOURCE]
    assert settled
    for source, destination in settled:
        assert lives(source)
        assert not lives(destination)


def test_what_is_in_post_copy_is_never_settled():
    assert found(in_post_copy) == {
        Outcome.POST_COPY,
        Outcome.POST_COPY_BROKEN,
        Outcome.LOST,
    }


def test_a_guest_that_lives_outside_post_copy_is_not_lost():
    assert Outcome.LOST not in found(
        lambda s, d: (lives(s) or lives(d)) and not in_post_copy(s, d)
    )
