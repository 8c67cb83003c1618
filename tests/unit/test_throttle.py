"""The throttle: slots, connects, the cap in flight, retries, drain."""

from __future__ import annotations

import math

import pytest

from headgate.errors import Draining, QueueFull, Refused, WaitTooLong
from headgate.throttle.pacer import Pace
from headgate.throttle.ticket import Estimate, Patience, Phase
from support.clockwork import NO_PACE, run, started, throttle, until


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


def test_drain_keeps_retries_that_wait() -> None:
    """A running call that waits for its next attempt goes on if its slot lies in the grace."""
    gate = throttle()
    started(gate, 0.0)
    tickets = [gate.enqueue(0.0, "a", head=head) for head in (True, False, True, True)]
    gate.drain(0.1, 1.0)
    assert gate.step(0.1) == [tickets[1], tickets[3]]
    assert run(gate, 0.1) == [(0.5, tickets[0]), (1.0, tickets[2])]


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
