"""A real gateway in this process, in front of whatever upstream a test has, and a stub for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import grpc

from headgate.config import Settings
from headgate.gateway import Gateway
from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

TRUSTING = {"trusted_peers": ["127.0.0.0/8"]}
"""A `callers` section: callers on this machine name themselves."""


class Caller:
    """A generated stub and the gateway behind it.

    Args:
        name: goes along as `x-headgate-caller`; a gateway with TRUSTING believes it.
    """

    def __init__(self, gateway: Gateway, channel: grpc.aio.Channel, name: str = "") -> None:
        self.gateway = gateway
        self.channel = channel
        self.metadata: tuple[tuple[str, str], ...] = (("x-headgate-caller", name),) if name else ()
        self.stub = cast(
            "chat_pb2_grpc.ChatServiceAsyncStub", chat_pb2_grpc.ChatServiceStub(channel)
        )

    def named(self, name: str) -> Caller:
        """Another caller on the same connection."""
        return Caller(self.gateway, self.channel, name)

    async def chat(self, text: str = "Hello", **fields: Any) -> pb.ChatResponse:
        seconds = fields.pop("timeout", 20)
        return await self.stub.Chat(ask(text, **fields), timeout=seconds, metadata=self.metadata)

    def stream(
        self, text: str = "Hello", *, timeout: float = 20, **fields: Any
    ) -> grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse]:
        request = ask(text, **fields)
        return self.stub.StreamChat(request, timeout=timeout, metadata=self.metadata)

    async def events(self, text: str = "Hello", **fields: Any) -> list[pb.StreamChatResponse]:
        """All events of a stream that ends OK."""
        return [event async for event in self.stream(text, **fields)]

    async def refused(self, text: str = "Hello", **fields: Any) -> grpc.aio.AioRpcError:
        """The status of a stream that sends nothing and does not end OK."""
        events, error = await self.interrupted(text, **fields)
        assert events == []
        return error

    async def refused_chat(self, text: str = "Hello", **fields: Any) -> grpc.aio.AioRpcError:
        """The status of a Chat that does not end OK."""
        try:
            answer = await self.chat(text, **fields)
        except grpc.aio.AioRpcError as error:
            return error
        raise AssertionError(f"the call ended OK with {answer}")

    async def interrupted(
        self, text: str = "Hello", **fields: Any
    ) -> tuple[list[pb.StreamChatResponse], grpc.aio.AioRpcError]:
        """The events of a stream that does not end OK, and its status."""
        events: list[pb.StreamChatResponse] = []
        try:
            async for event in self.stream(text, **fields):
                events.append(event)  # noqa: PERF401 - what came before the error is wanted
        except grpc.aio.AioRpcError as error:
            return events, error
        raise AssertionError(f"the stream ended OK with {events[-1:]}")


def ask(text: str = "Hello", **fields: Any) -> pb.ChatRequest:
    """A request with one message, unless `messages` are given."""
    fields.setdefault("messages", [pb.ChatMessage(role=pb.ROLE_USER, content=text)])
    return pb.ChatRequest(**fields)


def settings(url: str, **sections: Any) -> Settings:
    """Settings for tests: a free port, no pace unless a test sets one."""
    upstream = {"url": url, **sections.pop("upstream", {})}
    defaults = {"listen": "127.0.0.1:0", "profile": "unlimited"}
    return Settings.model_validate(defaults | sections | {"upstream": upstream})


@asynccontextmanager
async def gateway(
    url: str, *, options: Iterable[tuple[str, Any]] = (), **sections: Any
) -> AsyncIterator[Caller]:
    """Start a gateway with these settings and connect to it."""
    running = Gateway(settings(url, **sections))
    await running.start()
    channel = grpc.aio.insecure_channel(running.grpc_address, options=list(options))
    try:
        yield Caller(running, channel)
    finally:
        await channel.close()
        await running.stop(0)


def text(events: Iterable[pb.StreamChatResponse]) -> str:
    return "".join(event.delta.content for event in events)


def kinds(events: Iterable[pb.StreamChatResponse]) -> list[str]:
    """The names of the events, runs of deltas as one."""
    names = [event.WhichOneof("event") or "" for event in events]
    return [n for i, n in enumerate(names) if n != "delta" or names[i - 1 : i] != ["delta"]]


def trailer(error: grpc.aio.AioRpcError, name: str) -> str | None:
    return dict(error.trailing_metadata() or ()).get(name)
