"""Calls of the production bench, and how they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import grpc

from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    Stub = chat_pb2_grpc.ChatServiceAsyncStub

# Else channels of one process with one target share a connection.
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)
NO_RETRIES = ("grpc.enable_retries", 0)


def ask(model: str = "ok") -> pb.ChatRequest:
    message = pb.ChatMessage(role=pb.ROLE_USER, content="Hello")
    return pb.ChatRequest(messages=[message], model=model)


def stub(channel: grpc.aio.Channel) -> Stub:
    return cast("Stub", chat_pb2_grpc.ChatServiceStub(channel))


def plain(address: str, options: Sequence[tuple[str, Any]] = (NO_RETRIES,)) -> grpc.aio.Channel:
    """A connection of its own, in plain text."""
    return grpc.aio.insecure_channel(address, options=[OWN_CONNECTION, *options])


def words(error: grpc.aio.AioRpcError) -> str:
    """The status, and the reason that the gateway gave; without one it was not the gateway's."""
    trailers = dict(error.trailing_metadata() or ())
    reason = trailers.get("headgate-reason") or repr(error.details())
    return f"{error.code().name} {reason!s}"


def in_words(ends: Counter[Any]) -> str:
    """Such as `198 OK, 2 UNAVAILABLE DRAINING`."""
    return ", ".join(f"{count} {end}" for end, count in sorted(ends.items())) or "none"


async def chat_end(stub: Stub, request: pb.ChatRequest, **how: Any) -> str:
    """`OK`, or what came instead of an answer."""
    try:
        await stub.Chat(request, **how)
    except grpc.aio.AioRpcError as error:
        return words(error)
    return "OK"


async def stream_end(stub: Stub, request: pb.ChatRequest, **how: Any) -> str:
    """`OK` when every word came once and in order, and then the finish.

    Each delta of this bench's upstream is one word, and several may come in one message.
    """
    words_seen = latest = finished = 0
    try:
        async for event in stub.StreamChat(request, **how):
            if event.HasField("delta"):
                words_seen += len(event.delta.content.split())
                if words_seen != event.delta.position or event.delta.position <= latest:
                    return f"torn at {event.delta.position} with {words_seen} words"
                latest = event.delta.position
            finished += event.HasField("finished")
    except grpc.aio.AioRpcError as error:
        return words(error)
    return "OK" if words_seen and finished == 1 else f"OK, but {finished} times finished"
