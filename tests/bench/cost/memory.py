"""Rows about memory: at rest, of open streams, of waiting calls, and over many calls."""

from __future__ import annotations

import time
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bench.cost.answers import Answer, Tally
from bench.cost.callers import caller
from bench.cost.process import memory
from bench.cost.running import ALL, gateway, mock
from bench.cost.stage import Spread
from bench.cost.table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.cost.running import Gateway, Mock
    from bench.cost.stage import Stage

import asyncio

MIB, KIB = 2**20, 2**10
REST, START = 80, 1.5
OPEN, OPEN_EACH, OPEN_ALL = 5000, 20, 200
CALLS, FLAT = 200_000, 0.03
# weight, model, tokens, stream, and until when (seconds) the caller cancels; 0: never
MIXTURE = [
    [55, "any", 100, False, 0],
    [20, "paced", 5, True, 0],
    [10, "paced", 100, True, 0.1],
    [5, "any", 100, False, 0.005],
    [5, "error", 1, True, 0],
    [5, "reset", 9, True, 0],
]


async def rest(stage: Stage) -> AsyncIterator[Row]:
    """From the command to the first answer, and the memory then."""
    starts, sizes = [], []
    async with mock() as upstream:
        for _ in range(stage.number(5, 1)):
            began = time.monotonic()
            async with gateway(upstream.url) as running:
                await _answered(running)
                starts.append(time.monotonic() - began)
                await warm(stage, running, upstream)
                sizes.append(memory([running]) / MIB)
                descriptors = running.descriptors()
        async with gateway(upstream.url, "--workers", "2", cores=ALL) as several:
            crew = [process.memory() / MIB for process in (several, *several.workers)]
    took, size = Spread.of(starts), Spread.of(sizes)
    yield Row(
        "from the command to the first answered call",
        f"under {START} s",
        took.text(2, " s"),
        took.middle < START,
        {"s": took.middle},
    )
    yield Row(
        "memory at rest, after 50 calls",
        f"at most {REST} MiB",
        f"{size.text(1, ' MiB')}, {descriptors} file descriptors",
        size.middle <= REST,
        {"MiB": size.middle, "descriptors": descriptors},
    )
    yield Row(
        "--workers 2 at rest: supervisor, worker, worker",
        "",
        ", ".join(f"{each:.0f} MiB" for each in crew),
        None,
        {"MiB": sum(crew)},
    )


async def _answered(running: Gateway) -> None:
    """Make one call, and wait for its answer."""
    line = caller(running.target(1))
    await line.open()
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    answer = Answer(Tally(), lambda answer: done.set_result(answer.failure))
    line.begin(answer, model="any", tokens=1, stream=False)
    if failure := await done:
        raise RuntimeError(f"the first call failed: {failure}")
    line.close()


async def warm(stage: Stage, running: Gateway, upstream: Mock) -> None:
    """50 calls of each kind."""
    for model, stream in (("any", False), ("paced", True)):
        kinds = [[1, model, 3, stream, 0]]
        shape = {"kinds": kinds, "calls": 50, "at_once": 10, "every": 50}
        await stage.load("warm", running, upstream, "mixture", target=running.target(), **shape)


async def standing(stage: Stage) -> AsyncIterator[Row]:
    """Streams that have had their first token."""
    count = stage.number(OPEN, 500)
    quiet = ("--upstream.idle_timeout", "600")
    async with mock() as upstream, gateway(upstream.url, *quiet) as running:
        await warm(stage, running, upstream)
        made = await _stand(stage, running, upstream, count)
    before, after = made["memory"]["gateway"]
    each = (after - before) / count / KIB
    yield Row(
        f"memory of an open stream, {count:,} of them",
        f"at most {OPEN_EACH} KiB; {OPEN:,} of them in under {OPEN_ALL} MiB",
        f"{each:.1f} KiB each, {after / MIB:.0f} MiB in all, {before / MIB:.0f} MiB before them;"
        f" {made['started']:,} had their first token",
        each <= OPEN_EACH and after / MIB < OPEN_ALL and made["started"] == count,
        {"KiB": each, "MiB": after / MIB},
    )


async def waiting(stage: Stage) -> AsyncIterator[Row]:
    """Calls that wait for their slot, with the next slot far away."""
    count = stage.number(1000, 200)
    far = ("--throttle.rate", "0.001", "--throttle.max_wait", "inf", "--throttle.max_queue", "inf")
    async with mock() as upstream, gateway(upstream.url, *far) as running:
        await _answered(running)  # takes the only slot
        shape = {"model": "any", "streams": count, "tokens": 9, "finish": False, "patience": 0.1}
        shape |= {"ramp": count / 250, "settle": 2.0, "window": 0.5, "at_once": count}
        made = await stage.load(
            "waiting", running, upstream, "streams", target=running.target(), **shape
        )
    before, after = made["memory"]["gateway"]
    yield Row(
        f"memory of a waiting call, {count:,} of them",
        "",
        f"{(after - before) / count / KIB:.1f} KiB",
        None,
        {"KiB": (after - before) / count / KIB},
    )


async def _stand(stage: Stage, running: Gateway, upstream: Mock, count: int) -> dict[str, Any]:
    shape = {"model": "standing", "streams": count, "tokens": 9, "finish": False, "at_once": 50}
    shape |= {"ramp": count / 250, "settle": 2.0, "window": 0.5}
    target = running.target(max(4, count // 500))
    return await stage.load("standing", running, upstream, "streams", target=target, **shape)


async def soak(stage: Stage) -> AsyncIterator[Row]:
    """Many calls with cancels, errors and resets among them."""
    calls = stage.number(CALLS, 2000)
    async with mock(gap=0.01) as upstream, gateway(upstream.url) as running:
        made = await stage.load(
            "soak",
            running,
            upstream,
            "mixture",
            target=running.target(),
            kinds=MIXTURE,
            calls=calls,
            at_once=100,
            every=calls // 40,
        )
    sizes = [each["gateway"] / MIB for each in made["memory"]]
    quarter = len(sizes) // 4
    second, last = fmean(sizes[quarter : 2 * quarter]), fmean(sizes[-quarter:])
    ends = ", ".join(f"{count:,} {end}" for end, count in sorted(made["ends"].items()))
    yield Row(
        f"memory over {calls:,} calls with cancels, errors and resets",
        f"the last quarter within {FLAT:.0%} of the second",
        f"{last / second - 1:+.1%}: {second:.1f} MiB in the second quarter, {last:.1f} in the last,"
        f" at most {max(sizes):.1f}; {calls / made['seconds']:.0f} calls/s; {ends}",
        abs(last / second - 1) <= FLAT,
        {"growth": last / second - 1, "MiB": last},
    )
