"""The life of a migration, written out a second time.

From the specifications (abort-live-migration, live-migration-force-
complete), Nova's statuses of a live migration and the design: post-copy is
never aborted nor rolled back, a status is left by one event in one way.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemig.objects import migration_states as states
from livemig.objects.migration_states import Event, Status

STATUSES = [
    'accepted',
    'queued',
    'preparing',
    'running',
    'running (post-copy)',
    'post-migrating',
    'completed',
    'cancelled',
    'failed',
    'error',
]

#: (status, event) -> status; what is not here is forbidden.
EXPECTED = {
    ('accepted', 'enqueue'): 'queued',
    # Deleted before anybody placed it.
    ('accepted', 'abort'): 'cancelled',
    # No valid host, a failed pre-check: no hypervisor was touched.
    ('accepted', 'fail'): 'error',
    ('queued', 'prepare'): 'preparing',
    ('queued', 'abort'): 'cancelled',
    ('queued', 'fail'): 'failed',
    ('preparing', 'start'): 'running',
    ('preparing', 'abort'): 'cancelled',
    ('preparing', 'fail'): 'failed',
    ('running', 'switch_to_post_copy'): 'running (post-copy)',
    ('running', 'memory_copied'): 'post-migrating',
    ('running', 'abort'): 'cancelled',
    ('running', 'fail'): 'failed',
    ('running', 'lose'): 'error',
    ('running (post-copy)', 'memory_copied'): 'post-migrating',
    ('running (post-copy)', 'lose'): 'error',
    ('post-migrating', 'finish'): 'completed',
    ('post-migrating', 'fail'): 'error',
}
EVENTS = sorted({event for _, event in EXPECTED})
FINAL = {'completed', 'cancelled', 'failed', 'error'}


def words(statuses):
    return {str(status) for status in statuses}


def test_the_statuses_are_spelled_as_on_the_wire():
    assert [str(status) for status in Status] == STATUSES


def test_there_is_no_other_event():
    assert sorted(map(str, Event)) == EVENTS


@pytest.mark.parametrize('status', STATUSES)
@pytest.mark.parametrize('event', EVENTS)
def test_each_cell(status, event):
    found = states.after(Status(status), Event(event))
    expected = EXPECTED.get((status, event))
    assert (found and str(found)) == expected


@pytest.mark.parametrize('event', EVENTS)
def test_who_accepts_an_event(event):
    expected = {s for s, e in EXPECTED if e == event}
    assert words(states.accepts(Event(event))) == expected


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        (states.FINAL, FINAL),
        (states.UNFINISHED, set(STATUSES) - FINAL),
        # The manager's: from the moment it queued it.
        (
            states.ON_SOURCE,
            {
                'queued',
                'preparing',
                'running',
                'running (post-copy)',
                'post-migrating',
            },
        ),
        # The guest is at the source, and nothing of it elsewhere: an error
        # may be anything.
        (states.ROLLED_BACK, {'cancelled', 'failed'}),
        # GET /servers/{id}/migrations, Nova's list.
        (
            states.IN_PROGRESS,
            {'queued', 'preparing', 'running', 'post-migrating'},
        ),
        (
            states.IN_PROGRESS_WITH_POST_COPY,
            {
                'queued',
                'preparing',
                'running',
                'running (post-copy)',
                'post-migrating',
            },
        ),
        # DELETE, from 2.65.
        (states.ABORTABLE, {'queued', 'preparing', 'running'}),
        # "not in a 'running' state": 400.
        (states.FORCEABLE, {'running'}),
    ],
    ids=[
        'final',
        'unfinished',
        'on-source',
        'rolled-back',
        'in-progress',
        'in-progress-2.202',
        'abortable',
        'forceable',
    ],
)
def test_the_sets(found, expected):
    assert words(found) == expected


def reachable(status):
    found, queue = set(), [status]
    while queue:
        for after in states.TRANSITIONS[queue.pop()].values():
            if after not in found:
                found.add(after)
                queue.append(after)
    return words(found)


def test_every_status_can_be_reached():
    assert reachable(Status.ACCEPTED) == set(STATUSES) - {'accepted'}


def test_every_unfinished_migration_can_end():
    for status in set(STATUSES) - FINAL:
        assert reachable(Status(status)) & FINAL, status


def test_post_copy_never_ends_as_if_the_guest_were_at_the_source():
    assert not reachable(Status.POST_COPY) & {'cancelled', 'failed'}


@given(st.lists(st.sampled_from(EVENTS), max_size=30))
def test_no_way_leads_out_of_an_end_or_through_a_status_twice(events):
    status, seen = Status.ACCEPTED, [Status.ACCEPTED]
    for event in events:
        after = states.after(status, Event(event))
        if after is not None:
            assert str(status) not in FINAL
            assert after not in seen
            seen.append(after)
            status = after
