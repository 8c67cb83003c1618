"""The schedule that several processes share: no two instants too close, whoever has them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.throttle.pacer import Pace
from headgate.throttle.schedule import MICRO, Schedule, Terms

PUBLISHED = Terms.of(Pace(rate=2, min_interval=0.5, margin=0))
HALF = MICRO // 2
START = 1_000 * MICRO


@pytest.fixture
def schedule() -> Schedule:
    return Schedule(PUBLISHED)


def test_slots_go_in_the_order_of_the_requests_for_them(schedule: Schedule) -> None:
    """Whoever asks next gets the next instant, each a gap behind the one before."""
    slots = [schedule.reserve(START, 1)[0] for _ in range(3)]
    assert slots == [START, START + HALF, START + 2 * HALF]


def test_a_slot_is_never_sooner_than_it_is_of_use(schedule: Schedule) -> None:
    """Who says that a reply takes 200 ms gets an instant that far away."""
    assert schedule.reserve(START, 1, lead=200_000) == [START + 200_000]
    assert schedule.reserve(START, 1) == [START + 200_000 + HALF]


def test_doubt_about_the_clock_widens_the_gap_behind(schedule: Schedule) -> None:
    """A member that may be late without knowing it has as much kept free behind its slot."""
    assert schedule.reserve(START, 2, pad=30_000) == [START, START + HALF + 30_000]


def test_what_is_given_back_goes_to_the_next(schedule: Schedule) -> None:
    """A slot that nobody used is nobody's loss."""
    first, second = schedule.reserve(START, 2)
    schedule.give_back(START, [second])
    assert schedule.free_at(START) == second
    assert schedule.reserve(START, 2) == [second, second + HALF]
    assert first == START


def test_what_is_given_back_twice_is_had_once(schedule: Schedule) -> None:
    """A message that comes twice does no harm."""
    slots = schedule.reserve(START, 2)
    schedule.give_back(START, slots)
    schedule.give_back(START, slots)
    assert schedule.reserve(START, 3) == [*slots, slots[1] + HALF]


def test_what_is_past_cannot_be_given_back(schedule: Schedule) -> None:
    """An instant that is over is of use to nobody."""
    slots = schedule.reserve(START, 1)
    schedule.give_back(START + 1, slots)
    assert schedule.reserve(START + 1, 1) == [START + HALF]


def test_a_slot_of_somebody_exact_is_too_narrow_for_somebody_vague(schedule: Schedule) -> None:
    """Nothing was kept free behind it."""
    slots = schedule.reserve(START, 2)
    schedule.give_back(START, slots[1:])
    assert schedule.reserve(START, 1, pad=1000) == [slots[1] + HALF]


def test_a_pause_holds_for_all_and_voids_what_was_returned(schedule: Schedule) -> None:
    """Nothing starts within it, not even in a slot that somebody gave back."""
    slots = schedule.reserve(START, 2)
    schedule.give_back(START, slots)
    schedule.pause(START, START + 3 * MICRO)
    schedule.pause(START, START + 2 * MICRO)
    assert schedule.reserve(START, 2) == [START + 3 * MICRO, START + 3 * MICRO + HALF]


def test_who_comes_back_waits_for_those_who_may_still_be_on_their_own(schedule: Schedule) -> None:
    """The first to come back makes everybody wait; those who follow in that time do not again."""
    schedule.join(START, settle=MICRO)
    schedule.join(START + HALF, settle=MICRO)
    assert schedule.reserve(START + HALF, 1) == [START + MICRO]
    schedule.join(START + 2 * MICRO, settle=MICRO)
    assert schedule.reserve(START + 2 * MICRO, 1) == [START + 3 * MICRO]


def test_who_comes_back_says_what_it_took(schedule: Schedule) -> None:
    """A schedule that has lost its data does not hand out what somebody still holds."""
    schedule.join(START, latest=START + 100)
    assert schedule.reserve(START, 1) == [START + 100 + HALF]


def test_a_clock_that_steps_back_takes_everything_along(schedule: Schedule) -> None:
    """Nobody waits for the time to come back, and no gap gets smaller."""
    slots = schedule.reserve(START, 2)
    schedule.give_back(START, slots[1:])
    schedule.pause(START, START + HALF)
    earlier = START - 30 * MICRO
    assert schedule.reserve(earlier, 2) == [earlier + HALF, earlier + MICRO]


paces = st.sampled_from(
    [
        Pace(rate=2, min_interval=0.5, margin=0.005),
        Pace(rate=4, burst=3, margin=0),
        Pace(rate=8, min_interval=0.0625, burst=4, margin=0.01),
        Pace(min_interval=1.0, margin=0),
    ]
)
asks = st.tuples(st.integers(0, 400_000), st.integers(0, 4), st.sampled_from([0, 0, 50_000]))


@given(pace=paces, asked=st.lists(asks, max_size=30), returned=st.sets(st.integers(0, 60)))
def test_no_two_slots_are_too_close(
    pace: Pace, asked: list[tuple[int, int, int]], returned: set[int]
) -> None:
    """Whatever is asked for and given back: the gap and the rate hold over all that is out."""
    terms = Terms.of(pace)
    schedule, now, out = Schedule(terms), START, []
    for number, (pause, count, lead) in enumerate(asked):
        now += pause
        out += schedule.reserve(now, count, lead)
        if number in returned and out:
            last = out.pop()
            schedule.give_back(now, [last])
            if last < now:
                out.append(last)
    out.sort()
    assert all(b - a >= terms.gap for a, b in pairwise(out))
    # Any `burst` slots more than one apart by so many spacings: GCRA's own bound.
    for i, first in enumerate(out):
        for j in range(i + 1, len(out)):
            assert out[j] - first >= (j - i) * terms.spacing - terms.tolerance


def test_what_comes_back_from_before_a_step_of_the_clock_is_nobodys(schedule: Schedule) -> None:
    """The instants moved back with the clock, and their holder knows them by the old numbers."""
    _, later = schedule.reserve(START, 2)
    now = START - 10 * MICRO
    schedule.free_at(now)
    schedule.give_back(now, [later])
    got = []
    for _ in range(24):
        got += schedule.reserve(now, 1)
        now = max(now, got[-1])
    assert min(after - before for before, after in pairwise(sorted(got))) >= HALF
