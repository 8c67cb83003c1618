"""Promise 3: what the upstream sees, by its own record: gaps, rate, places in flight, pauses."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest

from headgate.v1 import chat_pb2 as pb
from support.gateway import TRUSTING, gateway, kinds, trailer
from support.raw_upstream import RawUpstream, answers, delta, event, says, streams
from support.scrape import scrape
from support.traffic import GAP, PACE, SLOW, gaps, texts, waiting

if TYPE_CHECKING:
    from support.raw_upstream import Connection, Request

FAST: dict[str, Any] = {"initial_backoff": 0.01, "max_backoff": 0.01}


async def test_many_callers_share_one_pace() -> None:
    """No two requests arrive closer than the gap, and nobody is left out."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=PACE, callers=TRUSTING) as caller,
    ):
        names = ["a", "b", "c", "d", "e"]
        await asyncio.gather(*(caller.named(name).chat(name) for name in names * 8))

    assert Counter(texts(upstream)) == dict.fromkeys(names, 8)
    assert min(gaps(upstream)) >= GAP


async def test_streams_and_unary_calls_share_one_pace() -> None:
    """Both methods, and calls over HTTP, take their slots from the same schedule."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=PACE, http_listen="127.0.0.1:0") as caller,
    ):
        await asyncio.gather(
            *(caller.chat("unary") for _ in range(4)),
            *(caller.events("stream") for _ in range(4)),
            *(_over_http(str(caller.gateway.http_address), "http") for _ in range(4)),
        )

    assert Counter(texts(upstream)) == {"unary": 4, "stream": 4, "http": 4}
    assert min(gaps(upstream)) >= GAP


async def test_retries_take_slots() -> None:
    """Every attempt is a request that the upstream counts."""
    failing = [answers(b"{}", status="500 Broken")] * 12
    async with (
        RawUpstream(*failing, says("Hello")) as upstream,
        gateway(upstream.url, throttle=PACE, retry=FAST | {"budget": 10}) as caller,
    ):
        outcomes = await asyncio.gather(*(caller.chat() for _ in range(10)), return_exceptions=True)

    answered = [outcome for outcome in outcomes if isinstance(outcome, pb.ChatResponse)]
    attempts = sum(answer.gateway.attempts for answer in answered)
    assert len(upstream.requests) == attempts + 3 * (10 - len(answered))
    assert len(upstream.requests) > 12, "the faults were met, and then answers"
    assert min(gaps(upstream)) >= GAP


async def test_a_saved_up_burst_starts_at_once() -> None:
    """With a burst of three, three need not wait, and the fourth does."""
    options = pb.StreamOptions(queue_updates=True)
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle={"rate": 1, "burst": 3}) as caller,
    ):
        streams = [caller.events(stream_options=options) for _ in range(4)]
        told = [kinds(events)[0] for events in await asyncio.gather(*streams)]

    assert sorted(told) == ["queued", "started", "started", "started"]


async def test_the_cap_in_flight_holds() -> None:
    """Never more attempts at once than `throttle.max_in_flight`, and all calls are answered."""
    inside: set[int] = set()
    most = 0
    full, go = asyncio.Event(), asyncio.Event()

    async def script(request: Request, connection: Connection) -> None:
        nonlocal most
        inside.add(id(request))
        most = max(most, len(inside))
        if len(inside) == 3:
            full.set()
        await go.wait()
        inside.remove(id(request))
        await says("Hello")(request, connection)

    async with (
        RawUpstream(script) as upstream,
        gateway(upstream.url, throttle={"max_in_flight": 3}) as caller,
    ):
        calls = asyncio.gather(*(caller.chat() for _ in range(12)))
        await full.wait()
        last = await waiting(caller)
        go.set()
        await calls
        await last.rest()

    assert (most, len(upstream.requests)) == (3, 13)


async def test_a_429_pauses_everybody() -> None:
    """Nothing arrives within the Retry-After of one reply, whoever asks."""
    said_at: list[float] = []

    async def too_many(request: Request, connection: Connection) -> None:
        said_at.append(time.monotonic())
        headers = ["retry-after-ms: 400"]
        await answers(b"{}", status="429 Too Many", headers=headers)(request, connection)

    async with (
        RawUpstream(too_many, says("Hello")) as upstream,
        gateway(upstream.url, throttle=PACE, callers=TRUSTING, retry={"max_attempts": 1}) as caller,
    ):
        error = await caller.named("unlucky").refused()
        others = [caller.named(name).chat(name) for name in ("a", "b", "c")]
        await asyncio.gather(*others, caller.named("unlucky").events("again"))

    assert trailer(error, "headgate-reason") == "UPSTREAM_LIMIT"
    assert sorted(texts(upstream)[1:]) == ["a", "again", "b", "c"]
    assert upstream.requests[1].at - said_at[0] >= 0.4
    assert min(gaps(upstream)) >= GAP


async def test_a_429_in_a_stream_pauses_everybody() -> None:
    """As an error event, before the first delta and behind it, over both faces."""
    limit = event({"error": {"code": 429, "message": "slow down"}})
    early, late = streams(limit), streams(event(delta("a")), limit)
    sections: dict[str, Any] = {
        "retry": {"max_attempts": 1, **FAST},
        "http_listen": "127.0.0.1:0",
        "metrics": {"listen": "127.0.0.1:0"},
    }
    async with (
        RawUpstream(early, late) as upstream,
        gateway(upstream.url, **sections) as caller,
        aiohttp.ClientSession(f"http://{caller.gateway.http_address}") as client,
    ):
        errors = [await caller.refused(), (await caller.interrupted())[1]]
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        async with client.post("/api", json=body) as reply:
            said = await reply.text()
        told = await scrape(caller.gateway.metrics_address)

    reasons = [trailer(error, "headgate-reason") for error in errors]
    assert reasons == ["UPSTREAM_LIMIT", "STREAM_INTERRUPTED"]
    assert "STREAM_INTERRUPTED" in said
    assert told.total("headgate_pauses_total") == len(upstream.requests) == 3


async def test_a_429_is_tried_again_after_its_pause() -> None:
    """The call itself waits as long as everybody else, and is answered."""
    headers = ["retry-after-ms: 300"]
    limited = answers(b"{}", status="429 Too Many", headers=headers)
    async with (
        RawUpstream(limited, limited, says("Hello")) as upstream,
        gateway(upstream.url, throttle=PACE) as caller,
    ):
        answer = await caller.chat()

    assert answer.gateway.attempts == 3
    assert min(gaps(upstream)) >= 0.3


async def test_the_pause_is_bounded() -> None:
    """An upstream that asks for a day gets `throttle.max_cooldown`; the pause ends by time."""
    headers = ["Retry-After: 86400"]
    async with (
        RawUpstream(
            answers(b"{}", status="429 Too Many", headers=headers), says("Hello")
        ) as upstream,
        gateway(upstream.url, throttle=PACE | {"max_cooldown": 0.2}) as caller,
    ):
        error = await caller.refused()
        answer = await caller.chat(timeout=5)

    assert trailer(error, "headgate-retry-after-ms") == "86400000"
    assert answer.gateway.attempts == 1


async def test_a_429_judges_all_who_wait_again() -> None:
    """Who can no longer be served in time is told at once, and not at its deadline."""
    go = asyncio.Event()

    async def too_many(request: Request, connection: Connection) -> None:
        await go.wait()
        await answers(b"{}", status="429 Too Many", headers=["Retry-After: 15"])(
            request, connection
        )

    async with (
        RawUpstream(too_many, says("Hello")) as upstream,
        gateway(upstream.url, throttle=SLOW | {"rate": 0.5}, retry={"max_attempts": 1}) as caller,
    ):
        first = asyncio.create_task(caller.refused())
        await upstream.until(lambda: len(upstream.requests) == 1)
        waiter = await waiting(caller, timeout=10)
        go.set()
        await first
        error = await waiter.status()

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailer(error, "headgate-reason") == "WAIT_TOO_LONG"
    assert len(upstream.requests) == 1


async def test_a_503_delays_only_its_own_call() -> None:
    """One sick backend must not stop everybody: Retry-After on a 503 moves no schedule."""
    go = asyncio.Event()
    said_at: list[float] = []

    async def busy(request: Request, connection: Connection) -> None:
        await go.wait()
        said_at.append(time.monotonic())
        headers = ["retry-after-ms: 600"]
        await answers(b"{}", status="503 Busy", headers=headers)(request, connection)

    async with (
        RawUpstream(busy, says("Hello")) as upstream,
        gateway(upstream.url, throttle={"max_in_flight": 1}, callers=TRUSTING) as caller,
    ):
        sick = asyncio.create_task(caller.named("sick").chat("sick"))
        await upstream.until(lambda: len(upstream.requests) == 1)
        others = [await waiting(caller.named(name), name) for name in ("a", "b")]
        go.set()
        for other in others:
            await other.rest()
        answer = await sick

    assert texts(upstream) == ["sick", "a", "b", "sick"]
    assert answer.gateway.attempts == 2
    assert upstream.requests[3].at - said_at[0] >= 0.6


async def _over_http(address: str, text: str) -> None:
    body = {"messages": [{"role": "user", "content": text}], "stream": False}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://{address}/api", json=body) as reply,
    ):
        assert reply.status == 200, await reply.text()


@pytest.mark.parametrize("how", ["refused", "refused_chat"])
async def test_after_its_attempts_a_call_shall_not_come_again(how: str) -> None:
    """Promise 11: the attempts were made here, so pushback is -1, for unary calls and streams."""
    async with (
        RawUpstream(answers(b"{}", status="429 Too Many")) as upstream,
        gateway(upstream.url, throttle=PACE, retry=FAST) as caller,
    ):
        error = await getattr(caller, how)()

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailer(error, "grpc-retry-pushback-ms") == "-1"
    assert len(upstream.requests) == 3
