"""What is done about an end: the table, written out again."""

import pytest

from livemig.compute.ending import Ending, Way, ending
from livemig.compute.outcome import Outcome
from livemig.compute.texts import lost
from livemig.objects.migration import Migration
from livemig.objects.migration_states import Event, Status

OFTEN = 99
FORTH = Ending(Way.FORTH)
NONE = Ending(Way.NONE)
ABORT = Ending(Way.BACK, Event.ABORT)
FAIL = Ending(Way.BACK, Event.FAIL)

#: found -> (in pre-copy, the same with an abort asked for, in post-copy)
TABLE = {
    Outcome.MOVED: (FORTH, FORTH, FORTH),
    Outcome.AT_SOURCE: (FAIL, ABORT, NONE),
    Outcome.SHUT_OFF_AT_SOURCE: (FAIL, FAIL, NONE),
    Outcome.LOST: (NONE, NONE, NONE),
    Outcome.TWICE: (NONE, NONE, NONE),
    Outcome.RAN_THERE: (NONE, NONE, NONE),
    Outcome.UNDER_WAY: (None, None, None),
    Outcome.POST_COPY: (None, None, None),
    Outcome.POST_COPY_BROKEN: (None, None, None),
}


@pytest.mark.parametrize('found', Outcome)
def test_what_is_done_about_it(found):
    assert (
        ending(found, OFTEN, Status.RUNNING, aborted=False),
        ending(found, OFTEN, Status.RUNNING, aborted=True),
        ending(found, OFTEN, Status.POST_COPY, aborted=False),
    ) == TABLE[found]


@pytest.mark.parametrize(
    ('found', 'looks'),
    [
        (Outcome.MOVED, 1),
        (Outcome.SHUT_OFF_AT_SOURCE, 1),
        (Outcome.AT_SOURCE, 2),
        (Outcome.LOST, 5),
        (Outcome.TWICE, 5),
        (Outcome.RAN_THERE, 5),
    ],
)
def test_how_often_it_must_have_been_said(found, looks):
    for times in range(1, looks):
        assert ending(found, times, Status.RUNNING, aborted=False) is None
    assert ending(found, looks, Status.RUNNING, aborted=False) is not None


@pytest.mark.parametrize(
    'found', [o for o, row in TABLE.items() if NONE in row]
)
def test_whatever_is_left_alone_has_a_reason(found):
    migration = Migration(source_compute='here', dest_compute='there')
    assert 'here' in lost(found, migration)
