"""Rows about what the doors cost: limits, retries, counting, lines and spans, against none."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

from bench.cost.memory import warm
from bench.cost.running import gateway, load, mock
from bench.cost.stage import Spread
from bench.cost.streams import cost_of_a_token, paced
from bench.cost.table import Row
from bench.cost.unary import cost_of_a_call, flow
from support.otlp import receiving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.cost.running import Gateway, Mock
    from bench.cost.stage import Stage

OFF = ("--log.access", "off", "--telemetry.propagators", "", "--retry.max_attempts", "1")
LIMITS = (
    *("--throttle.rate", "100000", "--throttle.max_in_flight", "10000"),
    *("--callers.rate", "100000", "--callers.max_in_flight", "10000"),
)
COUNTED = ("--metrics.listen", "127.0.0.1:0")
SCRAPES = 5.0
"""Seconds between two scrapes of the metrics."""
RATE, STREAMS = 40, 30
MOST = 1.10
TENTH = ("--telemetry.sample_ratio", "0.1")
NONE = "all off"
ALL_ON = "throttle, retry, callers, access lines, metrics, every call traced"


class Cost(NamedTuple):
    """Microseconds of CPU."""

    call: float
    token: float


async def doors(stage: Stage) -> AsyncIterator[Row]:
    """Gateways that do the same at the same time, on the same core."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        upstream = await stack.enter_async_context(mock())
        traced = ("--telemetry.otlp_endpoint", receiver.url)
        kinds = {
            NONE: OFF,
            "all off, another process, which says how exact the others are": OFF,
            "retry, access lines, trace context passed on (the default)": (),
            "throttle, retry, callers, access lines, metrics": (*LIMITS, *COUNTED),
            "all of these, and every tenth call traced": (*LIMITS, *COUNTED, *traced, *TENTH),
            ALL_ON: (*LIMITS, *COUNTED, *traced),
        }
        gateways = {
            name: await stack.enter_async_context(gateway(upstream.url, *flags))
            for name, flags in kinds.items()
        }
        scraping = asyncio.create_task(_scrape([g.metrics for g in gateways.values() if g.metrics]))
        stack.callback(scraping.cancel)
        for running in gateways.values():
            await warm(stage, running, upstream)
        rounds = [await _round(stage, gateways, upstream) for _ in range(stage.number(6, 1))]
        if scraping.done():
            scraping.result()
    for name in kinds:
        yield _row(name, rounds)
    yield Row("spans that the receiver took", "", f"{len(receiver.spans):,}", None, {})


async def _round(stage: Stage, gateways: dict[str, Gateway], upstream: Mock) -> dict[str, Cost]:
    """What each costs, of so many calls, then of so many streams."""
    pids = {name: [running.pid] for name, running in gateways.items()} | upstream.pids
    called = await load(
        "arrivals",
        pids=pids,
        flows=[flow(running.target(), stream=False) for running in gateways.values()],
        rate=RATE,
        seconds=stage.seconds(10, 3),
    )
    shape = paced(STREAMS, ramp=1, settle=1, window=stage.seconds(10, 3))
    streamed = await asyncio.gather(
        *(
            load("streams", pids={name: [running.pid]}, target=running.target(), **shape)
            for name, running in gateways.items()
        )
    )
    return {
        name: Cost(cost_of_a_call(called, name, way), cost_of_a_token(made, name))
        for way, (name, made) in enumerate(zip(gateways, streamed, strict=True))
    }


def _row(name: str, rounds: list[dict[str, Cost]]) -> Row:
    """Means of all rounds; their ratios to all off, and those of single rounds in brackets."""
    values: dict[str, Any] = {}
    words, ratios = [], []
    for what, at in (("a unary call", 0), ("a token", 1)):
        ours = [costs[name][at] for costs in rounds]
        bare = [costs[NONE][at] for costs in rounds]
        ratio = fmean(ours) / fmean(bare)
        single = Spread.of(mine / none for mine, none in zip(ours, bare, strict=True))
        text = f"{fmean(ours):,.0f} µs"
        if name != NONE:
            text += f", {ratio:.2f} times ({single.low:.2f} to {single.high:.2f})"
        words.append(f"{text} {what}")
        ratios.append(ratio)
        values |= {f"µs {what}": fmean(ours), f"times {what}": ratio}
    judged = name == ALL_ON
    return Row(
        f"CPU with {name}",
        f"at most {MOST} times all off" if judged else "",
        "; ".join(words),
        max(ratios) <= MOST if judged else None,
        values,
    )


async def _scrape(addresses: list[str]) -> None:
    async with aiohttp.ClientSession() as client:
        while True:
            for address in addresses:
                async with client.get(f"http://{address}/metrics") as page:
                    await page.read()
            await asyncio.sleep(SCRAPES)
