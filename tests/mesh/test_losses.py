"""A headgate is killed, drained or hangs: no call fails that could have succeeded.

The callers here never try again by themselves, so it is Envoy with deploy/envoy that loses none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest

from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc
from mesh.mesh import FAST, Mesh, mesh
from support.gateway import ask, kinds, text
from support.raw_upstream import Connection, RawUpstream, Request
from support.redis_server import needs_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    Stub = chat_pb2_grpc.ChatServiceAsyncStub
    Stream = grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse]

pytestmark = [needs_redis, pytest.mark.timeout(120)]
CALLS = 12
WHOLE = "Hello there"
FRONTS = ("edge", "balance")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{"content":" there"},"finish_reason":"stop"}]}\n\n'


class Upstream:
    """Holds every answer back until it is let go; a model named `begun` says a word before."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def script(self, request: Request, connection: Connection) -> None:
        if request.json["model"] == "begun":
            await connection.send(HEAD, FIRST)
            await self.free.wait()
            await connection.send(LAST)
        else:
            await self.free.wait()
            await connection.send(HEAD, FIRST, LAST)
        connection.writer.close()


class Scene:
    def __init__(self, mesh: Mesh, stub: Stub, hold: Upstream, upstream: RawUpstream) -> None:
        self.mesh = mesh
        self.stub = stub
        self.hold = hold
        self.upstream = upstream

    def call(self, model: str = "held") -> asyncio.Task[str]:
        """One stream; how it ends: its text, or its status."""
        return asyncio.create_task(self._ending(self.stub.StreamChat(ask(model=model), timeout=90)))

    async def begin(self) -> Stream:
        """A stream of which the first delta is here."""
        stream = self.stub.StreamChat(ask(model="begun"), timeout=90)
        for _ in ("started", "delta"):
            await stream.read()
        return stream

    async def arrived(self, number: int) -> None:
        """So many requests are at the upstream."""
        await self.upstream.until(lambda: len(self.upstream.requests) >= number)

    async def _ending(self, stream: Any) -> str:
        try:
            events = [event async for event in stream]
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        assert kinds(events) == ["started", "delta", "finished"]
        return text(events)


async def rest(stream: Stream) -> str:
    """The last event of a stream that has begun, or its status."""
    last = None
    try:
        while isinstance(event := await stream.read(), pb.StreamChatResponse):
            last = event
    except grpc.aio.AioRpcError as error:
        return error.code().name
    assert last is not None
    return last.WhichOneof("event") or ""


@asynccontextmanager
async def scene(folder: Path, front: str, *flags: str) -> AsyncIterator[Scene]:
    hold = Upstream()
    options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with (
        RawUpstream(hold.script) as upstream,
        mesh(folder, upstream.url, *FAST, *flags, front=front) as running,
        grpc.aio.insecure_channel(running.envoy.address, options=options) as channel,
    ):
        stub = cast("Stub", chat_pb2_grpc.ChatServiceStub(channel))
        yield Scene(running, stub, hold, upstream)


@pytest.mark.parametrize("front", FRONTS)
async def test_a_killed_headgates_unanswered_calls_go_elsewhere(front: str, tmp_path: Path) -> None:
    """Each is made once more. What had a delta is cut, which Envoy can only tell by a reset."""
    async with scene(tmp_path, front) as here:
        begun = [await here.begin() for _ in range(CALLS)]
        first, *_ = here.mesh.replicas
        cut = await first.count("headgate_in_flight")
        held = [here.call() for _ in range(CALLS)]
        await here.arrived(2 * CALLS)
        lost = await first.count("headgate_in_flight") - cut
        assert cut > 0
        assert lost > 0
        await first.kill()
        await here.arrived(2 * CALLS + lost)
        here.hold.free.set()
        assert await asyncio.gather(*held) == [WHOLE] * CALLS
        assert await asyncio.gather(*(here.call() for _ in range(CALLS))) == [WHOLE] * CALLS
        ends = Counter(await asyncio.gather(*(rest(one) for one in begun)))
        assert ends == {"finished": CALLS - cut, "INTERNAL": cut}
        assert len(here.upstream.requests) == 3 * CALLS + lost


@pytest.mark.parametrize("front", FRONTS)
async def test_a_drain_loses_nothing(front: str, tmp_path: Path) -> None:
    """What runs ends where it runs, what waits goes elsewhere, what comes is not sent there."""
    async with scene(tmp_path, front, "--throttle.max_in_flight", str(CALLS)) as here:
        first, *_ = here.mesh.replicas
        begun = [await here.begin() for _ in range(CALLS)]
        waiting = [here.call() for _ in range(4 * CALLS)]
        await here.arrived(3 * CALLS)  # each is full
        while sum(await here.mesh.counts("headgate_queue_depth")) < 2 * CALLS:
            pass  # the others are not in line yet
        moved = await first.count("headgate_queue_depth")
        assert moved > 0
        first.stop()
        await first.said('"reason":"DRAINING"', moved)
        new = [here.call() for _ in range(CALLS)]
        here.hold.free.set()
        assert await asyncio.gather(*waiting, *new) == [WHOLE] * 5 * CALLS
        assert await asyncio.gather(*(rest(one) for one in begun)) == ["finished"] * CALLS
        assert len(here.upstream.requests) == 6 * CALLS


@pytest.mark.parametrize("front", FRONTS)
async def test_a_headgate_that_hangs_is_left_out(front: str, tmp_path: Path) -> None:
    """Its calls that had no delta are made once more, as soon as Envoy knows; others go on."""
    async with scene(tmp_path, front) as here:
        held = [here.call() for _ in range(CALLS)]
        await here.arrived(CALLS)
        counts = await here.mesh.counts("headgate_in_flight")
        lost = max(counts)
        first = here.mesh.replicas[counts.index(lost)]
        others = [one for one in here.mesh.replicas if one is not first]
        first.hang()
        await here.arrived(CALLS + lost)
        faults = await here.mesh.envoy.hosts()
        assert "failed_active_health_check" in faults.pop(first.address)
        assert faults == {one.address: set() for one in others}
        here.hold.free.set()
        assert await asyncio.gather(*held) == [WHOLE] * CALLS
        assert await asyncio.gather(*(here.call() for _ in range(CALLS))) == [WHOLE] * CALLS
        assert len(here.upstream.requests) == 2 * CALLS + lost
