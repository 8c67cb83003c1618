"""What a call has made goes with it, by itself: Python's collector runs seldom."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import grpc
import pytest

from support.gateway import gateway
from support.joined_streams import KEY
from support.otlp import receiving
from support.raw_upstream import RawUpstream, chunked, delta, event, says, stream_head, streams
from support.raw_upstream import answers as http_answers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.gateway import Caller
    from support.raw_upstream import Connection, Request

CALLS = 5
FAILS = streams(event(delta("Hel")), event({"error": {"message": "out of memory"}}))
BROKEN = streams(event(delta("Hel")), event(delta("lo")), end=False)
REFUSES = http_answers(b"{}", status="400 Bad Request")
SCRIPTS = {"fail": FAILS, "break off": BROKEN, "refuse": REFUSES}


async def answers(request: Request, connection: Connection) -> None:
    """As asked."""
    asked = request.json["messages"][0]["content"]
    if asked == "hang":
        await connection.send(stream_head(), chunked(event(delta("Hel"))))
        await connection.reader.read()
    else:
        await SCRIPTS.get(asked, says("Hel", "lo"))(request, connection)


async def chat(caller: Caller) -> None:
    await caller.chat()


async def stream(caller: Caller) -> None:
    await caller.events()


async def keyed(caller: Caller) -> None:
    await caller.events(idempotency_key=KEY)


async def not_allowed(caller: Caller) -> None:
    error = await caller.refused_chat(temperature=9)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def refused(caller: Caller) -> None:
    error = await caller.refused_chat("refuse")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def interrupted(caller: Caller) -> None:
    _, error = await caller.interrupted("fail")
    assert error.code() is grpc.StatusCode.ABORTED


async def broken_off(caller: Caller) -> None:
    _, error = await caller.interrupted("break off")
    assert error.code() is grpc.StatusCode.ABORTED


async def cancelled(caller: Caller) -> None:
    call = caller.stream("hang")
    await call.read()
    call.cancel()
    while caller.gateway.running():  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0)


async def over_http(caller: Caller) -> None:
    await _post(caller, stream=False)


async def stream_over_http(caller: Caller) -> None:
    await _post(caller, stream=True)


async def _post(caller: Caller, **fields: bool) -> None:
    url = f"http://{caller.gateway.http_address}/v1/chat/completions"
    asked = {"messages": [{"role": "user", "content": "Hello"}]} | fields
    async with aiohttp.ClientSession() as client, client.post(url, json=asked) as response:
        assert response.status == 200
        await response.read()


@asynccontextmanager
async def everything_on() -> AsyncIterator[Caller]:
    """A pace, limits of callers, joins, metrics, spans and both faces."""
    async with (
        receiving() as receiver,
        RawUpstream(answers) as upstream,
        gateway(
            upstream.url,
            http_listen="127.0.0.1:0",
            throttle={"rate": 1000, "min_interval": 0.001},
            callers={"rate": 1000, "max_in_flight": 10},
            metrics={"listen": "127.0.0.1:0"},
            telemetry={"otlp_endpoint": receiver.url},
        ) as caller,
    ):
        yield caller


@pytest.mark.parametrize(
    "call",
    [
        *(chat, stream, keyed, not_allowed, refused, interrupted, broken_off, cancelled),
        *(over_http, stream_over_http),
    ],
)
async def test_nothing_of_a_call_is_left_to_the_collector(
    call: Callable[[Caller], Awaitable[None]],
) -> None:
    async with everything_on() as caller:
        await call(caller)
        gc.collect()
        gc.disable()
        try:
            for _ in range(CALLS):
                await call(caller)
            left = of_headgate(garbage())
        finally:
            gc.enable()
    assert {name: count for name, count in left.items() if count >= CALLS} == {}


def garbage() -> list[object]:
    """What only the collector finds."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def of_headgate(objects: list[object]) -> Counter[str]:
    """How many of each of headgate's own types."""
    types = (type(one) for one in objects)
    return Counter(kind.__qualname__ for kind in types if kind.__module__.startswith("headgate."))
