"""Writes one StreamChat answer: started, deltas, finished, and notices between them."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import grpc

from headgate.answer import delta_event, finished_event, gateway_info, started_event
from headgate.errors import StreamInterrupted
from headgate.guard import PeerGone
from headgate.merge import merge
from headgate.timer import Timer
from headgate.upstream import Chunk, Head
from headgate.write_ahead import WriteAhead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from headgate.notices import Notices
    from headgate.outbox import Outbox
    from headgate.progress import Progress
    from headgate.upstream import Delta, Place
    from headgate.v1 import chat_pb2 as pb

_SILENCE = nullcontext()


class EventStream:
    """The only writer of one RPC.

    Args:
        context: where the events go.
        progress: told of the first delta, asked for the figures of `finished`.
        write_stall_timeout: seconds that one write may wait for the reader.
        outbox: of all streams that are written by this event loop.
        notices: set only for a caller that asked for queue updates or heartbeats.

    Attributes:
        position: how many upstream deltas were sent.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        progress: Progress,
        *,
        write_stall_timeout: float,
        clock: Callable[[], float],
        outbox: Outbox,
        notices: Notices | None = None,
    ) -> None:
        self.position = 0
        self._context = context
        self._progress = progress
        self._stall = write_stall_timeout
        self._clock = clock
        self._notices = notices
        self._lock = asyncio.Lock()
        self._timer = Timer()
        self._ahead = WriteAhead(outbox)
        self._started = False
        self._closed = False
        self._finishes: dict[int, str] = {}
        self._tail = Chunk(deltas=[], finishes={}, extra={})

    async def send(self, chunk: Chunk) -> None:
        """Write what a Chunk brought; its deltas merged, because they arrived together."""
        if not self._started:
            self._started = True
            await self._write(started_event(chunk.head or Head(), time.time()))
            await self._settle()  # until its first write is through, gRPC takes no status
        self._progress.heard(chunk)
        for delta in merge(chunk.deltas) if len(chunk.deltas) > 1 else chunk.deltas:
            await self._write(delta_event(delta, self.position + delta.count), delta.count)
        if chunk.finishes:
            self._finishes.update(chunk.finishes)
        if chunk.usage is not None:
            self._tail.usage = chunk.usage
        if chunk.extra:
            self._tail.extra |= chunk.extra

    def take(self, delta: Delta) -> bool:
        """Write a lone delta soon, while its task waits for the next Chunk; see `Taker`.

        Not while the write before it is under way: then the task waits for that.
        """
        if self._notices is not None or not self._started or not self._ahead.end_well():
            return False
        self.position += delta.count
        self._ahead.start_soon(self._context.write(delta_event(delta, self.position)))
        self._progress.delta_sent(delta.count)
        return True

    async def finish(self, *, system_prompt_applied: bool) -> None:
        """Write `finished`, the last event."""
        gateway = gateway_info(self._progress, system_prompt_applied=system_prompt_applied)
        event = finished_event(self._finishes, self._tail, gateway)
        self._closed = True
        await self._write(event)
        await self._settle()

    def notifying(self) -> AbstractAsyncContextManager[None]:
        """While the block runs, notices are sent when they are due."""
        return _SILENCE if self._notices is None else self._notifying(self._notices)

    @asynccontextmanager
    async def _notifying(self, notices: Notices) -> AsyncIterator[None]:
        # Before the block runs: a call is most often queued before another task gets its turn.
        wake = self._listen(notices)
        patience = Timer()
        notifier = asyncio.create_task(self._notify(notices, wake, patience))
        try:
            with patience.limit(math.inf):
                yield
        except TimeoutError as error:
            if not patience.expired:
                raise
            raise self._stalled() from error
        finally:
            patience.close()
            notifier.cancel()
            await asyncio.wait({notifier})
            if not notifier.cancelled():
                notifier.exception()  # the main writer meets the same fault and reports it

    def close(self) -> None:
        """Drop what is under way, and say how far it came."""
        self._ahead.drop()
        self._timer.close()
        self._progress.deltas = self.position

    async def _write(self, event: pb.StreamChatResponse, deltas: int = 0) -> None:
        """Write it, or start to: who sends notices, too, has to know when it has left.

        Its upstream deltas count from the start of the write: before it nothing was sent, and
        whoever stops waiting for it takes it back no more.
        """
        if self._notices is not None:
            with self._not_stalled():
                async with self._lock:
                    self._count(deltas)
                    await self._put(event)
                    self._notices.sent(self._clock())
            return
        if not self._ahead.done:
            await self._settle()
        try:
            self._ahead.end()
            self._ahead.start(self._context.write(event))
        except grpc.aio.InternalError as error:
            raise PeerGone from error
        self._count(deltas)

    def _count(self, deltas: int) -> None:
        if deltas:
            self.position += deltas
            self._progress.delta_sent(deltas)

    async def _settle(self) -> None:
        try:
            with self._not_stalled():
                await self._ahead.settle()
        except grpc.aio.InternalError as error:
            raise PeerGone from error

    @contextmanager
    def _not_stalled(self) -> Iterator[None]:
        try:
            with self._timer.limit(self._stall):
                yield
        except TimeoutError as error:
            raise self._stalled() from error

    def _stalled(self) -> StreamInterrupted:
        return StreamInterrupted(
            f"the reader took nothing for {self._stall:g} s (server.write_stall_timeout)",
            cause="reader_stalled",
        )

    async def _put(self, event: pb.StreamChatResponse) -> None:
        try:
            await self._context.write(event)
        except grpc.aio.InternalError as error:
            raise PeerGone from error

    def _listen(self, notices: Notices) -> asyncio.Event:
        """Follow the call's progress; the event is set when there is something to say."""
        wake = asyncio.Event()

        def queued(place: Callable[[], Place]) -> None:
            notices.queued(place)
            wake.set()

        self._progress.on_queued = queued
        self._progress.on_attempt = notices.running
        return wake

    async def _notify(self, notices: Notices, wake: asyncio.Event, call: Timer) -> None:
        """Send notices; a reader that does not take one ends the call, which may write nothing."""
        timer = Timer()
        try:
            while True:
                wake.clear()
                await self._send_due(notices, timer)
                wait = notices.next_at() - self._clock()
                if wait > 0:
                    await _wait(wake, wait)
        except TimeoutError:
            call.cut()
        finally:
            timer.close()

    async def _send_due(self, notices: Notices, timer: Timer) -> None:
        """Decided under the lock, so that no notice comes behind the event that ends it."""
        async with self._lock:
            event = None if self._closed else notices.due(self._clock())
            if event is not None:
                with timer.limit(self._stall):
                    await self._put(event)
                notices.sent(self._clock())


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(None if seconds == math.inf else seconds):
            await wake.wait()
    except TimeoutError:
        pass
