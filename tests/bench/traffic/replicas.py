"""Rows about several gateways that share one Redis: kills, losses, slowness, wrong clocks."""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, cast

import grpc

from headgate.v1 import chat_pb2_grpc
from scene import as_caller, ask, gateway, http_get, reason, recorder
from support.redis_server import redis_server, slow_link
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scene import Stub
    from support.redis_server import RedisServer

GAP = 0.5
REPLICAS, CALLERS = 3, 10
MODEL = "published"  # the recorder answers 429 to whoever breaks the published limit


class Arrivals(NamedTuple):
    """What the recorder saw, on this machine's monotonic clock."""

    at: list[float]
    refused: int

    def between(self, first: float, last: float) -> list[float]:
        return [at for at in self.at if first <= at < last]

    def smallest_gap(self, first: float = -math.inf, last: float = math.inf) -> float:
        return min((b - a for a, b in pairwise(self.between(first, last))), default=math.inf)

    def used(self, first: float, last: float) -> float:
        """Share of the allowed slots."""
        return len(self.between(first, last)) / ((last - first) / GAP)

    def excess(self, first: float = -math.inf, last: float = math.inf) -> float:
        """By how many attempts the most crowded time passed the rate; 0 or less: never.

        In t seconds, both ends included, there may be t / GAP + 1.
        """
        at = self.between(first, last)
        pairs = ((i, j) for i in range(len(at)) for j in range(i + 1, len(at)))
        return max((j - i - (at[j] - at[i]) / GAP for i, j in pairs), default=-math.inf)


class Company:
    """Gateways behind which one recorder stands, each with callers that never rest."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.gateways: list[tuple[asyncio.subprocess.Process, str]] = []
        self.ends: list[Counter[str]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._channels: list[grpc.aio.Channel] = []

    def join(self, gateway: tuple[asyncio.subprocess.Process, str]) -> None:
        """One gateway more, with its callers."""
        number = len(self.gateways)
        self.gateways.append(gateway)
        self.ends.append(Counter())
        channel = grpc.aio.insecure_channel(gateway[1])
        self._channels.append(channel)
        stub = cast("Stub", chat_pb2_grpc.ChatServiceStub(channel))
        for caller in range(CALLERS):
            hammering = self._hammer(stub, f"g{number}c{caller}", self.ends[number])
            self._tasks.append(asyncio.create_task(hammering))

    def kill(self, number: int) -> None:
        self.gateways[number][0].kill()

    async def arrivals(self) -> Arrivals:
        """All since the last time."""
        seen = json.loads(await http_get(self.port, "/report"))
        return Arrivals([at for at, _ in seen["arrivals"]], seen["refused"])

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for channel in self._channels:
            await channel.close()

    async def _hammer(self, stub: Stub, name: str, ends: Counter[str]) -> None:
        while True:
            try:
                await stub.Chat(ask(MODEL), metadata=as_caller(name), timeout=60)
                ends["OK"] += 1
            except grpc.aio.AioRpcError as error:
                ends[f"{error.code().name} {reason(error)}"] += 1
                await asyncio.sleep(0.2)


@asynccontextmanager
async def company(count: int, *flags: str) -> AsyncIterator[Company]:
    """So many gateways with these flags, and callers at each."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(recorder())
        gateways = [await stack.enter_async_context(gateway(port, *flags)) for _ in range(count)]
        made = Company(port)
        for one in gateways:
            made.join(one)
        try:
            yield made
        finally:
            await made.close()


@asynccontextmanager
async def own_redis() -> AsyncIterator[RedisServer]:
    with tempfile.TemporaryDirectory() as directory:
        async with redis_server(directory) as server:
            yield server


async def killed(seconds: float, runs: int) -> AsyncIterator[Row]:
    """One of three gateways is killed with SIGKILL midway."""
    seen = [await _killed(seconds) for _ in range(runs)]
    smallest = min(arrivals.smallest_gap() for arrivals, _ in seen)
    refused = sum(arrivals.refused for arrivals, _ in seen)
    used = median(share for _, share in seen)
    yield Row(
        f"{REPLICAS} gateways on one Redis, {CALLERS} callers each, {seconds:g} s,"
        " one killed midway",
        "no gap under 499 ms, no 429, at least 93 % of the slots used",
        f"smallest gap {smallest * 1000:.1f} ms, {refused} 429s,"
        f" {used:.1%} used (median of {runs})",
        smallest >= 0.499 and not refused and used >= 0.93,
    )


async def _killed(seconds: float) -> tuple[Arrivals, float]:
    async with own_redis() as redis, company(REPLICAS, "--throttle.store", redis.url) as group:
        first = await _first_arrival(group)
        await _until(first + seconds / 2)
        group.kill(0)
        await _until(first + seconds)
        arrivals = await group.arrivals()
    return arrivals, arrivals.used(first, first + seconds)


async def stopped(seconds: float, runs: int) -> AsyncIterator[Row]:
    """Redis is killed for a while, and comes back with no data."""
    seen = [await _stopped(seconds) for _ in range(runs)]
    excess = max(excess for excess, _, _ in seen)
    away, after = median(away for _, away, _ in seen), median(after for _, _, after in seen)
    yield Row(
        f"{REPLICAS} gateways, Redis stopped for {seconds:g} s midway",
        "never above the rate, at least 60 % of it used, full rate within 5 s of its return",
        f"at most {excess:+.2f} attempts above the rate; {away:.0%} used while it was away,"
        f" {after:.0%} from 5 s after its return on (medians of {runs})",
        excess <= EXCESS and away >= 0.6 and after >= 0.93,
    )


EXCESS = 0.01  # what the network and the recorder's own timing may make of exactly the rate


async def _stopped(seconds: float) -> tuple[float, float, float]:
    async with own_redis() as redis, company(REPLICAS, "--throttle.store", redis.url) as group:
        first = await _first_arrival(group)
        await _until(first + seconds)
        gone = time.monotonic()
        await redis.stop()
        await _until(gone + seconds)
        await redis.start()
        back = time.monotonic()
        await _until(back + 5 + seconds)
        arrivals = await group.arrivals()
    return (
        arrivals.excess(),
        arrivals.used(gone, gone + seconds),
        arrivals.used(back + 5, back + 5 + seconds),
    )


async def slow(seconds: float, runs: int) -> AsyncIterator[Row]:
    """Redis takes 200 ms for a reply, then gives none."""
    seen = [await _slow(seconds) for _ in range(runs)]
    smallest = min(gap for gap, _, _, _ in seen)
    excess, pause = max(excess for _, excess, _, _ in seen), max(pause for _, _, pause, _ in seen)
    used = median(used for _, _, _, used in seen)
    yield Row(
        f"{REPLICAS} gateways, Redis takes 200 ms a reply for {seconds:g} s, then hangs as long",
        "no gap under 499 ms while slow; no wait longer than the store timeout (0.5 s) and a"
        " turn more; never above the rate",
        f"smallest gap while slow {smallest * 1000:.1f} ms, {used:.0%} used; longest pause of all"
        f" when it hung {pause:.2f} s; at most {excess:+.2f} attempts above the rate",
        smallest >= 0.499 and pause <= LONGEST_PAUSE and excess <= EXCESS,
    )


# The store timeout, then the slots that others may still hold, then one's own turn.
LONGEST_PAUSE = 0.5 + (REPLICAS - 1) * 0.505 + REPLICAS * 0.505


async def _slow(seconds: float) -> tuple[float, float, float, float]:
    async with own_redis() as redis, slow_link(redis.port) as link:
        url = f"redis://127.0.0.1:{link.port}/0"
        async with company(REPLICAS, "--throttle.store", url) as group:
            await _first_arrival(group)
            link.delay = 0.2
            began = time.monotonic()
            await _until(began + seconds)
            link.hold()
            hung = time.monotonic()
            await _until(hung + seconds)
            arrivals = await group.arrivals()
            link.free()
    after = [began, *arrivals.between(hung - 1, math.inf)]
    pause = max(b - a for a, b in pairwise(after[1:]))
    return (
        arrivals.smallest_gap(began, hung),
        arrivals.excess(),
        pause,
        arrivals.used(began, hung),
    )


async def clock(seconds: float) -> AsyncIterator[Row]:
    """One of two gateways has a clock that is 30 s ahead, and midway 30 s behind."""
    found = next((path for path in FAKETIME if path.exists()), None)
    name = f"one of 2 gateways 30 s ahead, then stepped to 30 s behind, {seconds:g} s"
    if found is None:
        yield Row(name, "no effect", "not measured: libfaketime is not installed", ok=False)
        return
    with tempfile.TemporaryDirectory() as directory:
        set_to = Path(directory) / "clock"
        set_to.write_text("+30s\n", encoding="ascii")
        wrong = {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(set_to),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else it reads that file whenever somebody asks what time it is.
            "FAKETIME_CACHE_DURATION": "1",
        }
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(own_redis())
            flags = ("--throttle.store", redis.url)
            group = await stack.enter_async_context(company(1, *flags))
            other = gateway(group.port, *flags, environment=wrong)
            group.join(await stack.enter_async_context(other))
            first = await _first_arrival(group)
            await _until(first + seconds / 2)
            set_to.write_text("-30s\n", encoding="ascii")
            await _until(first + seconds)
            arrivals = await group.arrivals()
            shares = [ends["OK"] for ends in group.ends]
    smallest, used = arrivals.smallest_gap(), arrivals.used(first, first + seconds)
    yield Row(
        name,
        "no effect: no gap under 499 ms, at least 93 % used, both served",
        f"smallest gap {smallest * 1000:.1f} ms, {arrivals.refused} 429s, {used:.1%} used,"
        f" answers {shares[0]} and {shares[1]}",
        smallest >= 0.499 and used >= 0.93 and min(shares) > 0.4 * max(shares),
    )


FAKETIME = [
    Path(directory) / "faketime" / "libfaketime.so.1"
    for directory in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib")
]


async def _first_arrival(group: Company) -> float:
    """When the calls have begun to flow; what came before is not counted."""
    while not (await group.arrivals()).at:  # noqa: ASYNC110 - it is another process's
        await asyncio.sleep(0.05)
    return time.monotonic()


async def _until(instant: float) -> None:
    await asyncio.sleep(max(0.0, instant - time.monotonic()))
