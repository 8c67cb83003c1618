"""What the throttle may expect of any store: one contract over memory, supervisor and Redis."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from headgate.redis_ledger import RedisLedger
from headgate.throttle.courier import Courier
from headgate.throttle.pacer import Pace
from headgate.throttle.shared_store import SharedStore
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.ticket import Patience
from headgate.throttle.turnstile import Turnstile
from support.kept_schedule import KeptSchedule
from support.redis_server import needs_redis, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from headgate.throttle.ledger import Ledger
    from headgate.throttle.store import Store
    from headgate.throttle.ticket import Ticket

PACE = Pace(rate=50, min_interval=0.02, margin=0.004)
NEAREST = PACE.gap - PACE.margin - 0.0005
KINDS = ["memory", "supervisor", pytest.param("redis", marks=needs_redis)]


class Line:
    """Where attempts wait for a store's slots, and when they started."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.turnstile = Turnstile(Throttle(store))
        self.starts: list[tuple[float, str]] = []

    async def attempt(self, name: str, *, handshake: float = 0.0, until: float = math.inf) -> None:
        def enqueue(now: float) -> Ticket:
            return self.turnstile.throttle.enqueue(now, "someone", patience=Patience(until, "it"))

        ticket = await self.turnstile.enter(enqueue, lambda _: None)
        try:
            await asyncio.sleep(handshake)
            await self.turnstile.start(ticket)
            self.starts.append((time.monotonic(), name))
        finally:
            self.turnstile.leave(ticket)


@pytest.fixture(params=KINDS)
async def lines(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Callable[[], Line]]:
    """Makes lines, which share one schedule where the store can be shared."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            only = Line(MemoryStore(PACE))
            yield lambda: only
            return
        made: list[Line] = []
        ledgers = await stack.enter_async_context(_ledgers(request.param, tmp_path))
        for number in range(2):
            store = SharedStore(PACE)
            line = Line(store)
            courier = Courier(ledgers(number), store, timeout=2)
            await courier.start(line.turnstile.turn)
            stack.push_async_callback(courier.aclose)
            made.append(line)
        turns = iter([*made, *made])
        yield lambda: next(turns)


@asynccontextmanager
async def _ledgers(kind: str, directory: Path) -> AsyncIterator[Callable[[int], Ledger]]:
    if kind == "supervisor":
        yield KeptSchedule(PACE).ledger
        return
    async with redis_server(str(directory)) as server:
        yield lambda number: RedisLedger(server.url, pace=PACE, key="k", member=f"m{number}")


async def test_every_attempt_starts_and_none_too_soon(lines: Callable[[], Line]) -> None:
    """All get a slot, first come first served in their line, a gap apart over all lines."""
    one, other = lines(), lines()
    names = [f"{n:02}" for n in range(12)]
    await asyncio.gather(
        *(one.attempt(name) for name in names), *(other.attempt(name) for name in names)
    )
    starts = sorted({start for line in (one, other) for start, _ in line.starts})
    assert len(starts) == 24
    assert all(b - a >= NEAREST for a, b in pairwise(starts))
    if one is not other:
        assert [name for _, name in one.starts] == names


async def test_a_slow_handshake_is_never_written_too_near(lines: Callable[[], Line]) -> None:
    """Who misses its slot gets another one, and the others go on."""
    one, other = lines(), lines()
    slow = [one.attempt("slow", handshake=0.05), other.attempt("slow", handshake=0.031)]
    await asyncio.gather(*slow, *(line.attempt("quick") for line in (one, other) * 4))
    starts = sorted(start for line in {one, other} for start, _ in line.starts)
    assert len(starts) == 10
    assert all(b - a >= NEAREST for a, b in pairwise(starts))


async def test_who_leaves_the_line_takes_no_slot_along(lines: Callable[[], Line]) -> None:
    """The others start all the same, in their order."""
    line = lines()
    tasks = [asyncio.create_task(line.attempt(f"{n}")) for n in range(8)]
    await asyncio.sleep(0)
    for task in tasks[1::2]:
        task.cancel()
    await asyncio.wait(tasks)
    assert [name for _, name in line.starts] == [
        f"{n}" for n, task in enumerate(tasks) if not task.cancelled()
    ]


async def test_a_pause_holds_for_all(lines: Callable[[], Line]) -> None:
    """Nothing starts within it at the line that heard of it, and the line goes on after it."""
    line = lines()
    await line.attempt("before")
    until = time.monotonic() + 0.2
    line.turnstile.cooldown(0.2)
    await asyncio.gather(*(line.attempt("after") for _ in range(3)))
    assert all(start >= until for start, name in line.starts if name == "after")


async def test_a_pause_reaches_the_other_members(lines: Callable[[], Line]) -> None:
    """Once it is told, what the others are given lies behind it."""
    one, other = lines(), lines()
    await one.attempt("before")
    await other.attempt("before")
    until = time.monotonic() + 0.3
    one.turnstile.cooldown(0.3)
    await one.attempt("told")  # by then the schedule has heard of it
    await other.attempt("after")
    assert min(start for start, name in other.starts if name == "after") >= until
