"""The arithmetic of a simulated transfer, against figures worked out here."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livemig.virt import job
from livemig.virt.simulation.terms import Happening, Load, Pace, Phase
from livemig.virt.simulation.transfer import Transfer

MIB = 1024 * 1024
#: call 0.05 s, prepare 0.5 s: the copy begins at 0.55 s.
BEGINS_S = 0.55


def transfer(
    working_set_mib: float = 64,
    dirty_mib_s: float = 0,
    memory_mib: int = 256,
    **how: object,
) -> Transfer:
    return Transfer(
        0.0,
        Pace(),
        Load(int(working_set_mib * MIB), dirty_mib_s * MIB),
        memory_bytes=memory_mib * MIB,
        **how,  # type: ignore[arg-type]
    )


def run(one: Transfer, until_s: float) -> list[tuple[Happening, float]]:
    """What happens up to then, and when."""
    happened = []
    while (happening := one.step(until_s)) is not None:
        happened.append((happening, one.now_s))
    return happened


def test_an_idle_guest_takes_memory_by_bandwidth() -> None:
    """256 MiB at 100 MiB/s, and stops when 0.3 s are left to be sent."""
    one = transfer(bandwidth_mib_s=100)
    happened = dict(run(one, 60))
    assert happened[Happening.CONNECTING] == pytest.approx(0.05)
    assert happened[Happening.PREPARED] == pytest.approx(BEGINS_S)
    stopped_s = BEGINS_S + (256 - 30) / 100
    assert happened[Happening.SWITCHOVER] == pytest.approx(stopped_s, abs=1e-3)
    # The rest goes without the limit: 30 MiB at 1000 MiB/s, and 0.02 s.
    assert happened[Happening.ARRIVED] == pytest.approx(
        stopped_s + 0.05, abs=1e-3
    )
    assert one.phase is Phase.ENDED
    assert one.stats().downtime_ms == pytest.approx(50, abs=1)


def test_disks_go_first_at_the_same_bandwidth() -> None:
    one = transfer(bandwidth_mib_s=100, disk_bytes=200 * MIB)
    run(one, BEGINS_S + 1)
    stats = one.stats()
    assert stats.disk_processed_bytes == pytest.approx(100 * MIB, abs=4096)
    assert stats.disk_remaining_bytes == pytest.approx(100 * MIB, abs=4096)
    assert (stats.pass_number, stats.memory_total_bytes) == (0, 0)
    run(one, BEGINS_S + 3)
    stats = one.stats()
    assert stats.disk_remaining_bytes == 0
    assert stats.pass_number == 1
    assert stats.memory_processed_bytes == pytest.approx(100 * MIB, abs=8192)
    assert stats.memory_remaining_bytes == pytest.approx(156 * MIB, abs=8192)


def passes(
    memory: float, working_set: float, rate: float, bandwidth: float
) -> list[float]:
    """Sizes of the passes, MiB, by the rule r = min(W, D * r / B)."""
    sizes = [memory]
    while len(sizes) < 6:
        sizes.append(min(working_set, rate * sizes[-1] / bandwidth))
    return sizes


@pytest.mark.parametrize(
    ('working_set', 'rate', 'bandwidth'),
    [(64, 80, 50), (64, 200, 20), (128, 60, 40), (32, 45, 50)],
)
def test_what_remains_is_a_saw_tooth(
    working_set: float, rate: float, bandwidth: int
) -> None:
    """Each pass begins with what was written during the one before."""
    one = transfer(
        working_set, rate, bandwidth_mib_s=bandwidth, max_downtime_ms=1
    )
    begun_s = BEGINS_S
    for number, size in enumerate(
        passes(256, working_set, rate, bandwidth), start=1
    ):
        run(one, begun_s + 0.001)
        stats = one.stats()
        assert stats.pass_number == number
        assert stats.memory_remaining_bytes == pytest.approx(
            size * MIB - 0.001 * bandwidth * MIB, rel=1e-3
        )
        begun_s += size / bandwidth


@pytest.mark.parametrize(
    ('rate', 'bandwidth', 'converges'),
    [
        (2, 50, True),
        (10, 50, True),
        (25, 50, True),
        (40, 50, True),
        (80, 50, False),
        (40, 20, False),
    ],
)
def test_it_converges_as_measured(
    rate: float, bandwidth: int, converges: bool
) -> None:
    """The six guests that were measured with QEMU 7.2 (64 MiB rewritten,
    30 s of patience)."""
    one = transfer(64, rate, memory_mib=128, bandwidth_mib_s=bandwidth)
    happened = dict(run(one, 30))
    assert (Happening.ARRIVED in happened) is converges


def test_the_downtime_limit_works_at_once() -> None:
    one = transfer(64, 200, bandwidth_mib_s=20)
    assert Happening.SWITCHOVER not in dict(run(one, 40))
    one.set_max_downtime(10_000)
    ((happening, moment_s), *_) = run(one, 41)
    assert (happening, moment_s) == (Happening.SWITCHOVER, 40)
    assert one.stats().downtime_ms <= 10_000


@pytest.mark.parametrize(
    ('asked_ms', 'given_ms'), [(2**40, 2_000_000), (0, 1), (70, 70)]
)
def test_the_downtime_limit_is_clamped(asked_ms: int, given_ms: int) -> None:
    one = transfer()
    one.set_max_downtime(asked_ms)
    assert one.max_downtime_ms == given_ms


@pytest.mark.parametrize('load', [(64, 0), (1, 100)])
def test_no_switchover_before_the_bandwidth_is_known(
    load: tuple[float, float],
) -> None:
    """QEMU measures for 0.1 s, also where 0.3 s would do for all of it;
    a working set all written before then is no reason either."""
    happened = dict(run(transfer(*load, memory_mib=256), 60))
    assert happened[Happening.SWITCHOVER] == pytest.approx(BEGINS_S + 0.1)


def test_the_bandwidth_works_at_once() -> None:
    one = transfer(64, 200, bandwidth_mib_s=20)
    run(one, 40)
    assert one.stats().memory_bytes_per_s == 20 * MIB
    one.bandwidth_mib_s = 0
    happened = dict(run(one, 41))
    assert happened[Happening.ARRIVED] < 40.5


def test_a_paused_guest_stands_still_while_the_limit_is_kept() -> None:
    """What is left of the pass and what was written go at 20 MiB/s."""
    one = transfer(64, 200, bandwidth_mib_s=20)
    run(one, 40)
    left_mib = one.pending_bytes / MIB
    one.stop_cpus()
    happened = dict(run(one, 60))
    expected_s = 40 + (left_mib - 6) / 20 + 6 / 1000 + 0.02
    assert happened[Happening.ARRIVED] == pytest.approx(expected_s, abs=0.01)
    assert one.stats().downtime_ms == pytest.approx(
        (expected_s - 40) * 1000, abs=10
    )


def test_a_guest_paused_by_its_user_writes_nothing() -> None:
    one = transfer(64, 200, bandwidth_mib_s=20, stopped=True)
    run(one, 13)
    assert one.stats().dirty_bytes_per_s == 0
    assert Happening.ARRIVED in dict(run(one, 14))
    assert one.stats().downtime_ms < 100


def test_auto_converge_slows_the_guest_until_it_converges() -> None:
    plain = transfer(64, 80, bandwidth_mib_s=50)
    assert Happening.ARRIVED not in dict(run(plain, 60))
    one = transfer(64, 80, bandwidth_mib_s=50, auto_converge=True)
    throttles = set()
    while one.phase is not Phase.ENDED and one.now_s < 60:
        run(one, one.now_s + 0.1)
        throttles.add(one.stats().auto_converge_percent)
    assert one.phase is Phase.ENDED
    # Steps of 10 % after the first 20 %, none left out.
    assert sorted(throttles)[:4] == [0, 20, 30, 40]
    assert sorted(throttles)[-1] <= 99


def test_the_expected_downtime_is_that_of_qemu() -> None:
    """300 ms in the first pass, then what remains by the bandwidth."""
    one = transfer(64, 200, bandwidth_mib_s=20)
    run(one, 5)
    assert one.stats().downtime_ms == 300
    run(one, BEGINS_S + 256 / 20 + 0.001)
    assert one.stats().downtime_ms == pytest.approx(3200, abs=5)


def test_post_copy_sends_what_is_left_once() -> None:
    one = transfer(64, 200, bandwidth_mib_s=20)
    run(one, 40)
    left_mib = one.pending_bytes / MIB
    sent = one.stats().memory_processed_bytes
    one.post_copy_mib_s = 10
    one.switch_to_post_copy()
    half_s = left_mib / 10 / 2
    run(one, 40 + half_s)
    stats = one.stats()
    assert stats.state is job.JobState.POST_COPY
    assert stats.memory_remaining_bytes == pytest.approx(
        left_mib * MIB / 2, rel=1e-3
    )
    assert stats.postcopy_requests > 0
    happened = dict(run(one, 60))
    assert happened[Happening.ARRIVED] == pytest.approx(
        40 + 2 * half_s, abs=0.01
    )
    assert one.stats().memory_processed_bytes - sent == pytest.approx(
        left_mib * MIB, rel=1e-3
    )


@pytest.mark.parametrize('when_s', [0.06, 0.5, 1.0, 5.0])
def test_abort_takes_a_moment(when_s: float) -> None:
    """Two tenths at most while it copies; preparing is finished first."""
    one = transfer(64, 200, bandwidth_mib_s=20)
    run(one, when_s)
    one.abort()
    happened = run(one, 60)
    assert happened[-1][0] is Happening.CANCELLED
    expected_s = BEGINS_S if when_s < BEGINS_S else when_s + 0.1
    assert happened[-1][1] == pytest.approx(expected_s)
    assert one.stats().state is job.JobState.NONE


def test_abort_in_the_switchover_is_too_late() -> None:
    one = transfer(bandwidth_mib_s=100)
    while one.phase is not Phase.SWITCHOVER:
        one.step(60)
    one.abort()
    assert [h for h, _ in run(one, 60)] == [
        Happening.ARRIVED,
        Happening.ENDED,
    ]


def test_a_short_cut_of_the_link_only_delays() -> None:
    one = transfer(bandwidth_mib_s=100)
    run(one, 1)
    before = one.stats()
    one.cut_link()
    run(one, 6)
    assert one.stats().memory_processed_bytes == before.memory_processed_bytes
    one.mend_link()
    happened = dict(run(one, 60))
    assert happened[Happening.ARRIVED] == pytest.approx(
        BEGINS_S + 2.26 + 5 + 0.05, abs=0.01
    )


def test_a_long_cut_of_the_link_ends_it() -> None:
    one = transfer(bandwidth_mib_s=100)
    run(one, 1)
    one.cut_link()
    assert run(one, 60) == [(Happening.FAILED, 7.0)]
    assert one.error


CHANGES = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.sampled_from(
            ['bandwidth', 'downtime', 'pause', 'abort', 'cut', 'mend']
        ),
        st.integers(1, 400),
    ),
    max_size=5,
)


@dataclasses.dataclass
class Course:
    """One run of a transfer under the same changes."""

    one: Transfer
    changes: list[tuple[float, str, int]]
    happened: list[tuple[Happening, float]] = dataclasses.field(
        default_factory=list
    )

    def go_to(self, moment_s: float) -> None:
        while self.changes and self.changes[0][0] <= moment_s:
            at_s, what, value = self.changes.pop(0)
            self.happened += run(self.one, at_s)
            if self.one.phase is Phase.ENDED:
                return
            match what:
                case 'bandwidth':
                    self.one.bandwidth_mib_s = value
                case 'downtime':
                    self.one.set_max_downtime(value * 10)
                case 'pause':
                    self.one.stop_cpus()
                case 'abort':
                    self.one.abort()
                case 'cut':
                    self.one.cut_link()
                case _:
                    self.one.mend_link()
        self.happened += run(self.one, moment_s)


@given(
    working_set=st.integers(0, 256),
    rate=st.integers(0, 400),
    disk=st.integers(0, 100),
    auto_converge=st.booleans(),
    changes=CHANGES,
    looks=st.lists(st.floats(0, 25), max_size=60),
)
def test_looking_changes_nothing(
    working_set: int,
    rate: int,
    disk: int,
    auto_converge: bool,
    changes: list[tuple[float, str, int]],
    looks: list[float],
) -> None:
    """The same changes give the same course, however often it is read;
    and what is read fits together at each look."""

    def course() -> Course:
        return Course(
            transfer(
                working_set,
                rate,
                bandwidth_mib_s=50,
                disk_bytes=disk * MIB,
                auto_converge=auto_converge,
            ),
            sorted(changes),
        )

    seldom, often = course(), course()
    seldom.go_to(25)
    sent = 0
    for look_s in [*sorted(looks), 25]:
        often.go_to(look_s)
        stats = often.one.stats()
        total = stats.memory_total_bytes
        assert 0 <= stats.memory_remaining_bytes <= total
        assert stats.memory_processed_bytes >= sent
        sent = stats.memory_processed_bytes
        if stats.pass_number == 1 and often.one.phase is Phase.MEMORY:
            both = sent + stats.memory_remaining_bytes
            assert both == pytest.approx(total, abs=4096)
        assert stats.disk_processed_bytes <= stats.disk_total_bytes
    assert [h for h, _ in often.happened] == [h for h, _ in seldom.happened]
    for (_, one_s), (_, other_s) in zip(
        often.happened, seldom.happened, strict=True
    ):
        assert one_s == pytest.approx(other_s, abs=1e-3)
