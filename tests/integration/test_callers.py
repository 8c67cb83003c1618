"""Who is calling, and each caller's own allowance, over gRPC and HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest

from support.gateway import TRUSTING, gateway, trailer
from support.raw_upstream import RawUpstream, says
from support.traffic import held, pushback, retry_delay, texts, waiting

if TYPE_CHECKING:
    from support.raw_upstream import Connection, Request

ONE_A_MINUTE: dict[str, Any] = {"rate": 1 / 60, "max_wait": 1}
UNARY_AND_STREAM = pytest.mark.parametrize("how", ["refused", "refused_chat"])


@UNARY_AND_STREAM
async def test_over_its_rate_a_caller_is_refused(how: str) -> None:
    """CALLER_LIMIT with the time of the next turn; others are not touched by it."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING | ONE_A_MINUTE) as caller,
    ):
        await caller.named("busy").chat("busy")
        error = await getattr(caller.named("busy"), how)("again")
        await caller.named("other").chat("other")

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailer(error, "headgate-reason") == "CALLER_LIMIT"
    assert 50 < retry_delay(error) <= 60
    assert pushback(error) >= retry_delay(error) * 1000
    assert texts(upstream) == ["busy", "other"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/api", "/v1/chat/completions"])
async def test_over_its_rate_an_http_caller_gets_a_429(path: str, stream: bool) -> None:
    """With Retry-After, on both paths, whether it streams or not."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING | ONE_A_MINUTE, http_listen="127.0.0.1:0") as caller,
        aiohttp.ClientSession(f"http://{caller.gateway.http_address}") as client,
    ):
        replies = []
        for name in ("busy", "busy", "other"):
            body = {"messages": [{"role": "user", "content": name}], "stream": stream}
            headers = {"x-headgate-caller": name}
            async with client.post(path, json=body, headers=headers) as reply:
                replies.append((reply.status, reply.headers, await reply.text()))

    assert [status for status, _, _ in replies] == [200, 429, 200]
    _, headers_of, said = replies[1]
    assert headers_of["x-headgate-reason"] == "CALLER_LIMIT"
    assert 50 < int(headers_of["retry-after"]) <= 61
    assert json.loads(said)["error"]["type"] == "rate_limit_error"
    assert texts(upstream) == ["busy", "other"]


async def test_one_allowance_for_both_faces() -> None:
    """A caller that changes the protocol is the same caller."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING | ONE_A_MINUTE, http_listen="127.0.0.1:0") as caller,
        aiohttp.ClientSession(f"http://{caller.gateway.http_address}") as client,
    ):
        await caller.named("busy").chat()
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        headers = {"x-headgate-caller": "busy"}
        async with client.post("/api", json=body, headers=headers) as reply:
            status = reply.status

    assert (status, len(upstream.requests)) == (429, 1)


async def test_a_name_is_believed_from_trusted_peers_only() -> None:
    """Else whoever invents names would get a fresh allowance for each."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=ONE_A_MINUTE) as caller,
    ):
        await caller.named("one").chat()
        error = await caller.named("two").refused()

    assert trailer(error, "headgate-reason") == "CALLER_LIMIT"
    assert len(upstream.requests) == 1


async def test_a_forwarded_address_is_a_caller() -> None:
    """Behind a trusted proxy the caller is the address that the proxy saw."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING | ONE_A_MINUTE, http_listen="127.0.0.1:0") as caller,
        aiohttp.ClientSession(f"http://{caller.gateway.http_address}") as client,
    ):
        statuses = []
        for address in ("192.0.2.1", "192.0.2.1", "9.9.9.9, 192.0.2.1", "192.0.2.2"):
            body = {"messages": [{"role": "user", "content": "Hello"}]}
            headers = {"x-forwarded-for": address}
            async with client.post("/api", json=body, headers=headers) as reply:
                statuses.append(reply.status)

    assert statuses == [200, 429, 429, 200]


async def test_a_wait_within_the_allowance_is_no_refusal() -> None:
    """With time to wait, a caller's calls are spread over its own rate."""
    spread = {"rate": 20, "min_interval": 0.05}
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING | spread) as caller,
    ):
        answers = await asyncio.gather(*(caller.named("busy").chat() for _ in range(6)))

    assert [answer.gateway.attempts for answer in answers] == [1] * 6
    assert len(upstream.requests) == 6


async def test_a_waiter_for_its_own_allowance_is_told() -> None:
    """`queued` events tell of the caller's own line too."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING | {"rate": 2}) as caller,
    ):
        await caller.named("busy").chat()
        waiter = await waiting(caller.named("busy"))
        await waiter.rest()

    assert (waiter.place.position, waiter.place.exact) == (1, True)
    assert len(upstream.requests) == 2


@UNARY_AND_STREAM
async def test_too_many_at_once(how: str) -> None:
    """`callers.max_in_flight` counts a caller's running calls, and frees them as they end."""
    go = asyncio.Event()

    async def script(request: Request, connection: Connection) -> None:
        await go.wait()
        await says("Hello")(request, connection)

    limits = {"max_in_flight": 2, "max_queue": 0}
    async with (
        RawUpstream(script) as upstream,
        gateway(upstream.url, callers=TRUSTING | limits) as caller,
    ):
        running = [asyncio.create_task(caller.named("busy").chat()) for _ in range(2)]
        await upstream.until(lambda: len(upstream.requests) == 2)
        error = await getattr(caller.named("busy"), how)()
        other = asyncio.create_task(caller.named("other").chat())
        await upstream.until(lambda: len(upstream.requests) == 3)
        go.set()
        await asyncio.gather(*running, other)
        await caller.named("busy").chat()

    assert trailer(error, "headgate-reason") == "CALLER_LIMIT"
    assert "2 at once" in (error.details() or "")
    assert len(upstream.requests) == 4


async def test_a_caller_that_left_frees_its_place() -> None:
    """A cancelled call does not count against its caller's concurrency."""
    gone = asyncio.Event()

    async def silent(_: Request, connection: Connection) -> None:
        await connection.until_gone()
        gone.set()

    limits = {"max_in_flight": 1, "max_queue": 0}
    async with (
        RawUpstream(silent, says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING | limits) as caller,
    ):
        stream = caller.named("busy").stream()
        await upstream.until(lambda: len(upstream.requests) == 1)
        stream.cancel()
        await gone.wait()
        answer = await caller.named("busy").chat()

    assert answer.choices[0].message.content == "Hello"


async def test_a_callers_share_of_the_queue() -> None:
    """`callers.max_queue` bounds one line; the queue has room for others all the same."""
    async with held(callers={"max_queue": 2}) as (upstream, caller, release):
        line = [await waiting(caller.named("busy"), f"busy-{n}") for n in (1, 2)]
        error = await caller.named("busy").refused("busy-3")
        line.append(await waiting(caller.named("other"), "other"))
        release.set()
        for waiter in line:
            await waiter.rest()

    assert trailer(error, "headgate-reason") == "CALLER_LIMIT"
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert sorted(texts(upstream)) == ["busy-1", "busy-2", "holder", "other"]


async def test_limits_of_ones_own() -> None:
    """`[callers.NAME]` lifts or tightens what holds for everybody."""
    callers = TRUSTING | ONE_A_MINUTE | {"friend": {"rate": float("inf")}}
    async with RawUpstream(says("Hello")) as upstream, gateway(upstream.url, callers=callers) as c:
        for _ in range(5):
            await c.named("friend").chat("friend")
        await c.named("stranger").chat("stranger")
        error = await c.named("stranger").refused("stranger")

    assert trailer(error, "headgate-reason") == "CALLER_LIMIT"
    assert texts(upstream) == ["friend"] * 5 + ["stranger"]


async def test_a_refused_call_takes_no_slot() -> None:
    """The allowance stands before the shared schedule, which it leaves alone."""
    slow = {"rate": 0.1}
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING | ONE_A_MINUTE, throttle=slow) as caller,
    ):
        await caller.named("busy").chat()
        for _ in range(5):
            await caller.named("busy").refused()
        waiter = await waiting(caller.named("other"), timeout=50)
        waiter.cancel()

    assert waiter.place.position == 1
    assert waiter.place.estimated_wait.ToNanoseconds() <= 10.05e9
