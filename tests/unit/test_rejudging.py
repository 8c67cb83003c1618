"""When the schedule moves every waiter is judged again, and patience ends on time."""

from __future__ import annotations

import pytest

from headgate.errors import WaitTooLong
from headgate.throttle.throttle import REJUDGE_EVERY
from headgate.throttle.ticket import Estimate, Phase
from support.clockwork import NO_PACE, run, started, throttle, until


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


def test_bytes_that_leave_late_are_a_move_of_the_schedule() -> None:
    """The same when the request itself took long to be written."""
    gate = throttle()
    slow = started(gate, 0.0)
    edge = gate.enqueue(0.0, "b", patience=until(0.6))
    gate.started(slow, 0.4)
    assert gate.step(0.4) == [edge]


def test_slots_that_went_by_while_the_cap_was_reached_are_a_move_too() -> None:
    """When a place comes free, who can only get the slot after the next one is judged."""
    gate = throttle(max_in_flight=1)
    running = started(gate, 0.0)
    first = gate.enqueue(0.0, "a", patience=until(10.0))
    second = gate.enqueue(0.0, "a", patience=until(10.4))
    gate.leave(running, 10.0)
    assert gate.step(10.0) == [second, first]
    assert (second.phase, first.phase) == (Phase.REFUSED, Phase.GRANTED)


def test_who_was_judged_is_judged_again_when_pushed() -> None:
    """A judgement that lets somebody stay is not the last."""
    gate = throttle()
    started(gate, 0.0)
    gate.enqueue(0.0, "a")
    edge = gate.enqueue(0.0, "a", patience=until(1.2))
    gate.cooldown(0.0, 0.0)
    gate.enqueue(0.0, "b")
    due = gate.next_wakeup(0.0) or 0.0
    assert due < 0.5
    assert gate.step(due) == [edge]


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


def test_patience_that_ends_now_is_not_over_yet() -> None:
    """Of two who end, the one that ended before is refused and the one that ends now is served."""
    gate = throttle(NO_PACE, max_in_flight=1)
    running = started(gate, 0.0)
    before = gate.enqueue(0.0, "a", patience=until(2.9))
    now = gate.enqueue(0.0, "b", patience=until(3.0))
    gate.leave(running, 3.0)
    assert gate.step(3.0) == [before, now]
    assert (before.phase, now.phase) == (Phase.REFUSED, Phase.GRANTED)


def test_who_woke_up_too_late_is_not_started() -> None:
    """After a pause of the whole process nobody starts past his patience."""
    gate = throttle()
    started(gate, 0.0)
    late = gate.enqueue(0.0, "a", patience=until(10.0))
    fine = gate.enqueue(0.0, "a", patience=until(1000.0))
    assert gate.step(500.0) == [late, fine]
    assert (late.phase, fine.phase) == (Phase.REFUSED, Phase.GRANTED)
