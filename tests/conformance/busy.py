"""Calls of the kit's own: they keep a gateway busy while a case runs, or look at its queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import grpc

from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc

if TYPE_CHECKING:
    from upstream import ConformanceUpstream

ARRIVAL_SECONDS = 20.0
HOLD_SECONDS = 60.0  # a gateway's own default may be shorter


class Busy:
    """Holds so many attempts in flight; an asynchronous context manager.

    Args:
        address: of the gateway.
        upstream: where the calls have to arrive.
        key: of the case; the calls get one of their own from it.
        what: `calls`: how many; `release_ms`: let go so long after the calls have arrived.
    """

    def __init__(
        self, address: str, upstream: ConformanceUpstream, key: str, what: dict[str, Any]
    ) -> None:
        self._address = address
        self._upstream = upstream
        self._key = f"busy/{key}"
        self._what = what
        self._streams: list[Any] = []
        self._release: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address)
        stub: Any = chat_pb2_grpc.ChatServiceStub(self._channel)
        hello = [pb.ChatMessage(role=pb.ROLE_USER, content="Hello!")]
        request = pb.ChatRequest(messages=hello, model="stall:1", user=self._key)
        calls = self._what["calls"]
        self._streams = [stub.StreamChat(request, timeout=HOLD_SECONDS) for _ in range(calls)]
        attempts = self._upstream.attempts(self._key)
        if not await self._upstream.until(lambda: len(attempts) == calls, ARRIVAL_SECONDS):
            raise TimeoutError(
                f"the upstream saw {len(attempts)} of {calls} calls of the kit's own"
            )
        if "release_ms" in self._what:
            self._release = asyncio.create_task(self._let_go(self._what["release_ms"] / 1000))
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._release is not None:
            self._release.cancel()
        self._cancel()
        await self._channel.close()
        attempts = self._upstream.attempts(self._key)
        await self._upstream.until(lambda: all(a.gone_at for a in attempts), ARRIVAL_SECONDS)

    async def _let_go(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._cancel()

    def _cancel(self) -> None:
        for stream in self._streams:
            stream.cancel()


async def in_line(address: str, calls: int) -> None:
    """Returns once so many calls wait at a gateway: who asks is told to stand behind them."""
    hello = [pb.ChatMessage(role=pb.ROLE_USER, content="Hello!")]
    options = pb.StreamOptions(queue_updates=True)
    request = pb.ChatRequest(messages=hello, stream_options=options, user="busy/in line")
    async with asyncio.timeout(ARRIVAL_SECONDS), grpc.aio.insecure_channel(address) as channel:
        stub: Any = chat_pb2_grpc.ChatServiceStub(channel)
        position = 0
        while position <= calls:
            stream = stub.StreamChat(request)
            position = (await stream.read()).queued.position
            stream.cancel()
