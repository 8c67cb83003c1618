"""What the schedule in Redis costs: round trips and CPU for each slot."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import redis.asyncio

from headgate.redis_ledger import RedisLedger
from headgate.throttle.courier import Courier
from headgate.throttle.pacer import Pace
from headgate.throttle.shared_store import SharedStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.turnstile import Turnstile
from support.redis_server import redis_server
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headgate.throttle.ticket import Ticket

FAST = 6000.0
WAITERS = 500


class Cost(NamedTuple):
    slots: float  # a second
    trips: float  # for each slot
    core: float  # share of one core that this process used


async def store_cost(seconds: float, runs: int) -> AsyncIterator[Row]:
    """As fast as the schedule gives slots, and at the published pace."""
    fast = [await _cost(Pace(rate=FAST), WAITERS, seconds) for _ in range(runs)]
    slow = await _cost(Pace(rate=2, min_interval=0.5), 10, 3 * seconds)
    slots, core = median(cost.slots for cost in fast), median(cost.core for cost in fast)
    trips = max(cost.trips for cost in (*fast, slow))
    yield Row(
        f"cost of the Redis store, {WAITERS} callers and a rate of {FAST:g}/s; 10 callers and 2/s",
        "at most one round trip a slot; 5,000 slots a second on one core",
        f"{slots:,.0f} slots/s with {core:.0%} of a core, {slots / core:,.0f} a second on a whole"
        f" one; {median(c.trips for c in fast):.3f} round trips a slot, {slow.trips:.2f} at 2/s"
        f" (medians of {runs})",
        slots / core >= 5000 and trips <= 1,
    )


async def _cost(pace: Pace, waiters: int, seconds: float) -> Cost:
    with tempfile.TemporaryDirectory() as directory:
        async with redis_server(directory) as server:
            return await _cost_at(server.url, pace, waiters, seconds)


async def _cost_at(url: str, pace: Pace, waiters: int, seconds: float) -> Cost:
    store = SharedStore(pace)
    turnstile = Turnstile(Throttle(store))
    courier = Courier(RedisLedger(url, pace=pace, key="cost", member="one"), store, timeout=0.5)
    await courier.start(turnstile.turn)
    client = redis.asyncio.Redis.from_url(url, protocol=2)
    tasks = [asyncio.create_task(_call_again_and_again(turnstile)) for _ in range(waiters)]
    turnstile.leave(await turnstile.enter(_line(turnstile), _quiet))  # it flows
    trips, used = await _trips(client), store.counts["used"]
    began, worked = time.monotonic(), os.times()
    await asyncio.sleep(seconds)
    took, done = time.monotonic() - began, os.times()
    slots, trips = store.counts["used"] - used, await _trips(client) - trips
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await courier.aclose()
    await client.aclose()
    cpu = done.user + done.system - worked.user - worked.system
    return Cost(slots / took, trips / slots, cpu / took)


async def _call_again_and_again(turnstile: Turnstile) -> None:
    enqueue = _line(turnstile)
    while True:
        ticket = await turnstile.enter(enqueue, _quiet)
        try:
            await turnstile.start(ticket)
        finally:
            turnstile.leave(ticket)
        await asyncio.sleep(0)  # as a call's own work would do


def _line(turnstile: Turnstile) -> Callable[[float], Ticket]:
    return lambda now: turnstile.throttle.enqueue(now, "one")


def _quiet(_: object) -> None:
    """Nobody asks where it stands in line."""


async def _trips(client: redis.asyncio.Redis) -> int:
    commands = await client.info("commandstats")
    return int(commands["cmdstat_evalsha"]["calls"])
