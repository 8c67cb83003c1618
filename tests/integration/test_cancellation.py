"""Promise 6: nobody pays for a caller that has gone, in any phase."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest

from headgate.v1 import chat_pb2 as pb
from support.gateway import Caller, ask, gateway, trailer
from support.raw_upstream import RawUpstream, chunked, delta, event, stream_head
from support.scrape import scrape
from support.traffic import held

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.raw_upstream import Connection, Request
    from support.scrape import Scrape


class Silent:
    """Says as much as it is told to, then waits until the client has gone."""

    def __init__(self, *said: bytes) -> None:
        self.said = said
        self.gone = asyncio.Event()

    async def __call__(self, _: Request, connection: Connection) -> None:
        await connection.send(*self.said)
        await connection.until_gone()
        self.gone.set()


PHASES = {
    "before any answer": (),
    "after the head": (stream_head(),),
    "after the role": (stream_head(), chunked(event(delta(role="assistant")))),
    "while streaming": (stream_head(), chunked(event(delta("a")))),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_cancel_closes_the_upstream_request(phase: str) -> None:
    """The upstream sees its client go, and nothing stays open."""
    script = Silent(*PHASES[phase])
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        stream = caller.stub.StreamChat(ask())
        if phase == "while streaming":
            await stream.read()
            await stream.read()
        else:
            await upstream.until(lambda: len(upstream.requests) == 1)

        stream.cancel()

        await script.gone.wait()
        await upstream.until(lambda: upstream.open == 0)


async def test_cancel_of_a_unary_call() -> None:
    """A Chat that nobody waits for is not generated to its end."""
    script = Silent()
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        call = caller.stub.Chat(ask())
        await upstream.until(lambda: len(upstream.requests) == 1)

        call.cancel()

        await script.gone.wait()


async def test_the_callers_deadline_closes_the_upstream_request() -> None:
    """A deadline that passes ends the attempt."""
    script = Silent()
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.stub.Chat(ask(), timeout=1)
        await script.gone.wait()

    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("asked", [20, None])
async def test_the_longest_deadline_closes_the_upstream_request(asked: float | None) -> None:
    """`server.max_deadline` ends calls that ask for more, and those that name none."""
    longest = {"max_deadline": 0.2}
    async with RawUpstream(Silent()) as upstream, gateway(upstream.url, server=longest) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.stub.Chat(ask(), timeout=asked)
        await upstream.until(lambda: upstream.open == 0)

    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert trailer(caught.value, "headgate-reason") == "DEADLINE"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_http_caller_that_leaves_the_queue_is_gone_from_it(stream: bool) -> None:
    """Nothing of its call is left in line or running, and nothing goes upstream for it."""
    ports = {"http_listen": "127.0.0.1:0", "metrics": {"listen": "127.0.0.1:0"}}
    async with (
        held(**ports) as (upstream, caller, release),
        aiohttp.ClientSession(f"http://{caller.gateway.http_address}") as client,
    ):
        body = {"messages": [{"role": "user", "content": "Hello"}], "stream": stream}
        asking = asyncio.create_task(client.post("/api", json=body))
        said = await until(caller, lambda said: said.total("headgate_queue_depth") == 1)
        assert said.by("headgate_calls_waiting", "face") == {"http": 1}
        asking.cancel()
        await until(caller, lambda said: said.total("headgate_queue_depth") == 0)
        await until(caller, lambda said: said.total("headgate_calls_running", face="http") == 0)
        release.set()

    assert len(upstream.requests) == 1


async def test_a_disconnect_closes_the_upstream_request() -> None:
    """A client that drops its connection is a client that has gone."""
    script = Silent(*PHASES["while streaming"])
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        channel = grpc.aio.insecure_channel(caller.gateway.grpc_address)
        stream = Caller(caller.gateway, channel).stub.StreamChat(ask())
        await stream.read()

        await channel.close()

        await script.gone.wait()


async def test_a_reader_that_does_not_read_is_cut_off() -> None:
    """Promise 7: a stalled reader stops the upstream read, and then loses its stream."""
    gone = asyncio.Event()

    async def flood(_: Request, connection: Connection) -> None:
        await connection.send(stream_head())
        piece = chunked(event(delta("x" * 60_000)))
        try:
            while True:
                await connection.send(piece)
        except ConnectionError:
            gone.set()

    options = [("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)]
    async with (
        RawUpstream(flood) as upstream,
        gateway(
            upstream.url, options=options, server={"write_stall_timeout": 0.3, "grace": 0}
        ) as caller,
    ):
        stream = caller.stub.StreamChat(ask())
        await stream.read()

        await gone.wait()

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _read_all(stream)
    assert caught.value.code() == grpc.StatusCode.ABORTED
    assert "write_stall_timeout" in (caught.value.details() or "")


async def test_a_thousand_cancels_leave_nothing_behind() -> None:
    """No upstream connection and no running call is left."""
    script = Silent(*PHASES["while streaming"])
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        for _ in range(20):
            streams = [caller.stub.StreamChat(ask()) for _ in range(50)]
            for number, stream in enumerate(streams):
                if number % 3 == 0:
                    await stream.read()
                stream.cancel()
        await upstream.until(lambda: upstream.open == 0)
        stream = caller.stub.StreamChat(ask())
        first = await stream.read()
        stream.cancel()

    assert isinstance(first, pb.StreamChatResponse)
    assert first.WhichOneof("event") == "started"


async def until(caller: Caller, condition: Callable[[Scrape], bool]) -> Scrape:
    """Scrape until it is so."""
    while not condition(said := await scrape(caller.gateway.metrics_address)):
        pass
    return said


async def _read_all(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass
