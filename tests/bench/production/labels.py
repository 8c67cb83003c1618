"""A row about a label-cardinality attack: what strangers send makes no series."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc

from bench.production.calls import ask, chat_end, plain, stub, words
from bench.production.gateway import UNLIMITED, gateway, upstream
from support.scrape import scrape
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.production.gateway import Gateway
    from support.scrape import Scrape

AT_ONCE = 50
BOUND = 300  # a process
SETTLED = 10  # strikes in a row that brought nothing new
FLAGS = (
    *UNLIMITED,
    *("--http-listen", "127.0.0.1:0", "--metrics.listen", "127.0.0.1:0"),
    *("--callers.trusted_peers", "127.0.0.0/8", "--log.access", "off"),
)


async def labels(count: int) -> AsyncIterator[Row]:
    """So many identities, models, methods and paths, each a name that was never seen."""
    async with upstream() as port:
        for workers in (1, 2):
            async with gateway(port, *FLAGS, "--server.workers", str(workers)) as running:
                yield await _attack(running, count, workers)


async def _attack(running: Gateway, count: int, workers: int) -> Row:
    before = await _settled(running)
    memory = running.memory()
    odd: list[str] = []
    for start in range(0, count, AT_ONCE):
        names = [f"{number}" for number in range(start, min(start + AT_ONCE, count))]
        odd += await _strike(running, names)
    after = await scrape(running.addresses["metrics"])
    growth = running.memory() / memory - 1
    calls = sum(after.by("headgate_rpcs_total", "face").values())
    new = after.series - before.series
    callers = set(after.by("headgate_caller_rpcs_total", "caller"))
    bound = BOUND * workers
    ok = not new and len(after.series) < bound and not odd and callers == {"other"}
    who = "" if workers == 1 else f", {workers} workers"
    return Row(
        f"{count:,} identities, models and methods that nobody configured{who}",
        f"bounded series: none is new, under {BOUND} a process",
        f"{len(after.series)} series, {len(new)} of them new, after {calls:,.0f} calls;"
        f" callers {', '.join(sorted(callers))}; memory {growth:+.1%}"
        + (f"; {len(odd)} odd ends, such as {odd[0]}" if odd else ""),
        ok,
    )


async def _settled(running: Gateway) -> Scrape:
    """The series that there are once everything has happened, in each of the processes."""
    seen, same = await scrape(running.addresses["metrics"]), 0
    for number in range(100):
        await _strike(running, [f"first-{number}"])
        now = await scrape(running.addresses["metrics"])
        same = 0 if now.series - seen.series else same + 1
        seen = now
        if same == SETTLED:
            break
    return seen


async def _strike(running: Gateway, names: list[str]) -> list[str]:
    """All of these at once, on connections of their own; the ends that should not have been."""
    async with (
        plain(running.addresses["grpc"]) as channel,
        aiohttp.ClientSession(f"http://{running.addresses['http']}") as client,
    ):
        attack = Attack(channel, client)
        await asyncio.gather(*map(attack.strike, names))
        return attack.odd


class Attack:
    """Strikes, each with names of its own.

    Attributes:
        odd: ends that are not what they should be.
    """

    def __init__(self, channel: grpc.aio.Channel, client: aiohttp.ClientSession) -> None:
        self.odd: list[str] = []
        self._channel = channel
        self._client = client

    async def strike(self, name: str) -> None:
        """An identity with a model over both faces, a method and a path that there are not."""
        caller = {"x-headgate-caller": f'name-{name}"}} evil{{'}
        metadata = tuple(caller.items())
        ends = {
            "OK": await chat_end(
                stub(self._channel), ask(f"model-{name}"), metadata=metadata, timeout=60
            ),
            "UNIMPLEMENTED": (await self._unknown(name)).partition(" ")[0],
            "200": await self._post(name, caller),
            "404": await self._path(name),
        }
        self.odd += [f"{end} instead of {due}" for due, end in ends.items() if end != due]

    async def _unknown(self, name: str) -> str:
        call: Any = self._channel.unary_unary(f"/headgate.v1.ChatService/Method-{name}")
        try:
            await call(b"", timeout=60)
        except grpc.aio.AioRpcError as error:
            return words(error)
        return "OK"

    async def _post(self, name: str, headers: dict[str, str]) -> str:
        body = {
            "model": f"other-model-{name}",
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": False,
        }
        async with self._client.post("/api", json=body, headers=headers) as answer:
            await answer.read()
            return str(answer.status)

    async def _path(self, name: str) -> str:
        async with self._client.get(f"/path-{name}") as answer:
            await answer.read()
            return str(answer.status)
