"""Rows about several workers on one port, of which one is killed."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import grpc

from replicas import Arrivals
from scene import as_caller, ask, http_get, recorder
from support.workers import command
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.gateway import Caller
    from support.workers import Command

CALLERS = 10
MODEL = "published"  # the recorder answers 429 to whoever breaks the published limit
RETRYABLE = {"UNAVAILABLE"}  # what the shipped service config retries


class Kill(NamedTuple):
    """What became of it.

    Attributes:
        replaced: seconds until the next worker was ready.
        struck: how the calls ended that were under way then.
        later: how all calls ended that were made after that.
    """

    replaced: float
    struck: Counter[str]
    later: Counter[str]


@dataclass(slots=True)
class Called:
    """One call; it has an end once it is over."""

    began: float
    ended: float = math.inf
    end: str = ""


class Crowd:
    """Callers that never rest, each on a connection of its own."""

    def __init__(self, running: Command) -> None:
        self._calls: list[Called] = []
        callers = [running.caller() for _ in range(CALLERS)]
        self._tasks = [
            asyncio.create_task(self._hammer(caller, f"c{number}"))
            for number, caller in enumerate(callers)
        ]

    def struck(self, instant: float) -> Counter[str]:
        """How the calls ended that were under way at an instant."""
        return Counter(call.end for call in self._calls if call.began < instant < call.ended)

    def later(self, instant: float) -> Counter[str]:
        """How the calls ended that were made after it."""
        return Counter(call.end for call in self._calls if call.began >= instant and call.end)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _hammer(self, caller: Caller, name: str) -> None:
        while True:
            call = Called(time.monotonic())
            self._calls.append(call)
            try:
                await caller.stub.Chat(ask(MODEL), metadata=as_caller(name), timeout=60)
                call.end = "OK"
            except grpc.aio.AioRpcError as error:
                call.end = error.code().name
                await asyncio.sleep(0.1)
            finally:
                call.ended = time.monotonic()


async def worker_killed(seconds: float, runs: int) -> AsyncIterator[Row]:
    """One of two workers is killed with SIGKILL midway."""
    seen = [await _worker_killed(seconds) for _ in range(runs)]
    smallest = min(arrivals.smallest_gap() for arrivals, _, _ in seen)
    refused = sum(arrivals.refused for arrivals, _, _ in seen)
    used = median(share for _, share, _ in seen)
    name = f"2 workers, {CALLERS} callers, {seconds:g} s, one killed midway"
    yield Row(
        name,
        "no gap under 499 ms, no 429, at least 93 % of the slots used",
        f"smallest gap {smallest * 1000:.1f} ms, {refused} 429s, {used:.1%} used"
        f" (median of {runs})",
        smallest >= 0.499 and not refused and used >= 0.93,
    )
    kills = [kill for _, _, kill in seen]
    replaced = max(kill.replaced for kill in kills)
    struck = sum((kill.struck for kill in kills), Counter[str]())
    later = sum((kill.later for kill in kills), Counter[str]())
    failed = {code for ends in (struck, later) for code in ends if code != "OK"}
    yield Row(
        f"{name}: its calls, and who takes its place",
        "its own calls fail with a retryable status, the others go on, replaced within 5 s",
        f"of the calls under way {_in_words(struck)}, of later ones {_in_words(later)};"
        f" replaced after at most {replaced:.2f} s ({runs} runs)",
        bool(struck["OK"]) and len(failed) > 0 and failed <= RETRYABLE and replaced <= 5,
    )


def _in_words(ends: Counter[str]) -> str:
    return ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))


async def _worker_killed(seconds: float) -> tuple[Arrivals, float, Kill]:
    """What arrived, the share of the slots that were used, and the kill."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(recorder())
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        flags = ("--upstream", url, "--profile", "published")
        trusted = ("--callers.trusted_peers", "127.0.0.0/8")
        running = await stack.enter_async_context(command(*flags, *trusted))
        await running.caller().stub.Chat(ask(MODEL))
        before = await _arrivals(port)
        first = before.at[0]
        crowd = Crowd(running)
        stack.push_async_callback(crowd.close)
        await asyncio.sleep(first + seconds / 2 - time.monotonic())
        killed = time.monotonic()
        os.kill(running.pids[0], signal.SIGKILL)
        replaced = await _ready_again(running) - killed
        await asyncio.sleep(first + seconds - time.monotonic())
        after = await _arrivals(port)
        kill = Kill(replaced, crowd.struck(killed), crowd.later(killed))
    arrivals = Arrivals(before.at + after.at, before.refused + after.refused)
    return arrivals, arrivals.used(first, first + seconds), kill


async def _arrivals(port: int) -> Arrivals:
    """All since the last time."""
    seen = json.loads(await http_get(port, "/report"))
    return Arrivals([at for at, _ in seen["arrivals"]], seen["refused"])


async def _ready_again(running: Command) -> float:
    """When the log says that the next worker serves."""
    assert running.process.stderr is not None
    async for line in running.process.stderr:
        if b'"worker_ready"' in line:
            return time.monotonic()
    raise RuntimeError("the supervisor has ended")
