"""The good caller of the production bench, a process of its own.

Its argument is a JSON object (see `call`). It calls at a steady pace, by turns over gRPC, as a
stream, and over HTTP, on connections that stay. For each line that it hears it says what it saw
since the last: the seconds of each call, and the ends that were not OK.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import uvloop

from bench.production.calls import ask, chat_end, plain, stream_end, stub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BODY = {"messages": [{"role": "user", "content": "Hello"}], "stream": False}


class Seen:
    """Since the last report."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._failed: Counter[str] = Counter()

    async def time(self, call: Callable[[], Awaitable[str]]) -> None:
        began = time.monotonic()  # finer than uvloop's milliseconds
        end = await call()
        if end == "OK":
            self._seconds.append(time.monotonic() - began)
        else:
            self._failed[end] += 1

    def report(self) -> str:
        said = {"seconds": self._seconds, "failed": self._failed}
        self._seconds, self._failed = [], Counter()
        return json.dumps(said)


async def call(addresses: list[str], token: str, authority: str, rate: float) -> None:
    """Until the input ends."""
    seen = Seen()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        ways = await _ways(stack, addresses, token, authority)
        pace = group.create_task(_pace(ways, seen, rate, group))
        while await asyncio.to_thread(sys.stdin.readline):
            sys.stdout.write(seen.report() + "\n")
            sys.stdout.flush()
        pace.cancel()


async def _pace(
    ways: list[Callable[[], Awaitable[str]]], seen: Seen, rate: float, group: asyncio.TaskGroup
) -> None:
    loop, number = asyncio.get_running_loop(), 0
    began = loop.time()
    while True:
        await asyncio.sleep(began + number / rate - loop.time())
        group.create_task(seen.time(ways[number % len(ways)]))
        number += 1


async def _ways(
    stack: AsyncExitStack, addresses: list[str], token: str, authority: str
) -> list[Callable[[], Awaitable[str]]]:
    over_grpc, over_http = addresses
    pem = authority.encode()
    channel = (
        grpc.aio.secure_channel(over_grpc, grpc.ssl_channel_credentials(pem))
        if authority
        else plain(over_grpc)
    )
    chat = stub(await stack.enter_async_context(channel))
    how: dict[str, Any] = {"metadata": (("authorization", f"Bearer {token}"),), "timeout": 30}
    tls: Any = ssl.create_default_context(cadata=authority) if authority else True
    scheme = "https" if authority else "http"
    client = await stack.enter_async_context(
        aiohttp.ClientSession(
            f"{scheme}://{over_http}", headers={"authorization": f"Bearer {token}"}
        )
    )

    async def post() -> str:
        try:
            async with client.post("/api", json=BODY, ssl=tls) as answer:
                await answer.read()
        except aiohttp.ClientError as error:
            return f"HTTP {type(error).__name__}"
        return "OK" if answer.status == 200 else f"HTTP {answer.status}"

    return [
        lambda: chat_end(chat, ask(), **how),
        lambda: stream_end(chat, ask(), **how),
        post,
    ]


if __name__ == "__main__":
    uvloop.run(call(**json.loads(sys.argv[1])))
