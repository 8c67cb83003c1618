"""Callers that wait: a pace ten times the published one, a held queue, and waiters in order."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from headgate.v1 import chat_pb2 as pb
from support.gateway import TRUSTING, Caller, gateway
from support.raw_upstream import RawUpstream, says

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.raw_upstream import Connection, Request

Detail = TypeVar("Detail", bound=Message)

GAP = 0.05
PACE: dict[str, Any] = {"rate": 20, "min_interval": GAP}
"""A `throttle` section: ten times the published pace."""

SLOT = 0.505
SLOW: dict[str, Any] = {"rate": 2, "min_interval": 0.5}
"""A `throttle` section: the published pace; one slot is SLOT seconds, margin included."""


class Waiter:
    """A stream that was told that it waits.

    Attributes:
        place: the first `queued` event.
    """

    def __init__(
        self,
        stream: grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse],
        place: pb.Queued,
    ) -> None:
        self.place = place
        self._stream = stream

    def cancel(self) -> None:
        self._stream.cancel()

    async def told(self) -> pb.Queued:
        """The next event, which has to be a `queued` one."""
        return await _queued(self._stream)

    async def rest(self) -> list[pb.StreamChatResponse]:
        """All further events of a stream that ends OK."""
        events = []
        while isinstance(event := await self._stream.read(), pb.StreamChatResponse):
            events.append(event)
        return events

    async def status(self) -> grpc.aio.AioRpcError:
        """How a stream ends that does not end OK."""
        try:
            events = await self.rest()
        except grpc.aio.AioRpcError as error:
            return error
        raise AssertionError(f"the stream ended OK with {events[-1:]}")


async def waiting(caller: Caller, text: str = "Hello", **fields: Any) -> Waiter:
    """Send a call that has to wait; returns once it stands in line."""
    options = pb.StreamOptions(queue_updates=True)
    stream = caller.stream(text, stream_options=options, **fields)
    return Waiter(stream, await _queued(stream))


async def _queued(
    stream: grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse],
) -> pb.Queued:
    event = await stream.read()
    assert isinstance(event, pb.StreamChatResponse), event
    assert event.WhichOneof("event") == "queued", event
    return event.queued


class Held(NamedTuple):
    """A gateway whose only place in flight is taken until `release` is set."""

    upstream: RawUpstream
    caller: Caller
    release: asyncio.Event


@asynccontextmanager
async def held(**sections: Any) -> AsyncIterator[Held]:
    """So the queue stands still; afterwards it is served one by one."""
    release = asyncio.Event()

    async def first(request: Request, connection: Connection) -> None:
        await release.wait()
        await says("done")(request, connection)

    throttle = {"max_in_flight": 1} | sections.pop("throttle", {})
    callers = TRUSTING | sections.pop("callers", {})
    async with (
        RawUpstream(first, says("done")) as upstream,
        gateway(upstream.url, throttle=throttle, callers=callers, **sections) as caller,
    ):
        holder = asyncio.create_task(caller.named("holder").chat("holder"))
        await upstream.until(lambda: len(upstream.requests) == 1)
        yield Held(upstream, caller, release)
        release.set()
        await holder


def texts(upstream: RawUpstream) -> list[str]:
    """What was asked, in the order of arrival."""
    return [request.json["messages"][-1]["content"] for request in upstream.requests]


def gaps(upstream: RawUpstream) -> list[float]:
    """Seconds between two arrivals."""
    arrivals = sorted(request.at for request in upstream.requests)
    return [later - earlier for earlier, later in pairwise(arrivals)]


def detail(error: grpc.aio.AioRpcError, kind: type[Detail]) -> Detail:
    """The google.rpc detail of this kind."""
    trailers = dict(error.trailing_metadata() or ())
    rich = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    for packed in rich.details:
        found = kind()
        if packed.Unpack(found):
            return found
    raise AssertionError(f"no {kind.__name__} in {rich}")


def retry_delay(error: grpc.aio.AioRpcError) -> float:
    """Seconds, as RetryInfo says."""
    info = detail(error, error_details_pb2.RetryInfo)
    return float(info.retry_delay.ToNanoseconds() / 1e9)


def pushback(error: grpc.aio.AioRpcError) -> int:
    """Milliseconds; -1 means: do not come again."""
    return int(dict(error.trailing_metadata() or ())["grpc-retry-pushback-ms"])
