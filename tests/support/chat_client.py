"""The far end of the Python client: its events, its errors, a fake channel, a scripted server."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import grpc_testing
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from headgate_client.v1 import chat_pb2 as pb
from headgate_client.v1 import chat_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from concurrent.futures import Future

    from google.protobuf.message import Message

Trailers = tuple[tuple[str, str | bytes], ...]

SERVICE = pb.DESCRIPTOR.services_by_name["ChatService"]


class Failure(NamedTuple):
    """A status that is not OK."""

    code: grpc.StatusCode
    details: str = ""
    trailers: Trailers = ()


Step = pb.StreamChatResponse | Failure | asyncio.Event


def delta(content: str = "", *, position: int = 1, **fields: Any) -> pb.StreamChatResponse:
    return pb.StreamChatResponse(delta=pb.ChatDelta(content=content, position=position, **fields))


def started(model: str = "scripted-1") -> pb.StreamChatResponse:
    return pb.StreamChatResponse(started=pb.StreamStarted(id="answer-1", model=model))


def queued(position: int) -> pb.StreamChatResponse:
    return pb.StreamChatResponse(queued=pb.Queued(position=position))


def finished(total_tokens: int | None = None, **fields: Any) -> pb.StreamChatResponse:
    usage = None if total_tokens is None else pb.Usage(total_tokens=total_tokens)
    return pb.StreamChatResponse(finished=pb.StreamFinished(usage=usage, **fields))


def answer(*texts: str) -> list[pb.StreamChatResponse]:
    """A whole stream that says these texts."""
    deltas = [delta(text, position=at) for at, text in enumerate(texts, 1)]
    return [started(), *deltas, finished(len(texts))]


def response(content: str) -> pb.ChatResponse:
    message = pb.ChatMessage(role=pb.ROLE_ASSISTANT, content=content)
    return pb.ChatResponse(choices=[pb.ChatChoice(message=message)])


def failure(code: grpc.StatusCode, details: str, *facts: Message) -> Failure:
    """A status as the gateway makes it: a google.rpc.Status with these facts in the trailers."""
    status = status_pb2.Status(code=code.value[0], message=details)
    for fact in facts:
        packed = AnyMessage()
        packed.Pack(fact)
        status.details.append(packed)
    return Failure(code, details, rpc_status.to_status(status).trailing_metadata)


def error_info(reason: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain="headgate", metadata=metadata)


class FakeWire:
    """grpcio-testing's fake channel: no socket, no clock, every step by hand."""

    def __init__(self) -> None:
        self.channel = grpc_testing.channel([SERVICE], grpc_testing.strict_fake_time(0))

    def take_chat(self) -> Any:
        """Wait for the next Chat; returns its metadata, its request, and its far end."""
        return self.channel.take_unary_unary(SERVICE.methods_by_name["Chat"])

    def take_stream(self) -> Any:
        """Wait for the next StreamChat, likewise."""
        return self.channel.take_unary_stream(SERVICE.methods_by_name["StreamChat"])

    @contextmanager
    def calling(self, call: Callable[[], Any]) -> Iterator[Future[Any]]:
        """Make a blocking call in a thread, so that the test can play the far end."""
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(call)

    def reply(self, content: str) -> pb.ChatRequest:
        """Answer the next Chat; returns its request."""
        _, request, rpc = self.take_chat()
        rpc.terminate(response(content), (), grpc.StatusCode.OK, "")
        asked: pb.ChatRequest = request
        return asked

    def play(self, *events: pb.StreamChatResponse) -> Any:
        """Send these events into the next StreamChat and leave it open; returns the far end."""
        _, _, rpc = self.take_stream()
        for event in events:
            rpc.send_response(event)
        return rpc

    def finish(self, *events: pb.StreamChatResponse) -> None:
        """Send these events into the next StreamChat and end it well."""
        self.play(*events).terminate((), grpc.StatusCode.OK, "")


class ScriptedServicer(chat_pb2_grpc.ChatServiceServicer):
    """Each stream plays the steps: an event is sent, an Event waited for, a Failure ends it.

    Attributes:
        requests: every request, in order.
        metadata: the metadata of every call.
        remaining: seconds until each call's deadline, or None.
        asked: one release for every call that has come in.
        ended: one release for every stream that is over, however that happened.
    """

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.requests: list[pb.ChatRequest] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.remaining: list[float | None] = []
        self.asked = asyncio.Semaphore(0)
        self.ended = asyncio.Semaphore(0)

    async def Chat(self, request: pb.ChatRequest, context: Any) -> pb.ChatResponse:  # noqa: N802
        self._remember(request, context)
        for step in self.steps:
            await self._play(step, context)
        return response("Hello")

    async def StreamChat(  # type: ignore[override] # noqa: N802 - the stub's types know no writers
        self, request: pb.ChatRequest, context: Any
    ) -> None:
        self._remember(request, context)
        try:
            for step in self.steps:
                await self._play(step, context)
        finally:
            self.ended.release()

    def _remember(self, request: pb.ChatRequest, context: Any) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.remaining.append(context.time_remaining())
        self.asked.release()

    async def _play(self, step: Step, context: Any) -> None:
        if isinstance(step, pb.StreamChatResponse):
            await context.write(step)
        elif isinstance(step, Failure):
            await context.abort(step.code, step.details, step.trailers)
        else:
            await step.wait()


@asynccontextmanager
async def serving(servicer: chat_pb2_grpc.ChatServiceServicer) -> AsyncIterator[str]:
    """A grpc.aio server on a free port of this machine; yields its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    chat_pb2_grpc.add_ChatServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
