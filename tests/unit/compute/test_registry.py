"""Which migrations of a host wait and which run."""

import threading

import pytest

from livemig.compute.registry import Registry

PATIENCE_S = 20.0


class Runner:
    """Runs until it is let go."""

    #: Only for an answer.
    waits = False

    def __init__(self, number, error=None):
        self.migration_id = number
        self.instance_uuid = f'instance-{number}'
        self.go = threading.Event()
        self.runs = threading.Event()
        self.closed = 0
        self.reloaded = 0
        self.error = error

    def run(self):
        self.runs.set()
        assert self.go.wait(PATIENCE_S)
        if self.error:
            raise self.error

    def close(self):
        self.closed += 1

    def reload(self):
        self.reloaded += 1

    def began(self):
        return self.runs.wait(PATIENCE_S)


class Hall:
    """A registry whose limit can be changed, and what it was given."""

    def __init__(self, limit):
        self.limit = limit
        self.ended = []
        self.runners = []
        self.registry = Registry(
            lambda: self.limit, lambda r: self.ended.append(r.migration_id)
        )

    def add(self, number, **values):
        runner = Runner(number, **values)
        assert self.registry.add(runner)
        self.runners.append(runner)
        return runner

    def running(self):
        """Ids of those that run; waiting ones have never begun."""
        return [r.migration_id for r in self.runners if r.runs.is_set()]


@pytest.fixture
def hall():
    made = []

    def make(limit):
        made.append(Hall(limit))
        return made[-1]

    yield make
    for one in made:
        for runner in one.runners:
            runner.go.set()
        assert one.registry.close(PATIENCE_S)


@pytest.mark.parametrize('limit', [1, 2, 3])
def test_no_more_than_the_limit_run(hall, limit):
    here = hall(limit)
    runners = [here.add(number) for number in range(5)]
    for runner in runners[:limit]:
        assert runner.began()
    assert here.running() == list(range(limit))
    # Each that ends makes room for the next one that came.
    for number, runner in enumerate(runners[:-limit]):
        runner.go.set()
        assert runners[number + limit].began()
        assert here.running() == list(range(number + limit + 1))


def test_a_limit_of_0_is_none(hall):
    here = hall(0)
    for runner in [here.add(number) for number in range(20)]:
        assert runner.began()


def test_who_has_ended_is_told_and_forgotten(hall):
    here = hall(1)
    first = here.add(1)
    first.go.set()
    assert here.registry.wait_idle(PATIENCE_S)
    assert here.ended == [1]
    assert here.registry.get(1) is None
    assert here.registry.of_instance('instance-1') is None
    assert here.registry.all() == []


def test_the_same_one_is_taken_once(hall):
    here = hall(1)
    running, waiting = here.add(1), here.add(2)
    for known in (running, waiting):
        again = Runner(known.migration_id)
        assert here.registry.add(again) is False
        assert here.registry.get(known.migration_id) is known
        assert not again.runs.is_set()


def test_runners_are_found_while_they_wait_and_while_they_run(hall):
    here = hall(1)
    running, waiting = here.add(1), here.add(2)
    assert running.began()
    assert here.registry.get(1) is running
    assert here.registry.get(2) is waiting
    assert here.registry.of_instance('instance-2') is waiting
    assert here.registry.get(3) is None
    assert here.registry.all() == [running, waiting]
    assert here.registry.wait_idle(0) is False


def test_one_that_is_about_to_end_need_not_wait(hall):
    here = hall(1)
    running, second, third = here.add(1), here.add(2), here.add(3)
    assert running.began()
    here.registry.start_now(3)
    assert third.began()
    assert not second.runs.is_set()
    # Again, of one that runs, or of nobody: nothing happens.
    here.registry.start_now(3)
    here.registry.start_now(4)
    # Two run where one may: both have to end before the next begins.
    third.go.set()
    running.go.set()
    assert second.began()


def test_beyond_the_limit_nobody_follows(hall):
    here = hall(1)
    running, second, third = here.add(1), here.add(2), here.add(3)
    here.registry.start_now(3)
    assert third.began()
    third.go.set()
    # Its end is noticed: it is not known any more.
    assert until(lambda: here.registry.get(3) is None)
    assert not second.runs.is_set()
    running.go.set()
    assert second.began()


def until(holds):
    for _ in range(4000):
        if holds():
            return True
        threading.Event().wait(0.005)
    return False


def test_a_raised_limit_holds_at_once(hall):
    here = hall(1)
    running, waiting = here.add(1), here.add(2)
    assert running.began()
    here.limit = 2
    here.registry.reload()
    assert waiting.began()
    assert (running.reloaded, waiting.reloaded) == (1, 1)


def test_a_lowered_limit_stops_nobody(hall):
    here = hall(2)
    first, second, third = here.add(1), here.add(2), here.add(3)
    assert first.began()
    assert second.began()
    here.limit = 1
    here.registry.reload()
    first.go.set()
    assert until(lambda: here.registry.get(1) is None)
    assert not third.runs.is_set()
    second.go.set()
    assert third.began()


def test_a_runner_that_breaks_makes_room(hall):
    here = hall(1)
    broken = here.add(1, error=RuntimeError('our bug'))
    behind = here.add(2)
    broken.go.set()
    assert behind.began()
    assert here.ended == [1]
    assert here.registry.get(1) is None


def test_closing_starts_nobody_and_waits_for_those_that_run(hall):
    here = hall(1)
    running, waiting = here.add(1), here.add(2)
    assert running.began()
    assert here.registry.close(0.01) is False
    assert waiting.closed == 1
    assert here.registry.get(2) is None
    late = Runner(3)
    assert here.registry.add(late) is False
    here.registry.start_now(2)
    running.go.set()
    assert here.registry.wait_idle(PATIENCE_S)
    assert not waiting.runs.is_set()
    assert not late.runs.is_set()


def test_one_that_only_waits_for_an_answer_takes_nobodys_turn(hall):
    one = hall(1)
    first, second = one.add(1), one.add(2)
    assert first.began()
    one.registry.start_waiting()
    assert one.running() == [1]
    first.waits = True
    one.registry.start_waiting()
    assert second.began()
    third = one.add(3)
    first.waits = False
    second.go.set()
    one.registry.start_waiting()
    first.go.set()
    assert third.began()
