"""What headgate needs: CPU for a call and a token, memory, descriptors; and what watching costs.

    PYTHONPATH=tests .venv/bin/python tests/bench/size/measure.py

Prints one table, and writes `build/bench-size.json`. The gateways are processes of their own and
are asked for nothing but what Linux knows of them; upstream and callers are this process.
`--quick` is a tenth of it, to see that it works.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import uvloop

from bench.size.gateway import serving
from bench.size.load import answer, short_calls, standing_streams, steady_streams, waiting_calls
from support.otlp import receiving
from support.raw_upstream import RawUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from bench.size.gateway import Gateway, Process

FILE = Path(__file__).resolve().parents[3] / "build" / "bench-size.json"
QUIET = ("--log.access", "off", "--telemetry.propagators", "")
SCRAPES = 5.0
"""Seconds between two scrapes of the metrics."""


class Row(NamedTuple):
    """One figure."""

    what: str
    figure: str


class Length(NamedTuple):
    """How much of it all."""

    rounds: int = 6
    calls: int = 1000
    streams: int = 25
    tokens: int = 200
    standing: int = 1000
    waiting: int = 1000


QUICK = Length(rounds=1, calls=100, streams=10, tokens=10, standing=100, waiting=100)


async def telemetry(url: str, length: Length) -> AsyncIterator[Row]:
    """CPU for a call and a token, of gateways that do the same at the same time."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        watched = ("--metrics.listen", "127.0.0.1:0")
        kinds = {
            "nothing": QUIET,
            "nothing, another process, which says how exact the others are": QUIET,
            "access lines, trace context passed on (the default)": (),
            "access lines, metrics": watched,
            "access lines, metrics, every call traced": (
                *watched,
                *("--telemetry.otlp_endpoint", receiver.url),
            ),
        }
        gateways = {
            name: await stack.enter_async_context(serving(url, *flags))
            for name, flags in kinds.items()
        }
        scraping = asyncio.create_task(_scrape([g.metrics for g in gateways.values() if g.metrics]))
        stack.callback(scraping.cancel)
        for gateway in gateways.values():  # everything is imported, and every path is warm
            await short_calls(gateway, 50)
        rounds = [await _round(gateways, length) for _ in range(length.rounds)]
        if scraping.done():
            scraping.result()
    for row in _compared(list(gateways), rounds):
        yield row
    yield Row("spans that the receiver took", f"{len(receiver.spans):,}")


async def _round(gateways: dict[str, Gateway], length: Length) -> list[tuple[float, float]]:
    """Seconds of CPU of each for one call, and for one token."""
    everyone = list(gateways.values())
    calls = await _cpu(everyone, [short_calls(gateway, length.calls) for gateway in everyone])
    streams = [steady_streams(gateway, length.streams, length.tokens) for gateway in everyone]
    tokens = await _cpu(everyone, streams)
    each = length.streams * length.tokens
    return [(call / length.calls, token / each) for call, token in zip(calls, tokens, strict=True)]


async def _cpu(gateways: list[Gateway], work: list[Coroutine[Any, Any, None]]) -> list[float]:
    """All work at once, so that whatever else the machine does it does to all."""
    before = [gateway.cpu() for gateway in gateways]
    await asyncio.gather(*work)
    return [gateway.cpu() - cpu for gateway, cpu in zip(gateways, before, strict=True)]


def _compared(names: list[str], rounds: list[list[tuple[float, float]]]) -> list[Row]:
    """Means over all rounds, and their ratios to the first; those of single rounds in brackets."""
    return [
        Row(
            f"CPU with {name}",
            f"{_against_first(rounds, number, 0)} a unary call,"
            f" {_against_first(rounds, number, 1)} a token",
        )
        for number, name in enumerate(names)
    ]


def _against_first(rounds: list[list[tuple[float, float]]], number: int, which: int) -> str:
    ours = [costs[number][which] for costs in rounds]
    first = [costs[0][which] for costs in rounds]
    text = f"{fmean(ours) * 1e6:,.0f} µs"
    if number == 0:
        return text
    each = sorted(cost / zero for cost, zero in zip(ours, first, strict=True))
    return f"{text}, {fmean(ours) / fmean(first):.2f} times ({each[0]:.2f} to {each[-1]:.2f})"


async def _scrape(addresses: list[str]) -> None:
    async with aiohttp.ClientSession() as client:
        while True:
            for address in addresses:
                async with client.get(f"http://{address}/metrics") as page:
                    await page.read()
            await asyncio.sleep(SCRAPES)


async def streams(url: str, length: Length) -> AsyncIterator[Row]:
    """Memory and descriptors of a process with nothing to do, and of each open stream."""
    async with serving(url) as gateway:
        await short_calls(gateway, 50)
        memory, descriptors = gateway.memory(), gateway.descriptors()
        await standing_streams(gateway, length.standing)
        more = (gateway.memory() - memory) / length.standing
        open_ = (gateway.descriptors() - descriptors) / length.standing
    yield Row("a process that has answered 50 calls", _megabytes(memory))
    yield Row("descriptors of that process", str(descriptors))
    yield Row(f"memory of an open stream, with {length.standing:,}", f"{more / 1024:.1f} KiB")
    yield Row("descriptors of an open stream", f"{open_:.2f}")


async def queue(url: str, length: Length) -> AsyncIterator[Row]:
    """Memory of each call that waits for its slot."""
    slow = ("--throttle.rate", "0.01", "--throttle.max_wait", "inf", "--throttle.max_queue", "inf")
    async with serving(url, *slow) as gateway:
        await standing_streams(gateway, 1)  # the next slot is 100 s away
        memory, descriptors = gateway.memory(), gateway.descriptors()
        await waiting_calls(gateway, length.waiting)
        more = (gateway.memory() - memory) / length.waiting
        open_ = (gateway.descriptors() - descriptors) / length.waiting
    yield Row(f"memory of a waiting call, with {length.waiting:,}", f"{more / 1024:.1f} KiB")
    yield Row("descriptors of a waiting call", f"{open_:.2f}")


async def workers(url: str, _: Length) -> AsyncIterator[Row]:
    """Memory of the processes of `--workers`."""
    async with serving(url, "--workers", "2") as gateway:
        each = [_megabytes(process.memory()) for process in _all(gateway)]
    yield Row("--workers 2 at rest: supervisor, worker, worker", ", ".join(each))


def _all(gateway: Gateway) -> list[Process]:
    return [gateway, *gateway.workers]


def _megabytes(memory: float) -> str:
    return f"{memory / 2**20:.0f} MiB"


async def measure(length: Length) -> list[Row]:
    rows = []
    async with RawUpstream(answer) as upstream:
        for part in (telemetry, streams, queue, workers):
            async for row in part(upstream.url, length):
                sys.stderr.write(f"{row.what}: {row.figure}\n")
                rows.append(row)
    return rows


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    rows = uvloop.run(measure(QUICK if quick else Length()))
    run: dict[str, Any] = {
        "quick": quick,
        "python": platform.python_version(),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "rows": {row.what: row.figure for row in rows},
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = ["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
