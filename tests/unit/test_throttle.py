"""The throttle's promises, with a clock that is an argument."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import CallerLimit, Draining, QueueFull, Refused, WaitTooLong
from headgate.throttle.advice import IN_ALL, PER_CALLER, AdviceBook
from headgate.throttle.pacer import Pace
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import REJUDGE_EVERY, Throttle
from headgate.throttle.ticket import Estimate, Patience, Phase, Ticket

HALF_SECOND = Pace(rate=2, min_interval=0.5, margin=0)
NO_PACE = Pace()


def throttle(
    pace: Pace = HALF_SECOND, *, max_in_flight: float = math.inf, max_queue: float = 1000
) -> Throttle:
    return Throttle(MemoryStore(pace), max_in_flight=max_in_flight, max_queue=max_queue)


def until(instant: float, limit: str = "the deadline") -> Patience:
    return Patience(instant, limit)


def started(gate: Throttle, now: float, caller: str = "someone") -> Ticket:
    """A call that starts at once."""
    ticket = gate.enqueue(now, caller)
    assert gate.start(ticket, now) == now
    return ticket


def run(gate: Throttle, now: float, end: float = math.inf) -> list[tuple[float, Ticket]]:
    """Wakes up when the throttle says so and starts whoever is granted; returns the starts."""
    starts = []
    while (due := gate.next_wakeup(now)) is not None and due <= end:
        now = max(now, due)
        for ticket in gate.step(now):
            if ticket.phase is Phase.GRANTED:
                assert gate.start(ticket, now) == now
                gate.leave(ticket, now)
                starts.append((now, ticket))
    return starts


def test_a_call_starts_at_once_when_a_slot_is_free() -> None:
    """Nothing waits without need, and nothing is woken up."""
    gate = throttle()
    ticket = gate.enqueue(3.0, "a")
    assert ticket.phase is Phase.GRANTED
    assert gate.next_wakeup(3.0) is None
    assert gate.start(ticket, 3.0) == 3.0
    assert repr(gate) == "<Throttle [0 waiting in 0 lines | 1 in flight | next slot in 0.500 s]>"


def test_waiting_calls_start_slot_by_slot() -> None:
    """Each wake-up is a slot, and each slot starts one call."""
    gate = throttle()
    started(gate, 0.0)
    tickets = [gate.enqueue(0.1, "a") for _ in range(3)]
    assert [gate.outlook(ticket, 0.1) for ticket in tickets] == [
        Estimate(1, 0.5, exact=True),
        Estimate(2, 1.0, exact=True),
        Estimate(3, 1.5, exact=True),
    ]
    assert run(gate, 0.1) == list(zip((0.5, 1.0, 1.5), tickets, strict=True))
    assert gate.next_wakeup(1.5) is None


def test_a_newcomer_does_not_jump_the_queue_when_the_timer_is_late() -> None:
    """A slot that is due while somebody waits is not the newcomer's, though nobody stepped yet."""
    gate = throttle()
    started(gate, 0.0)
    waiting = gate.enqueue(0.0, "a")
    assert gate.enqueue(0.6, "b").phase is Phase.WAITING
    assert gate.step(0.6) == [waiting]


def test_whoever_asks_late_where_it_stands_gets_an_answer() -> None:
    """A ticket that was just granted or refused is asked about without a fault."""
    gate = throttle()
    started(gate, 0.0)
    granted, refused = gate.enqueue(0.0, "a"), gate.enqueue(0.0, "a", patience=until(1.0))
    gate.cooldown(0.0, 5.0)
    assert gate.step(0.0) == [refused]
    assert gate.step(5.0) == [granted]
    for ticket in (granted, refused):
        assert gate.outlook(ticket, 5.0) == Estimate(1, 5.0, exact=True)
    assert gate.start(granted, 5.0) == 5.0


def test_a_step_too_early_does_nothing() -> None:
    """The schedule decides, not the caller of `step`."""
    gate = throttle()
    started(gate, 0.0)
    gate.enqueue(0.0, "a")
    assert gate.step(0.499) == []
    assert gate.next_wakeup(0.499) == 0.5


def test_while_one_connects_nobody_else_is_granted() -> None:
    """The next slot counts from when the request was written."""
    gate = throttle()
    connecting = gate.enqueue(0.0, "a")
    waiting = gate.enqueue(0.0, "b")
    assert gate.start(connecting, 0.3) == 0.3
    assert run(gate, 0.3) == [(0.8, waiting)]


def test_a_hanging_connect_is_passed_and_never_collides() -> None:
    """One interval later the next one starts; the slow one then gets the slot after it."""
    gate = throttle()
    slow = gate.enqueue(0.0, "a")
    waiting = [gate.enqueue(0.0, "b") for _ in range(2)]
    assert run(gate, 0.0, end=0.9) == [(0.5, waiting[0])]
    assert gate.start(slow, 0.9) == 1.0
    assert gate.next_wakeup(0.9) == 1.5
    assert gate.start(slow, 1.0) == 1.0
    assert run(gate, 1.0) == [(1.5, waiting[1])]


def test_a_failed_connect_gives_its_slot_to_the_next_at_once() -> None:
    """A slot that was not used is not lost."""
    gate = throttle()
    refused = gate.enqueue(0.0, "a")
    waiting = gate.enqueue(0.0, "b")
    gate.leave(refused, 0.2)
    assert run(gate, 0.2) == [(0.2, waiting)]


def test_a_cancelled_waiter_gives_its_slot_to_the_next() -> None:
    """Who leaves the queue costs no slot."""
    gate = throttle()
    started(gate, 0.0)
    first, second = gate.enqueue(0.0, "a"), gate.enqueue(0.0, "a")
    gate.leave(first, 0.1)
    gate.leave(first, 0.1)
    assert gate.outlook(second, 0.1) == Estimate(1, 0.5, exact=True)
    assert run(gate, 0.1) == [(0.5, second)]


def test_a_granted_call_that_is_cancelled_before_it_hears_of_it() -> None:
    """Between the grant and the write the slot still goes to the next."""
    gate = throttle()
    started(gate, 0.0)
    first, second = gate.enqueue(0.0, "a"), gate.enqueue(0.0, "a")
    assert gate.step(0.5) == [first]
    gate.leave(first, 0.5)
    assert gate.step(0.5) == [second]


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


def test_a_cooldown_moves_everybody() -> None:
    """After a 429 nothing starts before its end, and then at the usual pace."""
    gate = throttle()
    limited = started(gate, 0.0)
    tickets = [gate.enqueue(0.0, "a") for _ in range(2)]
    gate.cooldown(0.2, 5.0)
    gate.leave(limited, 0.2)
    assert gate.outlook(tickets[1], 0.2) == Estimate(2, 5.7, exact=True)
    assert run(gate, 0.2) == [(5.2, tickets[0]), (5.7, tickets[1])]


def test_a_cooldown_has_a_longest_and_is_never_negative() -> None:
    """An upstream that asks for a week gets max_cooldown; a negative one changes nothing."""
    gate = throttle()
    gate.cooldown(0.0, -5.0)
    assert gate.enqueue(0.0, "a").phase is Phase.GRANTED
    gate.cooldown(1.0, 1e9)
    assert gate.predict(1.0, "a") == Estimate(1, 61.0, exact=True)


def test_when_the_schedule_moves_every_waiter_is_judged_again() -> None:
    """Who can no longer make it hears so at once, and those behind move up."""
    gate = throttle()
    started(gate, 0.0)
    hasty = [gate.enqueue(0.0, "a", patience=until(3.0)) for _ in range(3)]
    calm = gate.enqueue(0.0, "a", patience=until(2.6, "throttle.max_wait"))
    patient = gate.enqueue(0.0, "a", patience=until(60.0))
    gate.cooldown(0.1, 2.4)
    assert gate.step(0.1) == [hasty[2], calm]
    assert [type(ticket.error) for ticket in (hasty[2], calm)] == [WaitTooLong, WaitTooLong]
    assert "throttle.max_wait" in str(calm.error)
    assert hasty[2].error is not None
    assert hasty[2].error.retry_after == pytest.approx(3.9)
    assert run(gate, 0.1) == [(2.5, hasty[0]), (3.0, hasty[1]), (3.5, patient)]


def test_newcomers_who_push_somebody_past_his_deadline_are_noticed() -> None:
    """A waiter whose slot others took by their turn does not wait in vain until his deadline."""
    gate = throttle()
    started(gate, 0.0)
    waiting = [gate.enqueue(0.0, "a", patience=until(2.0)) for _ in range(4)]
    for caller in "bcd":
        gate.enqueue(0.0, caller)
    assert gate.next_wakeup(0.0) == 0.0
    assert gate.step(0.0) == waiting[1:]
    assert {type(ticket.error) for ticket in waiting[1:]} == {WaitTooLong}
    assert gate.next_wakeup(0.0) == 0.5


def test_many_newcomers_are_one_judgement() -> None:
    """Judging everybody again has a pause, so that a rush of newcomers costs little."""
    gate = throttle()
    started(gate, 0.0)
    gate.enqueue(0.0, "a", patience=until(0.9))
    gate.enqueue(0.0, "b", patience=until(1.4))
    gate.cooldown(0.0, 0.0)
    edge = [
        gate.enqueue(0.0, "a", patience=until(1.9)),
        gate.enqueue(0.0, "b", patience=until(2.2)),
    ]
    for caller in "cdef":
        gate.enqueue(0.0, caller)
    assert gate.step(0.0) == []
    due = gate.next_wakeup(0.0) or 0.0
    assert due == pytest.approx(REJUDGE_EVERY, abs=0.01)
    assert gate.step(due) == edge


def test_judging_again_does_not_repeat_in_vain() -> None:
    """After everybody was judged nothing wakes up until something changes."""
    gate = throttle()
    started(gate, 0.0)
    gate.enqueue(0.0, "a", patience=until(1.0))
    gate.enqueue(0.0, "a", patience=until(1.2))
    gate.enqueue(0.0, "b", patience=until(1.5))
    wakeups = []
    now = 0.0
    while (due := gate.next_wakeup(now)) is not None:
        now = max(now, due)
        wakeups.append(now)
        for ticket in gate.step(now):
            if ticket.phase is Phase.GRANTED:
                gate.start(ticket, now)
                gate.leave(ticket, now)
    assert len(wakeups) <= 4
    assert gate.counts["WAIT_TOO_LONG"] == 1


def test_a_late_write_is_a_move_of_the_schedule() -> None:
    """A handshake that takes long pushes everybody, and the one at the edge is told."""
    gate = throttle()
    slow = gate.enqueue(0.0, "a")
    edge = gate.enqueue(0.0, "b", patience=until(0.6))
    assert gate.start(slow, 0.4) == 0.4
    assert gate.step(0.4) == [edge]
    assert isinstance(edge.error, WaitTooLong)


def test_patience_that_ends_while_waiting() -> None:
    """A cap without a pace: the wait ends at the latest instant, and the place is free again."""
    gate = throttle(NO_PACE, max_in_flight=1)
    running = started(gate, 0.0)
    ticket = gate.enqueue(0.0, "a", patience=until(3.0, "throttle.max_wait"))
    assert gate.next_wakeup(0.0) == 3.0
    assert gate.step(3.0) == [ticket]
    assert str(ticket.error) == "no slot is left for this call within throttle.max_wait"
    gate.leave(ticket, 3.0)
    gate.leave(running, 4.0)
    assert (gate.waiting, gate.in_flight) == (0, 0)


def test_a_place_that_comes_free_at_the_last_instant_is_used() -> None:
    """Grants come before the end of patience when both fall on one instant."""
    gate = throttle(NO_PACE, max_in_flight=1)
    running = started(gate, 0.0)
    ticket = gate.enqueue(0.0, "a", patience=until(3.0))
    gate.leave(running, 3.0)
    assert gate.step(3.0) == [ticket]
    assert ticket.phase is Phase.GRANTED


def test_who_woke_up_too_late_is_not_started() -> None:
    """After a pause of the whole process nobody starts past his patience."""
    gate = throttle()
    started(gate, 0.0)
    late = gate.enqueue(0.0, "a", patience=until(10.0))
    fine = gate.enqueue(0.0, "a", patience=until(1000.0))
    assert gate.step(500.0) == [late, fine]
    assert (late.phase, fine.phase) == (Phase.REFUSED, Phase.GRANTED)


def test_the_cap_holds_and_a_place_wakes_the_next() -> None:
    """No more than max_in_flight at once, whatever the pace allows."""
    gate = throttle(NO_PACE, max_in_flight=2)
    running = [started(gate, 0.0) for _ in range(2)]
    waiting = [gate.enqueue(0.0, "a") for _ in range(3)]
    assert gate.next_wakeup(0.0) is None
    assert gate.step(1.0) == []
    gate.leave(running[0], 1.0)
    assert gate.step(1.0) == [waiting[0]]
    gate.leave(waiting[0], 1.5)
    assert gate.step(1.5) == [waiting[1]]
    assert gate.in_flight == 2


def test_with_a_cap_the_wait_is_an_estimate_and_says_so() -> None:
    """A moving average of how long attempts last, over the places."""
    gate = throttle(NO_PACE, max_in_flight=2)
    assert gate.predict(0.0, "a") == Estimate(1, 0.0, exact=True)
    first, _second = started(gate, 0.0), started(gate, 0.0)
    assert gate.predict(0.0, "a") == Estimate(1, 0.0, exact=False)
    gate.leave(first, 4.0)
    started(gate, 4.0)
    gate.enqueue(4.0, "a")
    assert gate.predict(4.0, "a") == Estimate(2, 8.0, exact=False)
    with pytest.raises(WaitTooLong, match=r"in about 4\.00 s") as error:
        gate.enqueue(4.0, "a", patience=until(7.9))
    assert error.value.retry_after == 4.0


def test_the_average_moves_slowly() -> None:
    """One long answer does not turn the estimate over."""
    gate = throttle(NO_PACE, max_in_flight=1)
    now = 0.0
    for seconds in (1.0, 1.0, 11.0):
        ticket = started(gate, now)
        now += seconds
        gate.leave(ticket, now)
    started(gate, now)
    assert gate.predict(now, "a").at - now == pytest.approx(2.0)


def test_an_attempt_that_never_started_says_nothing_about_durations() -> None:
    """A refused connection is no fast answer."""
    gate = throttle(NO_PACE, max_in_flight=1)
    gate.leave(gate.enqueue(0.0, "a"), 0.001)
    started(gate, 1.0)
    assert gate.predict(1.0, "a") == Estimate(1, 1.0, exact=False)


def test_advice_is_never_to_come_back_at_once() -> None:
    """While nothing is known about durations, advice supposes a second and not zero."""
    gate = throttle(NO_PACE, max_in_flight=1, max_queue=0)
    started(gate, 0.0)
    with pytest.raises(QueueFull) as error:
        gate.enqueue(0.0, "a")
    assert error.value.retry_after == 1.0


def test_an_estimate_throws_nobody_out() -> None:
    """Once let in, a call waits out its patience, however the average moves."""
    gate = throttle(Pace(rate=100, margin=0), max_in_flight=1)
    running = started(gate, 0.0)
    ticket = gate.enqueue(0.0, "a", patience=until(50.0))
    gate.leave(running, 40.0)
    assert gate.step(40.0) == [ticket]
    behind = gate.enqueue(40.0, "a", patience=until(81.0))
    gate.cooldown(40.0, 1.0)
    assert gate.step(40.0) == []
    assert behind.phase is Phase.WAITING


def test_a_retry_waits_at_the_head_of_its_line() -> None:
    """`predict` says when a retry would start, without a place being taken."""
    gate = throttle()
    started(gate, 0.0)
    for caller in "aaabb":
        gate.enqueue(0.0, caller)
    assert gate.predict(0.0, "a").position == 6
    assert gate.predict(0.0, "a", head=True) == Estimate(1, 0.5, exact=True)
    assert gate.waiting == 5


def test_another_slot_that_comes_too_late_is_refused() -> None:
    """Who was overtaken while connecting and would have to wait past the deadline is told."""
    gate = throttle()
    slow = gate.enqueue(0.0, "a", patience=until(0.9))
    gate.enqueue(0.0, "b")
    run(gate, 0.0)
    with pytest.raises(WaitTooLong, match=r"in 0\.30 s"):
        gate.start(slow, 0.7)
    gate.leave(slow, 0.7)
    assert gate.in_flight == 0
    assert gate.enqueue(1.0, "c").phase is Phase.GRANTED


def test_a_slow_connect_is_no_queueing() -> None:
    """The patience is for the queue: a slot in hand is used, however long the connect took."""
    gate = throttle()
    slow = gate.enqueue(0.0, "a", patience=until(0.1, "max_queue_wait"))
    assert gate.start(slow, 3.0) == 3.0


def test_only_a_granted_ticket_can_start() -> None:
    """Starting twice, or without a slot, is a fault of ours and not a silent request too many."""
    gate = throttle()
    ticket = started(gate, 0.0)
    waiting = gate.enqueue(0.0, "a")
    for wrong in (ticket, waiting):
        with pytest.raises(RuntimeError, match="only a granted ticket can start"):
            gate.start(wrong, 0.0)


def test_the_next_slot_counts_from_when_the_bytes_left() -> None:
    """`started` moves the schedule when writing took its time."""
    gate = throttle()
    ticket = started(gate, 0.0)
    gate.started(ticket, 0.25)
    waiting = gate.enqueue(0.25, "a")
    assert run(gate, 0.25) == [(0.75, waiting)]


def test_drain_refuses_who_waits_and_who_comes() -> None:
    """Queued calls fail over to another server; running ones go on."""
    gate = throttle()
    running = started(gate, 0.0)
    waiting = [gate.enqueue(0.0, "a") for _ in range(2)]
    gate.drain(0.1, 30.0)
    assert gate.step(0.1) == waiting
    assert all(isinstance(ticket.error, Draining) for ticket in waiting)
    with pytest.raises(Draining):
        gate.enqueue(0.1, "b")
    assert gate.in_flight == 1
    gate.leave(running, 1.0)
    assert gate.in_flight == 0


def test_drain_keeps_who_was_told_and_can_make_it() -> None:
    """A queued call that was sent a queued event and whose slot lies within the grace stays."""
    gate = throttle()
    started(gate, 0.0)
    tickets = [gate.enqueue(0.0, "a") for _ in range(6)]
    for n in (1, 2, 5):
        tickets[n].told = True
    gate.drain(0.1, 1.2)
    assert sorted(t.number for t in gate.step(0.1)) == [tickets[n].number for n in (0, 3, 4, 5)]
    assert isinstance(tickets[5].error, Draining)
    assert run(gate, 0.1) == [(0.5, tickets[1]), (1.0, tickets[2])]


def test_drain_lets_retries_in_that_can_make_it() -> None:
    """A running call's next attempt is part of a running call."""
    gate = throttle()
    started(gate, 0.0)
    gate.drain(0.0, 0.7)
    retry = gate.enqueue(0.0, "a", head=True)
    with pytest.raises(Draining):
        gate.enqueue(0.0, "a", head=True)
    assert run(gate, 0.0) == [(0.5, retry)]


def test_time_that_steps_back_stands_still() -> None:
    """No slot comes early and nothing breaks when the clock jumps."""
    gate = throttle()
    started(gate, 100.0)
    ticket = gate.enqueue(40.0, "a")
    assert gate.step(99.0) == []
    assert gate.next_wakeup(99.0) == 100.5
    assert run(gate, 99.0) == [(100.5, ticket)]
    late = gate.enqueue(101.0, "a")
    assert gate.start(late, 50.0) == 50.0
    assert late.phase is Phase.STARTED


def test_patience_is_the_tightest_limit() -> None:
    """The deadline less its reserve, or the shortest of the longest waits, by name."""
    limits = {"throttle.max_wait": 60.0, "scheduling.max_queue_wait": 5.0}
    assert Patience.within(100.0, deadline=103.0, reserve=0.5, waits=limits) == Patience(
        102.5, "the deadline"
    )
    assert Patience.within(100.0, deadline=200.0, waits=limits) == Patience(
        105.0, "scheduling.max_queue_wait"
    )
    assert Patience.within(100.0).until == math.inf


def test_what_happened_is_counted() -> None:
    """Cheap counters for metrics: grants, starts, leavings, cooldowns, and refusals by reason."""
    gate = throttle(max_queue=1)
    started(gate, 0.0)
    ticket = gate.enqueue(0.0, "a")
    for patience in (until(9.0), until(0.1)):
        with pytest.raises(Refused):
            gate.enqueue(0.0, "b", patience=patience)
    gate.leave(ticket, 0.0)
    gate.cooldown(0.0, 1.0)
    with pytest.raises(WaitTooLong):
        gate.enqueue(0.0, "b", patience=until(0.1))
    assert gate.counts == {
        "granted": 1,
        "started": 1,
        "left": 1,
        "cooldowns": 1,
        "QUEUE_FULL": 2,
        "WAIT_TOO_LONG": 1,
    }


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ((0, 1), "throttle.max_in_flight is 0"),
        ((math.nan, 1), "throttle.max_in_flight is nan"),
        ((1, -1), "throttle.max_queue is -1"),
    ],
)
def test_bad_settings_are_named(settings: tuple[float, float], name: str) -> None:
    """A limit out of range is refused by its name."""
    with pytest.raises(ValueError, match=name):
        throttle(max_in_flight=settings[0], max_queue=settings[1])
