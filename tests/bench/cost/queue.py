"""Rows about the queue, which is plain code without I/O and is called in this process."""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING

from bench.cost.stage import Spread
from bench.cost.table import Row
from headgate.throttle.fair_queue import FairQueue
from headgate.throttle.pacer import Pace
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.ticket import Ticket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.cost.stage import Stage

WAITERS, CALLERS = 10_000, 1000
DECISIONS = 100_000
SIZES = (1000, WAITERS, 100_000)
GAP = 0.001


async def queue(stage: Stage) -> AsyncIterator[Row]:
    """Decisions: a call is put into its caller's line, the one whose turn it is is taken out."""
    rounds = stage.number(50_000, 5000)
    figures = {
        size: Spread.of(_queue(size, rounds) for _ in range(stage.runs * 2 - 1)) for size in SIZES
    }
    growth = figures[SIZES[-1]].middle / figures[SIZES[0]].middle
    log = math.log(SIZES[-1]) / math.log(SIZES[0])
    rate = 1 / figures[WAITERS].middle
    yield Row(
        f"decisions of the queue, {WAITERS:,} waiters of {CALLERS:,} callers",
        f"at least {DECISIONS:,} a second",
        f"{rate:,.0f} a second",
        rate >= DECISIONS,
        {"per second": rate},
    )
    each = ", ".join(f"{spread.middle * 1e6:.2f} µs with {n:,}" for n, spread in figures.items())
    yield Row(
        "growth of a decision with the waiters",
        f"no faster than log n: at most {log:.2f} times from {SIZES[0]:,} to {SIZES[-1]:,}",
        f"{growth:.2f} times: {each}",
        growth <= log,
        {"times": growth},
    )
    whole = Spread.of(_throttle(WAITERS, rounds // 5) for _ in range(stage.runs))
    yield Row(
        "a call's whole way through the throttle with as many waiting"
        " (judged, put in line, granted, started, over)",
        "",
        f"{whole.middle * 1e6:.1f} µs, {1 / whole.middle:,.0f} calls a second",
        None,
        {"µs": whole.middle * 1e6},
    )


def _queue(waiters: int, rounds: int) -> float:
    """Seconds for one decision."""
    drawn = random.Random(waiters)
    line = FairQueue()
    callers = [f"caller {n}" for n in range(CALLERS)]
    for number in range(waiters):
        line.add(Ticket(callers[number % CALLERS], number=number))
    tickets = [Ticket(drawn.choice(callers), number=waiters + n) for n in range(rounds)]
    began = time.perf_counter()
    for ticket in tickets:
        line.add(ticket)
        line.pop()
    return (time.perf_counter() - began) / rounds / 2


def _throttle(waiters: int, rounds: int) -> float:
    """Seconds for all that is decided about one call; a clock of its own gives a slot a round."""
    drawn = random.Random(waiters)
    throttle = Throttle(MemoryStore(Pace(min_interval=GAP, margin=0.0)), max_queue=math.inf)
    callers = [f"caller {n}" for n in range(CALLERS)]
    now = 0.0
    for number in range(waiters + 1):
        throttle.enqueue(now, callers[number % CALLERS])
    names = [drawn.choice(callers) for _ in range(rounds)]
    began = time.perf_counter()
    for name in names:
        now += GAP
        throttle.enqueue(now, name)
        for ticket in throttle.step(now):
            throttle.start(ticket, now)
            throttle.leave(ticket, now)
        throttle.next_wakeup(now)
    return (time.perf_counter() - began) / rounds
