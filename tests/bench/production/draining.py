"""Rows about SIGTERM under load, with clients that retry as shipped and a gateway to go to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from bench.production.calls import ask, chat_end, in_words, plain, stream_end, stub
from bench.production.gateway import ROOT, UNLIMITED, gateway, upstream
from support.ports import free_port
from support.scrape import state
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import Any

    from bench.production.gateway import Gateway

STREAMS, QUEUED = 50, 200
FLAGS = (
    *UNLIMITED,
    *("--throttle.max_in_flight", str(STREAMS), "--metrics.listen", "127.0.0.1:0"),
)
CHANNELS = {"one channel for all": 1, "a channel for each": STREAMS + QUEUED}


class Drain(NamedTuple):
    """How it went.

    Attributes:
        streams: ends of the streams that ran.
        queued: ends of the calls that waited.
        refused: how often the gateway that went refused each of those that waited.
        served: how often the other one answered each of them.
        status: of the process that went.
    """

    streams: Counter[str]
    queued: Counter[str]
    refused: Counter[int]
    served: Counter[int]
    status: int

    @property
    def well(self) -> bool:
        once = {1: QUEUED}
        return (
            self.streams == {"OK": STREAMS}
            and self.queued == {"OK": QUEUED}
            and self.refused == once
            and self.served == once
            and self.status == 0
        )

    def __str__(self) -> str:
        refused, served = in_words(self.refused), in_words(self.served)
        return (
            f"streams {in_words(self.streams)}; queued {in_words(self.queued)};"
            f" calls by refusals {refused}; by answers of the other {served}"
        )


async def draining(runs: int) -> AsyncIterator[Row]:
    """Each way of having channels, so many times."""
    for name, channels in CHANNELS.items():
        drains = [await _drain(channels) for _ in range(runs)]
        worst = next((drain for drain in drains if not drain.well), drains[0])
        yield Row(
            f"SIGTERM under {STREAMS} streams and {QUEUED} queued calls, {name}",
            "every call ends OK, each queued one refused once and answered once",
            f"{worst} ({sum(drain.well for drain in drains)} of {runs} runs so)",
            all(drain.well for drain in drains),
        )


async def _drain(count: int) -> Drain:
    async with AsyncExitStack() as stack:
        port, free = await stack.enter_async_context(upstream()), free_port()
        going = await stack.enter_async_context(gateway(port, *FLAGS))
        here = going.addresses["grpc"]
        target, options = f"ipv4:{here},127.0.0.1:{free}", shipped_options()
        channels = [await stack.enter_async_context(plain(target, options)) for _ in range(count)]
        stubs = [stub(channel) for channel in channels]

        def begin(call: Coroutine[Any, Any, str]) -> asyncio.Task[str]:
            return asyncio.create_task(call)

        streams = [
            begin(stream_end(stubs[number % count], ask("held"))) for number in range(STREAMS)
        ]
        await _until(going, STREAMS, 0)
        queued = []
        for number in range(QUEUED):
            end = stream_end if number % 2 else chat_end
            metadata = (("x-request-id", f"queued-{number}"),)
            calling = end(stubs[(STREAMS + number) % count], ask(), metadata=metadata, timeout=60)
            queued.append(begin(calling))
        await _until(going, STREAMS, QUEUED)
        other = await stack.enter_async_context(gateway(port, *FLAGS, listen=f"127.0.0.1:{free}"))
        while other.connections() < count:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
        going.terminate()
        ends = Counter(await asyncio.gather(*queued))
        async with aiohttp.ClientSession() as client:
            await client.post(f"http://127.0.0.1:{port}/release")
        finished = Counter(await asyncio.gather(*streams))
        status = await going.ended()
        return Drain(
            finished,
            ends,
            _times(going, code="UNAVAILABLE", reason="DRAINING"),
            _times(other, code="OK"),
            status,
        )


def shipped_options() -> list[tuple[str, Any]]:
    """What `protos/` tells every client to use."""
    files = ROOT / "protos"
    config = (files / "service_config.json").read_text(encoding="utf-8")
    channel = json.loads((files / "channel_defaults.json").read_text(encoding="utf-8"))
    return [*channel.items(), ("grpc.service_config", config)]


async def _until(running: Gateway, streams: int, waiting: int) -> None:
    """Until so many run and so many wait."""
    while True:
        told = await state(running.addresses["metrics"])
        if told["in_flight"]["now"] == streams and told["queue"]["waiting"] == waiting:
            return
        await asyncio.sleep(0.02)


def _times(running: Gateway, **facts: str) -> Counter[int]:
    """How many of the queued calls have so many access lines with these facts."""
    lines = Counter(
        line["request_id"]
        for line in running.events("call")
        if line["request_id"].startswith("queued-") and facts.items() <= line.items()
    )
    return Counter(lines.values())
