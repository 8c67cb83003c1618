"""Who is let in to wait, who is refused at once, and what the refused are told."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import CallerLimit, QueueFull, Refused, WaitTooLong
from headgate.throttle.advice import IN_ALL, PER_CALLER, AdviceBook
from headgate.throttle.pacer import Pace
from headgate.throttle.ticket import Phase
from support.clockwork import HALF_SECOND, run, started, throttle, until


def test_too_late_is_refused_at_once_with_the_slot_behind_all() -> None:
    """A call whose slot lies past its deadline does not wait; it is told when to come back."""
    gate = throttle()
    started(gate, 0.0)
    waiting = [gate.enqueue(0.0, "a") for _ in range(3)]
    with pytest.raises(WaitTooLong, match=r"in 1\.00 s; that is not within the deadline") as error:
        gate.enqueue(0.0, "b", patience=until(0.9))
    assert error.value.retry_after == 2.0
    assert [at for at, _ in run(gate, 0.0)] == [0.5, 1.0, 1.5]
    assert len(waiting) == 3
    back = gate.enqueue(2.0, "b", patience=until(2.0))
    assert back.phase is Phase.GRANTED


def test_a_slot_on_the_deadline_is_in_time() -> None:
    """A slot at the very instant is used at it."""
    gate = throttle()
    started(gate, 0.0)
    ticket = gate.enqueue(0.0, "a", patience=until(0.5))
    assert run(gate, 0.0) == [(0.5, ticket)]


def test_no_two_refused_calls_are_sent_to_the_same_slot() -> None:
    """Advice is remembered: each next one is told the slot behind all who were told before."""
    gate = throttle()
    started(gate, 0.0)
    gate.enqueue(0.0, "a")
    told = []
    for caller in "bccd":
        with pytest.raises(WaitTooLong) as error:
            gate.enqueue(0.0, caller, patience=until(0.1))
        told.append(error.value.retry_after)
    assert told == [1.0, 1.5, 2.0, 2.5]
    run(gate, 0.0, end=0.9)
    for at in (1.0, 1.5, 2.0, 2.5):
        back = gate.enqueue(at, "x", patience=until(at))
        assert gate.start(back, at) == at


@given(
    st.sampled_from([HALF_SECOND, Pace(rate=4, burst=3, margin=0), Pace(rate=1, margin=0)]),
    st.text("abc", max_size=12),
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 3)), min_size=1, max_size=12),
)
def test_advice_is_true(pace: Pace, queued: str, asking: list[tuple[str, int]]) -> None:
    """Whoever comes back when told starts at that very instant, if nobody new comes."""
    gate = throttle(pace)
    for _ in range(pace.burst):
        gate.leave(started(gate, 0.0), 0.0)
    for caller in queued:
        gate.enqueue(0.0, caller)
    now = 0.0
    told = []
    for caller, sixteenths in asking:
        run(gate, now, end=now + sixteenths / 16)
        now += sixteenths / 16
        if gate.predict(now, caller).at > now:
            with pytest.raises(WaitTooLong) as error:
                gate.enqueue(now, caller, patience=until(now))
            told.append(now + (error.value.retry_after or 0.0))
    assert told == sorted(set(told))
    for at in [at for at in told if at > now]:
        run(gate, now, end=at)
        now = at
        started(gate, now)


def test_advice_holds_no_slot_and_expires() -> None:
    """Somebody who was advised does not block anybody, and is forgotten when his slot passes."""
    gate = throttle()
    started(gate, 0.0)
    with pytest.raises(WaitTooLong) as error:
        gate.enqueue(0.0, "a", patience=until(0.1))
    assert error.value.retry_after == 0.5
    assert run(gate, 0.0, end=9.0) == []
    ticket = gate.enqueue(0.1, "b")
    assert run(gate, 0.1) == [(0.5, ticket)]
    with pytest.raises(WaitTooLong) as error:
        gate.enqueue(0.6, "a", patience=until(0.7))
    assert error.value.retry_after == pytest.approx(0.4)


def test_a_caller_that_hammers_does_not_push_advice_away_for_ever() -> None:
    """Beyond its share a caller is told the last slot again."""
    book = AdviceBook()
    told = [book.name(0.0, "loud", 1.0, 1.0) for _ in range(PER_CALLER + 50)]
    assert told[:3] == [1.0, 2.0, 3.0]
    assert max(told) == PER_CALLER
    assert book.name(0.0, "calm", 1.0, 1.0) == PER_CALLER + 1
    assert book.name(PER_CALLER + 1.0, "calm", PER_CALLER + 2.0, 1.0) == PER_CALLER + 2
    assert len(book) == 1


def test_advice_is_bounded() -> None:
    """However many callers are refused, what is remembered has a limit."""
    book = AdviceBook()
    for n in range(2 * IN_ALL):
        book.name(0.0, f"caller {n}", 1.0, 1.0)
    assert len(book) == IN_ALL
    book.name(1e9, "the last", 1e9 + 1, 1.0)
    assert list(book._by_caller) == ["the last"]


def test_a_full_queue_refuses_with_the_slot_behind_all() -> None:
    """The queue never grows over its bound, and the refusal says when there will be room."""
    gate = throttle(max_queue=2)
    started(gate, 0.0)
    for _ in range(2):
        gate.enqueue(0.0, "a")
    with pytest.raises(QueueFull, match=r"all 2 places are taken \(throttle\.max_queue\)") as error:
        gate.enqueue(0.0, "a")
    assert error.value.retry_after == 1.5
    assert gate.waiting == 2


def test_without_a_queue_a_call_starts_at_once_or_not_at_all() -> None:
    """max_queue 0 still lets calls through that need not wait."""
    gate = throttle(max_queue=0)
    started(gate, 0.0)
    with pytest.raises(QueueFull):
        gate.enqueue(0.1, "a")
    assert gate.enqueue(0.5, "a").phase is Phase.GRANTED


def test_a_shorter_line_displaces_the_newest_of_the_longest() -> None:
    """A full queue of one caller still lets another in."""
    gate = throttle(max_queue=3)
    started(gate, 0.0)
    long_line = [gate.enqueue(0.0, "a") for _ in range(3)]
    newcomer = gate.enqueue(0.0, "b")
    assert newcomer.phase is Phase.WAITING
    assert gate.waiting == 3
    assert gate.next_wakeup(0.0) == 0.0
    assert gate.step(0.0) == [long_line[2]]
    assert isinstance(long_line[2].error, QueueFull)
    assert long_line[2].error.retry_after == 2.0
    assert [ticket for _, ticket in run(gate, 0.0)] == [long_line[0], newcomer, long_line[1]]


def test_callers_with_equal_lines_do_not_trade_places() -> None:
    """Displacement ends when the lines are even."""
    gate = throttle(max_queue=3)
    started(gate, 0.0)
    for caller in "aab":
        gate.enqueue(0.0, caller)
    with pytest.raises(QueueFull):
        gate.enqueue(0.0, "b")
    with pytest.raises(QueueFull):
        gate.enqueue(0.0, "a")


def test_who_is_displaced_for_is_judged_first() -> None:
    """A newcomer that cannot make it in time displaces nobody."""
    gate = throttle(max_queue=3)
    started(gate, 0.0)
    for _ in range(3):
        gate.enqueue(0.0, "a")
    with pytest.raises(WaitTooLong):
        gate.enqueue(0.0, "b", patience=until(0.4))
    assert gate.waiting == 3
    assert gate.step(0.0) == []


def test_a_callers_share_of_the_queue() -> None:
    """A line at its own limit takes no more, though the queue has room."""
    gate = throttle()
    started(gate, 0.0)
    for _ in range(2):
        gate.enqueue(0.0, "a", max_line=2)
    with pytest.raises(CallerLimit, match=r"has 2 calls waiting already \(callers\.max_queue\)"):
        gate.enqueue(0.0, "a", max_line=2)
    gate.enqueue(0.0, "b", max_line=2)
    assert gate.waiting == 3


@pytest.mark.parametrize(("max_queue", "max_line"), [(2, math.inf), (9, 2)])
def test_a_retry_goes_before_the_newest_of_its_own_line(max_queue: float, max_line: float) -> None:
    """A call that has cost slots already is not lost to one that has cost none."""
    gate = throttle(max_queue=max_queue)
    started(gate, 0.0)
    first, second = (gate.enqueue(0.0, "a", max_line=max_line) for _ in range(2))
    retry = gate.enqueue(0.0, "a", max_line=max_line, head=True)
    another = gate.enqueue(0.0, "a", max_line=max_line, head=True)
    with pytest.raises(Refused):
        gate.enqueue(0.0, "a", max_line=max_line, head=True)
    assert gate.step(0.0) == [second, first]
    assert [ticket for _, ticket in run(gate, 0.0)] == [retry, another]
