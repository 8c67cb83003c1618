"""Another pace while attempts are made: nothing that was promised for written ones is loosened."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headgate.errors import WaitTooLong
from headgate.throttle.pacer import PAST, Pace, Pacer
from headgate.throttle.schedule import MICRO, Schedule, Terms
from headgate.throttle.ticket import Patience, Phase
from support.clockwork import HALF_SECOND, NO_PACE, run, started, throttle, until

if TYPE_CHECKING:
    from headgate.throttle.throttle import Throttle

paces = st.builds(
    Pace,
    rate=st.floats(0.2, 50),
    min_interval=st.one_of(st.just(0.0), st.floats(0.001, 3)),
    burst=st.integers(1, 5),
    margin=st.sampled_from([0.0, 0.005]),
) | st.just(NO_PACE)
even = st.builds(Pace, rate=st.floats(0.2, 20), min_interval=st.floats(0, 3), margin=st.just(0.0))
TINY = 1e-9


def greedy(pacer: Pacer, start: float, count: int) -> list[float]:
    written = []
    for _ in range(count):
        written.append(max(start, pacer.earliest()))
        pacer.record(written[-1])
    return written


@given(paces, paces, st.integers(1, 12), st.floats(0, 3), st.integers(1, 12))
def test_around_what_was_written_both_paces_hold(
    old: Pace, new: Pace, before: int, pause: float, after: int
) -> None:
    """No start is nearer to the one before than either pace says, while a second may hold both."""
    assume(old != new)
    pacer = Pacer(old)
    last = greedy(pacer, 100.0, before)[-1]
    pacer.change(new)
    starts = greedy(pacer, last + pause, after)
    both = max(old.interval, new.interval)
    over = last + max(PAST, both)
    for earlier, later in pairwise([last, *starts]):
        assert later >= min(earlier + both, over) - TINY
        assert later - earlier >= new.gap - TINY
    assert starts[0] - last >= both - TINY


@given(paces, paces, st.integers(1, 12), st.integers(1, 30))
def test_then_the_new_pace_holds_alone(old: Pace, new: Pace, before: int, after: int) -> None:
    """Any second holds what the new rate allows, from the first start under it on."""
    assume(new.rate < math.inf)
    pacer = Pacer(old)
    greedy(pacer, 0.0, before)
    pacer.change(new)
    starts = greedy(pacer, 0.0, after)
    allowed = math.ceil(new.rate + new.burst - 1)
    for start in starts:
        # Three thirds of a second are a second, and one rounding less in binary.
        assert sum(start <= other < start + 1 - TINY for other in starts) <= allowed


@given(even, even, even, st.integers(1, 5), st.integers(1, 5))
def test_later_slots_are_arithmetic_in_between_too(
    old: Pace, new: Pace, third: Pace, before: int, between: int
) -> None:
    """What a caller is told is when it starts; a second change on top of the first included."""
    pacer = Pacer(old)
    for pace, count in ((new, before), (third, between)):
        greedy(pacer, 0.0, count)
        pacer.change(pace)
    twin = pacer.copy()
    foretold = [pacer.nth(pacer.earliest(), ahead) for ahead in range(12)]
    assert foretold == pytest.approx(greedy(twin, 0.0, 12))


def test_after_a_pause_the_new_pace_holds_at_once() -> None:
    """What was written long ago is in no second any more, and a new burst is there."""
    pacer = Pacer(HALF_SECOND)
    greedy(pacer, 0.0, 3)
    pacer.change(Pace(rate=10, burst=3, margin=0))
    assert greedy(pacer, 60.0, 5) == pytest.approx([60.0, 60.0, 60.0, 60.1, 60.2])


def test_the_same_pace_is_no_change() -> None:
    """A reload for another reason costs no burst and no slot."""
    pace = Pace(rate=2, burst=3, margin=0)
    pacer, schedule = Pacer(pace), Schedule(Terms.of(pace))
    assert greedy(pacer, 0.0, 2) == [0.0, 0.0]
    pacer.change(pace)
    assert greedy(pacer, 0.0, 2) == [0.0, 0.5]
    returned = schedule.reserve(0, 1)
    schedule.give_back(0, returned)
    assert not schedule.change(0, Terms.of(pace))
    assert schedule.reserve(0, 1) == returned


def test_a_change_before_anything_was_written_is_just_another_pace() -> None:
    """There is nothing to keep."""
    pacer = Pacer(HALF_SECOND)
    pacer.change(Pace(rate=10, margin=0))
    assert greedy(pacer, 0.0, 3) == pytest.approx([0.0, 0.1, 0.2])


@given(paces, paces, st.lists(st.integers(1, 4), max_size=6), st.integers(1, 12))
def test_the_schedule_of_workers_does_the_same(
    old: Pace, new: Pace, reserved: list[int], after: int
) -> None:
    """Behind what is reserved already, which may be ahead of the time."""
    assume(old != new)
    schedule, now = Schedule(Terms.of(old)), 5 * MICRO
    taken = [instant for count in reserved for instant in schedule.reserve(now, count)]
    schedule.give_back(now, taken[:1])
    schedule.change(now, Terms.of(new))
    starts = schedule.reserve(now, after)
    if not taken:
        assert starts[0] == now
        return
    last = max(taken)
    both = max(Terms.of(old).interval, Terms.of(new).interval)
    over = last + max(math.ceil(PAST * MICRO), both)
    for earlier, later in pairwise([last, *starts]):
        assert later >= min(earlier + both, over)
        assert later - earlier >= Terms.of(new).gap


def change(gate: Throttle, now: float, pace: Pace = HALF_SECOND, **limits: float) -> None:
    gate.change(now, pace, **{"max_in_flight": math.inf, "max_queue": 1000, **limits})


def test_who_waits_stays_in_line() -> None:
    """In the same order, at the new pace; the first gap is the longer of both."""
    gate = throttle()
    started(gate, 0.0)
    line = [gate.enqueue(0.1, caller) for caller in ("a", "b", "c")]
    change(gate, 0.2, Pace(rate=1, margin=0))
    assert [(at, ticket.caller) for at, ticket in run(gate, 0.2)] == [
        (1.0, "a"),
        (2.0, "b"),
        (3.0, "c"),
    ]
    assert all(ticket.phase is Phase.LEFT for ticket in line)


def test_a_faster_pace_waits_for_the_old_second_to_pass() -> None:
    """Two a second were promised for the second that began at 0; then ten are allowed."""
    gate = throttle()
    started(gate, 0.0)
    for _ in range(5):
        gate.enqueue(0.1, "a")
    change(gate, 0.1, Pace(rate=10, margin=0))
    assert [at for at, _ in run(gate, 0.1)] == pytest.approx([0.5, 1.0, 1.1, 1.2, 1.3])


def test_everybody_is_judged_again() -> None:
    """Who would come too late at a slower pace hears it at once, not when its time is up."""
    gate = throttle()
    started(gate, 0.0)
    kept = gate.enqueue(0.0, "a", patience=until(2.5))
    lost = gate.enqueue(0.0, "b", patience=until(2.5))
    change(gate, 0.1, Pace(rate=0.5, margin=0))
    assert gate.step(0.1) == [lost]
    assert isinstance(lost.error, WaitTooLong)
    assert kept.phase is Phase.WAITING


def test_a_shorter_queue_throws_nobody_out() -> None:
    """It counts for who comes from now on."""
    gate = throttle()
    started(gate, 0.0)
    line = [gate.enqueue(0.0, "a", patience=Patience()) for _ in range(3)]
    change(gate, 0.0, max_queue=1)
    assert [ticket.phase for ticket in line] == [Phase.WAITING] * 3
    gate.enqueue(0.0, "b")
    assert gate.waiting == 3
    assert line[-1].phase is Phase.REFUSED


def test_a_cap_in_flight_changes_for_the_next() -> None:
    """Running attempts go on above a lower one; a higher one lets waiters in at once."""
    gate = throttle(NO_PACE, max_in_flight=2)
    running = [started(gate, 0.0), started(gate, 0.0)]
    waiter = gate.enqueue(0.0, "a")
    change(gate, 0.0, NO_PACE, max_in_flight=1)
    gate.leave(running.pop(), 1.0)
    assert gate.step(1.0) == []
    change(gate, 1.0, NO_PACE, max_in_flight=2)
    assert gate.step(1.0) == [waiter]


def test_an_attempt_that_connects_keeps_its_place_and_the_new_gap() -> None:
    """It was let in under the old pace, and is written under both."""
    gate = throttle()
    started(gate, 0.0)
    ticket = gate.enqueue(0.5, "a")
    assert ticket.phase is Phase.GRANTED
    change(gate, 0.5, Pace(rate=1, margin=0))
    assert gate.start(ticket, 0.6) == 1.0
    assert gate.start(ticket, 1.0) == 1.0


def test_a_pace_may_come_and_go() -> None:
    """With none everybody starts; with one again, what was written without counts."""
    gate = throttle()
    started(gate, 0.0)
    waiter = gate.enqueue(0.1, "a")
    change(gate, 1.2, NO_PACE)
    assert gate.step(1.2) == [waiter]
    assert gate.start(waiter, 1.2) == 1.2
    started(gate, 1.3)
    change(gate, 1.3, Pace(rate=4, margin=0))
    late = gate.enqueue(1.3, "b")
    assert late.phase is Phase.WAITING
    assert run(gate, 1.3)[0][0] == pytest.approx(1.55)
