"""The journal: in order, again and again, and never in the way."""

import threading

import pytest

from livemig import exception
from livemig.compute import journal

PATIENCE_S = 20.0
AWAY = [
    exception.BrokerUnreachable(limit_s=10),
    exception.ReplyTimeout(host='conductor', method='x', limit_s=30),
    exception.DatabaseUnreachable(),
]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Nobody here waits a whole second for the keeper to come back."""
    monkeypatch.setattr(journal, 'RETRY_S', 0.005)


class Keeper:
    """Where the entries go; may be away, or take its time."""

    def __init__(self):
        self.written = []
        self.samples = []
        #: Raised by the next writes, one each.
        self.errors = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def take(self, where, value):
        self.entered.set()
        assert self.open.wait(PATIENCE_S)
        if self.errors:
            raise self.errors.pop(0)
        where.append(value)

    def change(self, value):
        return lambda: self.take(self.written, value)

    def sample(self, values):
        self.take(self.samples, values['n'])


@pytest.fixture
def keeper():
    return Keeper()


@pytest.fixture
def book(keeper):
    made = journal.Journal('1', keeper.sample)
    yield made
    keeper.open.set()
    made.close()


def test_changes_are_written_in_order(book, keeper):
    for number in range(100):
        book.change(keeper.change(number))
    assert book.drained(PATIENCE_S)
    assert keeper.written == list(range(100))


@pytest.mark.parametrize('error', AWAY, ids=lambda e: type(e).__name__)
def test_what_cannot_be_written_now_is_written_later(book, keeper, error):
    keeper.errors = [error] * 5
    for number in range(3):
        book.change(keeper.change(number))
    assert book.drained(PATIENCE_S)
    assert keeper.written == [0, 1, 2]
    assert keeper.errors == []


@pytest.mark.parametrize(
    'error',
    [
        exception.StateConflict(what='it', expected='a', found='b'),
        exception.MigrationNotFound(migration_id=1),
        ValueError('our bug'),
    ],
    ids=lambda e: type(e).__name__,
)
def test_what_can_never_be_written_stops_nothing(book, keeper, error):
    keeper.errors = [error]
    for number in range(3):
        book.change(keeper.change(number))
    assert book.drained(PATIENCE_S)
    assert keeper.written == [1, 2]


def test_telling_never_waits(book, keeper):
    """Whoever tells goes on, however long the keeper takes."""
    keeper.open.clear()
    book.change(keeper.change(0))
    assert keeper.entered.wait(PATIENCE_S)
    # A test thread would hang here.
    for number in range(1, 1000):
        book.change(keeper.change(number))
        book.sample({'n': number})
    assert keeper.written == []
    assert not book.drained(0.01)
    keeper.open.set()
    assert book.drained(PATIENCE_S)
    assert keeper.written == list(range(1000))


def wait_for(holds):
    """Something another thread is about to do."""
    for _ in range(int(PATIENCE_S * 200)):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError('it never came true')


def test_only_the_newest_sample_counts(book, keeper):
    keeper.open.clear()
    book.sample({'n': 0})
    assert keeper.entered.wait(PATIENCE_S)
    for number in range(1, 50):
        book.sample({'n': number})
    keeper.open.set()
    wait_for(lambda: len(keeper.samples) == 2)
    assert keeper.samples == [0, 49]


@pytest.mark.parametrize(
    'error', [*AWAY, ValueError('our bug')], ids=lambda e: type(e).__name__
)
def test_a_sample_may_be_dropped(book, keeper, error):
    keeper.errors = [error]
    book.sample({'n': 1})
    wait_for(lambda: not keeper.errors)
    book.sample({'n': 2})
    wait_for(lambda: keeper.samples)
    assert keeper.samples == [2]


def test_a_sample_never_holds_a_change_back(book, keeper):
    book.sample({'n': 1})
    book.change(keeper.change('first'))
    assert book.drained(PATIENCE_S)
    assert keeper.written == ['first']
    # The sample was not in its way, and is written all the same.
    wait_for(lambda: keeper.samples == [1])


def test_drained_waits_for_the_one_under_way(book, keeper):
    assert book.drained(0)
    keeper.open.clear()
    book.change(keeper.change(1))
    assert keeper.entered.wait(PATIENCE_S)
    assert not book.drained(0)
    keeper.open.set()
    assert book.drained(PATIENCE_S)
    assert keeper.written == [1]


def test_it_can_be_closed_while_the_keeper_is_away(keeper):
    keeper.errors = [AWAY[0]] * 10**6
    made = journal.Journal('1', keeper.sample)
    made.change(keeper.change(1))
    assert keeper.entered.wait(PATIENCE_S)
    made.close()
    left = len(keeper.errors)
    threading.Event().wait(0.05)
    assert len(keeper.errors) == left
    assert keeper.written == []
