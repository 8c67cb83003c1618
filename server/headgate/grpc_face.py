"""ChatService over the corridor: a request becomes a Call, Chunks become events."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import grpc
from google.protobuf.message import DecodeError

from headgate.answer import chat_response, gateway_info
from headgate.errors import (
    DeadlineExceeded,
    Draining,
    FieldViolation,
    InvalidRequest,
    StreamInterrupted,
)
from headgate.event_stream import EventStream
from headgate.guard import Context, guarded
from headgate.hold import hold
from headgate.intake import KEY_HEADER
from headgate.notices import Notices
from headgate.outbox import Outbox
from headgate.request_id import HEADER as REQUEST_ID
from headgate.request_id import request_id_of
from headgate.running_calls import OutOfTime, RunningCalls
from headgate.security.peer import grpc_peer
from headgate.translate import RequestReader, extra_from_struct
from headgate.upstream import Call, Chunk, Upstream, extend
from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc
from headgate.validate import crowds
from headgate.watch import Unwatched, Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from google.protobuf.duration_pb2 import Duration

    from headgate.intake import Intake
    from headgate.progress import Progress
    from headgate.security import Access
    from headgate.watch import Watch

Answer = TypeVar("Answer")
MIN_HEARTBEAT = 0.1


class Entry(NamedTuple):
    """What the metadata of a call tells."""

    headers: Mapping[str, str]
    request_id: str
    caller: str


class ChatServicer(chat_pb2_grpc.ChatServiceServicer):
    """Both methods of headgate.v1.ChatService.

    Args:
        corridor: the outermost door.
        intake: the rules that both faces share.
        access: names the caller, and refuses those who may not call.
        default_deadline: seconds for a call that names no deadline; inf for none.
        max_deadline: seconds that no deadline may go beyond; inf for none.
        write_stall_timeout: seconds that a write may wait for the reader.
        watch: follows each call.

    Attributes:
        calls: those that run.
    """

    def __init__(
        self,
        corridor: Upstream,
        intake: Intake,
        access: Access,
        *,
        default_deadline: float = math.inf,
        max_deadline: float = math.inf,
        write_stall_timeout: float = math.inf,
        watch: Watch | None = None,
    ) -> None:
        self._corridor = corridor
        self._intake = intake
        self._access = access
        self._default_deadline = default_deadline
        self._max_deadline = max_deadline
        self._write_stall_timeout = write_stall_timeout
        self._watch = watch or Unwatched()
        self._outbox = Outbox()
        self.calls = RunningCalls()

    async def finish(self, grace: float) -> None:
        """Wait for the running calls for `grace` seconds, then end them with a status."""
        await self.calls.finish(grace)

    @guarded
    async def Chat(  # noqa: N802 - the contract's name
        self, arrived: Arrived, context: Context
    ) -> pb.ChatResponse:
        with Watching(self._watch, "grpc", "Chat") as progress, self.calls.running():
            entry = await self._enter(context, "Chat", progress)
            call = self._admit(arrived.take(), context, entry, progress, stream=False)
            whole = await self._in_time(call, progress, self._answer(call, progress))
            gateway = gateway_info(progress, system_prompt_applied=call.system_prompt_applied)
            return chat_response(whole, time.time(), gateway)

    @guarded
    async def StreamChat(  # type: ignore[override]  # noqa: N802 - a writing coroutine
        self, arrived: Arrived, context: Context
    ) -> None:
        with Watching(self._watch, "grpc", "StreamChat") as progress:
            await self._stream_chat(arrived, context, progress)

    async def _stream_chat(self, arrived: Arrived, context: Context, progress: Progress) -> None:
        clock = asyncio.get_running_loop().time
        entry = await self._enter(context, "StreamChat", progress)
        request = arrived.take()
        call = self._admit(request, context, entry, progress, stream=True)
        interval = _seconds(request.stream_options.delta_interval)
        events = EventStream(
            context,
            progress,
            write_stall_timeout=self._write_stall_timeout,
            clock=clock,
            outbox=self._outbox,
            notices=_notices(request.stream_options, clock()),
        )
        del request  # with its prompt, which may be long, as the answer may
        try:
            with self.calls.running():
                await self._in_time(call, progress, self._stream(call, events, interval))
        except StreamInterrupted as error:
            error.metadata["position_sent"] = str(events.position)
            raise
        finally:
            call.taker = None  # the writer knows the call, too, and a cycle would keep both
            events.close()

    async def _answer(self, call: Call, progress: Progress) -> Chunk:
        whole = Chunk(deltas=[], finishes={}, extra={})
        async with self._corridor.open(call) as chunks:
            async for chunk in chunks:
                progress.heard(chunk)
                extend(whole, chunk)
        return whole

    async def _stream(self, call: Call, events: EventStream, interval: float) -> None:
        if interval <= 0:
            call.taker = events
        async with events.notifying():
            async with self._corridor.open(call) as chunks:
                if interval > 0:
                    held = hold(chunks, interval)
                    async with aclosing(held):
                        async for chunk in held:
                            await events.send(chunk)
                else:
                    async for chunk in chunks:
                        await events.send(chunk)
            await events.finish(system_prompt_applied=call.system_prompt_applied)

    async def _in_time(
        self, call: Call, progress: Progress, work: Coroutine[Any, Any, Answer]
    ) -> Answer:
        """Do the work before the call's deadline, and before the grace of a stop is over.

        Raises:
            DeadlineExceeded: naming what the call was at.
            StreamInterrupted, Draining: the server stops, and the call could not be waited for.
        """
        deadline = math.inf if call.deadline is None else call.deadline
        try:
            with self.calls.in_time(deadline):
                return await work
        except OutOfTime as error:
            if not error.cut:
                raise DeadlineExceeded(progress.phase) from error
            if progress.phase == "streaming":
                raise StreamInterrupted("the server is shutting down", cause="draining") from error
            raise Draining from error

    async def _enter(self, context: Context, method: str, progress: Progress) -> Entry:
        """Name the call and its caller; raises Unauthenticated and PermissionDenied."""
        self.calls.follow()
        headers = _headers(context)
        request_id = request_id_of(headers.get(REQUEST_ID, ""))
        context.set_trailing_metadata(((REQUEST_ID, request_id),))
        progress.entered(request_id, headers)
        caller = await self._access.authenticate(grpc_peer(context), headers)
        progress.caller = caller
        self._access.authorize(caller, method)
        return Entry(headers, request_id, caller)

    def _admit(
        self,
        request: pb.ChatRequest,
        context: Context,
        entry: Entry,
        progress: Progress,
        *,
        stream: bool,
    ) -> Call:
        headers = entry.headers
        reader = RequestReader()
        body = reader.read(request)
        body.stream = stream
        _check_options(reader, request)
        scheduling = request.scheduling
        call = self._intake.admit(
            body,
            caller=entry.caller,
            extra=extra_from_struct(request.extra),
            deadline=self._deadline(context),
            system_prompt=reader.system_prompt(request),
            priority=scheduling.priority,
            max_queue_wait=_max_queue_wait(scheduling),
            prior_attempts=_number(headers.get("grpc-previous-rpc-attempts")),
            mesh_attempts=max(_number(headers.get("x-envoy-attempt-count")) - 1, 0),
            request_id=entry.request_id,
            labels=dict(request.labels),
            observer=progress,
            idempotency_keys=(request.idempotency_key, headers.get(KEY_HEADER, "")),
            found=reader.wrong,
        )
        progress.admit(call)
        return call

    def _deadline(self, context: Context) -> float | None:
        """On the loop's clock; gRPC counts on the wall clock, which may be set back."""
        remaining = context.time_remaining()
        seconds = self._default_deadline if remaining is None else remaining
        seconds = min(seconds, self._max_deadline)
        return None if seconds == math.inf else asyncio.get_running_loop().time() + seconds


_UNREADABLE = FieldViolation("request", "is no headgate.v1.ChatRequest: its bytes do not parse")


class Arrived:
    """A call's message, for its handler to take: gRPC keeps what arrived until the call is over.

    Args:
        data: the message as it came.
    """

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self) -> pb.ChatRequest:
        """The message; once, and not before it is known who sends it: reading it is work.

        Raises:
            InvalidRequest: its bytes are none, or there is too much in it to look at each.
        """
        data, self._data = self._data, b""
        try:
            message = pb.ChatRequest.FromString(data)
        except DecodeError:
            raise InvalidRequest([_UNREADABLE]) from None
        if wrong := _crowds(message):
            raise InvalidRequest(wrong)
        return message


def _crowds(message: pb.ChatRequest) -> list[FieldViolation]:
    asked, tools, stop = message.messages, message.tools, message.stop
    return crowds({"messages": len(asked), "tools": len(tools), "stop": len(stop)}) or crowds(
        {"messages.parts": sum(len(each.parts) + len(each.tool_calls) for each in asked)}
    )


def add_chat_service(servicer: ChatServicer, server: grpc.aio.Server) -> None:
    """Serve both methods.

    As the generated function, but a message comes as an `Arrived`, also one that does not parse,
    whose `take` says so: gRPC itself would send the text of the exception to the client, and log a
    traceback.
    """
    handlers = {
        "Chat": grpc.unary_unary_rpc_method_handler(
            servicer.Chat, Arrived, pb.ChatResponse.SerializeToString
        ),
        "StreamChat": grpc.unary_stream_rpc_method_handler(
            servicer.StreamChat, Arrived, pb.StreamChatResponse.SerializeToString
        ),
    }
    service = pb.DESCRIPTOR.services_by_name["ChatService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


class _Unknown(grpc.GenericRpcHandler):
    """Asked last, for methods that nobody serves; gRPC says UNIMPLEMENTED to them."""

    def __init__(self, tell: Callable[[str, str, str], None]) -> None:
        self._tell = tell

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        metadata = handler_call_details.invocation_metadata or ()
        given = next((text for name, text in metadata if name == REQUEST_ID), "")
        request_id = request_id_of(given if isinstance(given, str) else "")
        self._tell("grpc", handler_call_details.method, request_id)


def add_unknown(server: grpc.aio.Server, tell: Callable[[str, str, str], None]) -> None:
    """Tell of calls to methods that there are not; after all services were added.

    Args:
        tell: called with the face, the method and the request id.
    """
    server.add_generic_rpc_handlers((_Unknown(tell),))


def _notices(options: pb.StreamOptions, now: float) -> Notices | None:
    heartbeat = _seconds(options.heartbeat_interval) or math.inf
    if not options.queue_updates and heartbeat == math.inf:
        return None
    return Notices(now, queue_updates=options.queue_updates, heartbeat=heartbeat)


def _check_options(reader: RequestReader, request: pb.ChatRequest) -> None:
    options = request.stream_options
    if _seconds(options.heartbeat_interval) != 0:  # 0 is none, as unset is
        path = "stream_options.heartbeat_interval"
        reader.seconds(path, options.heartbeat_interval, at_least=MIN_HEARTBEAT)
    if options.HasField("delta_interval"):
        reader.seconds("stream_options.delta_interval", options.delta_interval)
    if request.scheduling.HasField("max_queue_wait"):
        reader.seconds("scheduling.max_queue_wait", request.scheduling.max_queue_wait)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _max_queue_wait(scheduling: pb.Scheduling) -> float | None:
    return _seconds(scheduling.max_queue_wait) if scheduling.HasField("max_queue_wait") else None


def _headers(context: Context) -> dict[str, str]:
    """Text metadata by name; of a repeated name the last counts."""
    return {
        name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)
    }


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
