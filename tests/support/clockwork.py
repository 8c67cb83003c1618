"""A throttle without a loop: time is an argument, and `run` sleeps in no time at all."""

from __future__ import annotations

import math

from headgate.throttle.pacer import Pace
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.ticket import Patience, Phase, Ticket

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
