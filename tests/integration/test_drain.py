"""Promise 9: a stop loses nothing that could finish, and says so to everybody else."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest

from headgate.v1 import chat_pb2 as pb
from support.gateway import gateway, kinds, text, trailer
from support.raw_upstream import (
    DONE,
    END,
    RawUpstream,
    answers,
    chunked,
    delta,
    event,
    finish,
    says,
    stream_head,
)
from support.traffic import SLOW, held, pushback, texts, waiting

if TYPE_CHECKING:
    from support.gateway import Caller
    from support.raw_upstream import Connection, Request

GRACE = 15.0


def stopping(caller: Caller, grace: float = GRACE) -> asyncio.Task[None]:
    return asyncio.create_task(caller.gateway.stop(grace))


@pytest.mark.parametrize("how", ["refused", "refused_chat"])
async def test_who_waits_in_silence_is_sent_elsewhere(how: str) -> None:
    """UNAVAILABLE, DRAINING, and a pushback that lets the client try another server at once."""
    async with held() as (upstream, caller, release):
        silent = asyncio.create_task(getattr(caller, how)("silent"))
        await _until_in_line(caller, 1)
        told = await waiting(caller, "told")
        stop = stopping(caller)
        error = await silent
        release.set()
        await told.rest()
        await stop

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert trailer(error, "headgate-reason") == "DRAINING"
    assert 50 <= pushback(error) <= 100
    assert texts(upstream) == ["holder", "told"]


async def test_who_waits_for_its_own_allowance_is_sent_elsewhere() -> None:
    """There are two lines to wait in, and a stop empties both."""
    async with held(throttle={"max_in_flight": 9}, callers={"max_in_flight": 1}) as (
        upstream,
        caller,
        release,
    ):
        holder = caller.named("holder")
        silent = asyncio.create_task(holder.refused("silent"))
        await _until_in_line(holder, 1)
        stop = stopping(caller)
        error = await silent
        release.set()
        await stop

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert trailer(error, "headgate-reason") == "DRAINING"
    assert 50 <= pushback(error) <= 100
    assert texts(upstream) == ["holder"]


@pytest.mark.parametrize("door", ["throttle", "callers"])
async def test_who_was_told_to_wait_and_can_finish_stays(door: str) -> None:
    """Its client could not retry it: the event has committed the RPC."""
    limits: dict[str, Any] = {door: SLOW}
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, **limits) as caller,
    ):
        await caller.chat("first")
        told = await waiting(caller, "told")
        stop = stopping(caller)
        rest = await told.rest()
        await stop

    assert kinds(rest)[-3:] == ["started", "delta", "finished"]
    assert texts(upstream) == ["first", "told"]


async def test_who_was_told_but_cannot_start_in_time_goes() -> None:
    """A slot behind the end of the grace is no slot."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle={"rate": 0.1}) as caller,
    ):
        await caller.chat("first")
        told = await waiting(caller, "told")
        stop = stopping(caller, grace=5)
        error = await told.status()
        await stop

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert trailer(error, "headgate-reason") == "DRAINING"
    assert texts(upstream) == ["first"]


async def test_a_running_stream_finishes() -> None:
    """Within the grace nothing is cut."""
    go = asyncio.Event()

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("one "))))
        await go.wait()
        await connection.send(chunked(event(delta("two")) + event(finish()) + DONE), END)

    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        stream = caller.stream()
        seen = [await _event(stream), await _event(stream)]
        stop = stopping(caller)
        await asyncio.sleep(0)
        go.set()
        while isinstance(received := await stream.read(), pb.StreamChatResponse):
            seen.append(received)
        await stop

    assert text(seen) == "one two"
    assert kinds(seen)[-1] == "finished"


async def test_a_stream_beyond_the_grace_is_cut_with_a_reason() -> None:
    """A typed status with the position, and not the transport's own words."""
    async with RawUpstream(_endless) as upstream, gateway(upstream.url) as caller:
        stream = caller.stream()
        await _event(stream)
        await _event(stream)
        stop = stopping(caller, grace=0.3)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        await stop
        await upstream.until(lambda: upstream.open == 0)

    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert trailer(caught.value, "headgate-reason") == "STREAM_INTERRUPTED"
    assert "shutting down" in (caught.value.details() or "")


async def test_a_running_call_is_still_tried_again() -> None:
    """It came before the stop, and another server could not take it over."""
    go = asyncio.Event()

    async def broken(request: Request, connection: Connection) -> None:
        await go.wait()
        await answers(b"{}", status="503 Busy")(request, connection)

    fast = {"initial_backoff": 0.01, "max_backoff": 0.01}
    async with (
        RawUpstream(broken, says("Hello")) as upstream,
        gateway(upstream.url, retry=fast, throttle={"max_in_flight": 1}) as caller,
    ):
        call = asyncio.create_task(caller.chat())
        await upstream.until(lambda: len(upstream.requests) == 1)
        silent = asyncio.create_task(caller.refused("silent"))
        await _until_in_line(caller, 1)
        told = await waiting(caller, "told")
        stop = stopping(caller)
        await silent
        go.set()
        answer = await call
        await told.rest()
        await stop

    assert answer.gateway.attempts == 2


async def test_no_new_call_is_taken() -> None:
    """A new connection is not even accepted once the stop has begun."""
    async with held() as (upstream, caller, release):
        silent = asyncio.create_task(caller.refused("silent"))
        await _until_in_line(caller, 1)
        stop = stopping(caller)
        await silent
        async with grpc.aio.insecure_channel(caller.gateway.grpc_address) as fresh:
            late = type(caller)(caller.gateway, fresh)
            error = await late.refused("late", timeout=2)
        release.set()
        await stop

    assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert "late" not in texts(upstream)


async def test_an_http_caller_in_line_is_sent_elsewhere() -> None:
    """503 with a short Retry-After, where gRPC says UNAVAILABLE."""
    async with (
        held(http_listen="127.0.0.1:0") as (upstream, caller, release),
        aiohttp.ClientSession(f"http://{caller.gateway.http_address}") as client,
    ):
        body = {"messages": [{"role": "user", "content": "http"}], "stream": False}
        asked = asyncio.create_task(_post(client, body))
        await _until_in_line(caller, 1)
        stop = stopping(caller)
        status, headers, said = await asked
        release.set()
        await stop

    assert status == 503
    assert headers["x-headgate-reason"] == "DRAINING"
    assert 50 <= int(headers["retry-after-ms"]) <= 101
    assert json.loads(said)["error"]["code"] == "DRAINING"
    assert texts(upstream) == ["holder"]


async def _until_in_line(caller: Caller, waiters: int) -> None:
    """Returns once so many wait: the one who asks is told to stand behind them."""
    while True:
        probe = await waiting(caller, "probe")
        probe.cancel()
        if probe.place.position > waiters:
            return


async def _post(client: aiohttp.ClientSession, body: dict[str, Any]) -> tuple[int, Any, str]:
    async with client.post("/api", json=body) as reply:
        return reply.status, reply.headers, await reply.text()


async def _endless(_: Request, connection: Connection) -> None:
    await connection.send(stream_head(), chunked(event(delta("one "))))
    await connection.until_gone()


async def _event(
    stream: grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse],
) -> pb.StreamChatResponse:
    received = await stream.read()
    assert isinstance(received, pb.StreamChatResponse)
    return received
