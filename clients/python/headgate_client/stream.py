"""A streamed answer: iterate it for events, or its `text()` for text.

What both kinds share, and that is all but the waiting, is in `StreamState`.
"""

from __future__ import annotations

import asyncio
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

import grpc

from headgate_client.assembly import Assembly
from headgate_client.errors import Cancelled, HeadgateError, Interrupted
from headgate_client.status import from_rpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from headgate_client.v1 import chat_pb2 as pb

    OnFinished = Callable[[pb.ChatMessage], None]


class Call(Protocol):
    """A running StreamChat of grpc."""

    def __next__(self) -> pb.StreamChatResponse: ...
    def cancel(self) -> object: ...


class AsyncCall(Protocol):
    """A running StreamChat of grpc.aio."""

    def __aiter__(self) -> AsyncIterator[pb.StreamChatResponse]: ...
    def cancel(self) -> object: ...


class StreamState:
    """What a stream has said so far.

    Attributes:
        started: id, model, creation time; None before the first delta.
        queued: the latest place in line; None when the call never waited, or did not ask.
        finished: finish reasons, usage, gateway; None until the answer is complete.
        position: how many upstream deltas have been read.
    """

    def __init__(self, on_finished: OnFinished | None = None) -> None:
        self.started: pb.StreamStarted | None = None
        self.queued: pb.Queued | None = None
        self.finished: pb.StreamFinished | None = None
        self.position: int = 0
        self._assembly = Assembly()
        self._on_finished = on_finished
        self._cancelled = False

    @property
    def message(self) -> pb.ChatMessage:
        """The first choice's message as far as it has been read."""
        return self._assembly.message()

    @property
    def usage(self) -> pb.Usage | None:
        """The tokens used, once the answer is complete and if the upstream said so."""
        if self.finished is None or not self.finished.HasField("usage"):
            return None
        return self.finished.usage

    def _take(self, event: pb.StreamChatResponse) -> pb.StreamChatResponse:
        match event.WhichOneof("event"):
            case "delta":
                self.position = event.delta.position
                self._assembly.add(event.delta)
            case "started":
                self.started = event.started
            case "queued":
                self.queued = event.queued
            case "finished":
                self.finished = event.finished
                if self._on_finished is not None:
                    self._on_finished(self.message)
        return event

    def _end(self) -> None:
        """The status is OK: an answer without its `finished` is still no whole answer."""
        if self.finished is None:
            raise Interrupted(
                grpc.StatusCode.INTERNAL,
                "the stream ended without its finished event",
                metadata={"position_sent": str(self.position)},
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise self._error(error) from error

    def _error(self, error: grpc.RpcError) -> HeadgateError:
        return _cancelled() if self._cancelled else from_rpc(error, position=self.position)


def _cancelled() -> Cancelled:
    return Cancelled(grpc.StatusCode.CANCELLED, "the call was cancelled here")


class Stream(StreamState):
    """Iterate over the events of an answer; leave the `with` block and it is cancelled.

    Without a `with` block the call is cancelled when nothing refers to the stream any longer.
    Iterating raises HeadgateError when the call fails, and Cancelled after `cancel()`.
    """

    def __init__(self, call: Call, on_finished: OnFinished | None = None) -> None:
        super().__init__(on_finished)
        self._call = call
        self._finalizer = weakref.finalize(self, call.cancel)
        self._finalizer.atexit = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pb.StreamChatResponse:
        try:
            with self._errors():
                return self._take(next(self._call))
        except StopIteration:
            self._end()
            raise

    def text(self) -> TextIterator:
        """Iterate over the text of the first choice."""
        return TextIterator(self)

    def cancel(self) -> None:
        """Stop the answer; the gateway stops the upstream."""
        self._cancelled = True
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class TextIterator:
    """The text of an answer's first choice, piece by piece; `stream` knows the rest."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        while not (text := delta_text(next(self.stream))):
            pass
        return text


class AsyncStream(StreamState):
    """As Stream, for asyncio."""

    def __init__(self, call: AsyncCall, on_finished: OnFinished | None = None) -> None:
        super().__init__(on_finished)
        self._events = aiter(call)
        # grpcio from 1.83 on never collects an abandoned call by itself (grpc/grpc#43462),
        # and the collector may run in any thread.
        self._finalizer = weakref.finalize(self, _cancel_in, asyncio.get_running_loop(), call)
        self._finalizer.atexit = False
        self._cancel_call = call.cancel

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> pb.StreamChatResponse:
        try:
            with self._errors(), cancellation_told():
                return self._take(await anext(self._events))
        except StopAsyncIteration:
            self._end()
            raise

    def text(self) -> AsyncTextIterator:
        """Iterate over the text of the first choice."""
        return AsyncTextIterator(self)

    def cancel(self) -> None:
        """Stop the answer; the gateway stops the upstream."""
        self._cancelled = True
        self._cancel_call()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()


class AsyncTextIterator:
    """As TextIterator, for asyncio."""

    def __init__(self, stream: AsyncStream) -> None:
        self.stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while not (text := delta_text(await anext(self.stream))):
            pass
        return text


def delta_text(event: pb.StreamChatResponse) -> str:
    """The piece of the first choice's text in an event, or the empty string."""
    return "" if event.delta.choice_index else event.delta.content


def _cancel_in(loop: asyncio.AbstractEventLoop, call: AsyncCall) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call.cancel)


@contextmanager
def cancellation_told() -> Iterator[None]:
    """Tell a call that was cancelled, by `cancel()` or a closed channel, from a cancelled task.

    grpc.aio raises the same for both, and a TaskGroup takes a task that ends so for one that has
    ended well.

    Raises:
        Cancelled: this task was not cancelled, so the call was.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _cancelled() from None
