"""A row about health watchers that never read: what they add to a drain."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import TYPE_CHECKING

from bench.production.calls import ask, plain, stub
from bench.production.gateway import UNLIMITED, gateway, upstream
from support.watchers import watchers
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.production.gateway import Gateway

WATCHERS = 200
# A drain has steps of fixed length, about a second in all; what is less than this is noise.
NOISE = 0.1
GRACE = ("--server.grace", "60")
WINDOWS = {"that take no byte": 0, "that never read": 65_535}


async def watching(runs: int) -> AsyncIterator[Row]:
    """From SIGTERM to the end of the process, without watchers and with."""
    without: list[float] = []
    having: dict[str, list[float]] = {name: [] for name in WINDOWS}
    async with upstream() as port:
        for _ in range(runs):
            without.append(await _drain(port))
            for name, window in WINDOWS.items():
                having[name].append(await _drain(port, window))
    quiet = median(without)
    for name, seconds in having.items():
        took = median(seconds)
        yield Row(
            f"health Watch with {WATCHERS} watchers {name}",
            "drain takes no longer",
            f"{took:.2f} s from SIGTERM to the end, {quiet:.2f} s without watchers"
            f" (medians of {runs})",
            took <= quiet + NOISE,
        )


async def _drain(port: int, window: int | None = None) -> float:
    """Seconds; with a window there are watchers, which let the server send so many bytes each."""
    async with gateway(port, *UNLIMITED, *GRACE) as running:
        address = running.addresses["grpc"]
        async with plain(address) as channel:
            await stub(channel).Chat(ask())
        if window is None:
            return await _seconds_to_end(running)
        async with watchers(address, WATCHERS, window=window, each=1):
            # Every one of them has a connection, and its call has been read by then.
            while running.connections() < WATCHERS:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)
            await asyncio.sleep(1)
            return await _seconds_to_end(running)


async def _seconds_to_end(running: Gateway) -> float:
    began = time.monotonic()
    running.terminate()
    status = await running.ended()
    if status:
        raise RuntimeError(f"the gateway ended with {status}")
    return time.monotonic() - began
