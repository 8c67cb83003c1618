"""The pace: how close attempts may come, and that later slots are arithmetic."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headgate.throttle.pacer import Pace, Pacer

PUBLISHED = Pace(rate=2, min_interval=0.5)

paces = st.builds(
    Pace,
    rate=st.one_of(st.just(math.inf), st.floats(0.1, 100)),
    min_interval=st.one_of(st.just(0.0), st.floats(0.001, 5)),
    margin=st.one_of(st.just(0.0), st.floats(0.001, 0.05)),
) | st.builds(
    Pace,
    rate=st.floats(0.1, 100),
    min_interval=st.one_of(st.just(0.0), st.floats(0.001, 1)),
    burst=st.integers(1, 8),
    margin=st.one_of(st.just(0.0), st.floats(0.001, 0.05)),
)


def greedy(pacer: Pacer, start: float, count: int) -> list[float]:
    """The instants of attempts that are written as early as the pacer lets them."""
    written = []
    for _ in range(count):
        written.append(max(start, pacer.earliest()))
        pacer.record(written[-1])
    return written


def test_the_published_pace_is_half_a_second_and_a_margin() -> None:
    """Two a second and 500 ms between them: one every 505 ms, 99 % of the slots."""
    assert greedy(Pacer(PUBLISHED), 10.0, 4) == pytest.approx([10.0, 10.505, 11.01, 11.515])
    assert PUBLISHED.interval == 0.505


def test_rate_alone_spaces_evenly() -> None:
    """Without a gap the rate's second is a margin longer, so that jitter never shortens it."""
    assert greedy(Pacer(Pace(rate=2)), 0.0, 3) == pytest.approx([0.0, 0.5025, 1.005])
    assert greedy(Pacer(Pace(rate=4, margin=0)), 0.0, 3) == [0.0, 0.25, 0.5]


def test_a_burst_starts_at_once_and_then_the_rate_holds() -> None:
    """Three at once after a pause, then one per spacing."""
    pacer = Pacer(Pace(rate=2, burst=3, margin=0))
    assert greedy(pacer, 5.0, 5) == [5.0, 5.0, 5.0, 5.5, 6.0]
    assert greedy(pacer, 60.0, 4) == [60.0, 60.0, 60.0, 60.5]


def test_a_gap_holds_within_a_burst() -> None:
    """A burst may use up rate, never the gap."""
    pacer = Pacer(Pace(rate=2, min_interval=0.1, burst=3, margin=0))
    assert greedy(pacer, 0.0, 4) == pytest.approx([0.0, 0.1, 0.2, 0.5])


def test_no_pace_allows_everything() -> None:
    """Without rate and gap every instant is free."""
    pacer = Pacer(Pace())
    assert Pace().interval == 0
    assert greedy(pacer, 3.0, 3) == [3.0, 3.0, 3.0]


def test_a_late_write_moves_the_next_slot() -> None:
    """The next slot counts from when the request really left."""
    pacer = Pacer(PUBLISHED)
    pacer.record(1.0)
    pacer.correct(1.0, 1.2)
    assert pacer.earliest() == pytest.approx(1.705)
    pacer.correct(1.2, 1.1)
    assert pacer.earliest() == pytest.approx(1.705)


@given(paces, st.lists(st.floats(0, 3), min_size=1, max_size=60), st.data())
def test_arrivals_keep_gap_and_rate(pace: Pace, pauses: list[float], data: st.DataObject) -> None:
    """With arrivals up to a margin late, no gap is too small and no second holds too many."""
    pacer = Pacer(pace)
    now = 0.0
    arrivals = []
    for pause in pauses:
        now = max(now + pause, pacer.earliest())
        pacer.record(now)
        arrivals.append(now + data.draw(st.floats(0, pace.margin)))
    arrivals.sort()
    for earlier, later in pairwise(arrivals):
        assert later - earlier >= pace.min_interval - 1e-9
    if pace.rate < math.inf:
        most = math.ceil(pace.rate - 1e-9) + pace.burst - 1
        for start in arrivals:
            assert sum(start <= at < start + 1 - 1e-9 for at in arrivals) <= most


@given(paces, st.lists(st.floats(0, 2), max_size=20), st.floats(0, 5), st.integers(1, 40))
def test_later_slots_are_arithmetic(
    pace: Pace, pauses: list[float], start: float, count: int
) -> None:
    """`nth` names exactly the slots that come about when each is used at its instant."""
    pacer = Pacer(pace)
    now = 0.0
    for pause in pauses:
        now = max(now + pause, pacer.earliest())
        pacer.record(now)
    now += start
    first = max(now, pacer.earliest())
    named = [pacer.nth(first, ahead) for ahead in range(count)]
    assert named == pytest.approx(greedy(pacer, now, count))


@given(paces, st.lists(st.floats(0, 2), min_size=1, max_size=20))
def test_a_copy_goes_its_own_way(pace: Pace, pauses: list[float]) -> None:
    """Planning with a copy does not touch the original."""
    assume(pace.interval > 0)
    pacer = Pacer(pace)
    now = 0.0
    for pause in pauses:
        now = max(now + pause, pacer.earliest())
        pacer.record(now)
    before = pacer.earliest()
    twin = pacer.copy()
    assert twin.earliest() == before
    greedy(twin, now, pace.burst + 1)
    assert pacer.earliest() == before < twin.earliest()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0.0}, r"throttle\.rate is 0"),
        ({"rate": -2.0}, r"throttle\.rate is -2"),
        ({"rate": math.nan}, r"throttle\.rate is nan"),
        ({"min_interval": -0.5}, r"throttle\.min_interval is -0\.5"),
        ({"min_interval": math.inf}, r"throttle\.min_interval is inf"),
        ({"margin": -0.1}, r"throttle\.margin is -0\.1"),
        ({"rate": 2.0, "burst": 0}, r"throttle\.burst is 0"),
        ({"burst": 2}, r"throttle\.burst is 2, which needs a throttle\.rate"),
    ],
)
def test_bad_settings_are_named(values: dict[str, float], message: str) -> None:
    """A pace out of range is refused with one line: which setting, which value, what is allowed."""
    with pytest.raises(ValueError, match=message):
        Pace(**values)  # type: ignore[arg-type]


def test_many_that_are_late_together_are_late_once() -> None:
    """A busy moment delays all that were started in it; that is no debt that adds up."""
    unlimited = Pacer(Pace())
    for _ in range(1000):
        unlimited.record(0.0)
    for _ in range(1000):
        unlimited.correct(0.0, 0.05)
    assert unlimited.earliest() <= 0.05

    burst = Pacer(Pace(rate=10, burst=5, margin=0.0))
    for _ in range(5):
        burst.record(0.0)
    for _ in range(5):
        burst.correct(0.0, 0.3)
    assert burst.earliest() == pytest.approx(0.4)
