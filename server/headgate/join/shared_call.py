"""One call upstream in a task of its own, and all who read its answer."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from typing import TYPE_CHECKING, Self

from headgate.errors import (
    CallerLimit,
    Draining,
    HeadgateError,
    InternalError,
    StreamInterrupted,
    WaitTooLong,
)
from headgate.join.audience import Audience
from headgate.join.chunks import copied, fold, weigh
from headgate.join.replay import Replay
from headgate.throttle.door import patience_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.join.replay import Reader
    from headgate.upstream import Call, Chunk, Upstream

# A reader that has fallen back takes so many bytes at a time.
MOUTHFUL = 256 * 1024


class SharedCall:
    """Runs a call and lets others read along.

    Its priority, longest wait, request id and labels are those of the caller that was first.
    Its deadline is the latest of those who are present, so it has one only while all have one.

    Args:
        inner: the doors behind this one.
        call: of the caller that was first.
        bound: bytes of the answer that are kept for those who have still to read them.

    Attributes:
        fingerprint: of the method and the body; see `door`.
        failure: why there is no more to come, unless the answer is whole.
        replay: what has come of the answer.
        news: set, and replaced, when there is something new for readers.
        room: set when a reader has read or left.
        task: the work; it ends by itself, or after `cut`.
    """

    def __init__(self, inner: Upstream, call: Call, fingerprint: bytes, *, bound: float) -> None:
        self.fingerprint = fingerprint
        self.bound = bound
        self.failure: Exception | None = None
        self.replay: Replay[Chunk] = Replay(bound, weigh=weigh, fold=fold)
        self.news = asyncio.Event()
        self.room = asyncio.Event()
        self._inner = inner
        self._audience = Audience()
        self._readings: set[Reading] = set()
        self._lingering: asyncio.TimerHandle | None = None
        # Dropped with the end: the body of a request can be larger than its answer.
        self._call: Call | None = dataclasses.replace(call, observer=self._audience)
        self.task = asyncio.create_task(self._run(self._call))

    def __repr__(self) -> str:
        state = "running" if self.running else repr(self.failure) if self.failure else "finished"
        return f"<SharedCall {state}, {self.readers} readers, {self.replay!r}>"

    @property
    def readers(self) -> int:
        return len(self._readings)

    @property
    def running(self) -> bool:
        return self.failure is None and not self.replay.ended

    @property
    def joinable(self) -> bool:
        """Its answer can be given from the first delta on: nothing failed, nothing was dropped."""
        return self.failure is None and self.replay.whole

    @property
    def weight(self) -> int:
        return self.replay.weight

    def join(self, call: Call) -> Reading:
        """One more reader, from the first delta on.

        Raises:
            WaitTooLong: the call waits for a slot that comes too late for this one.
        """
        self._judge(call)
        self._stop_lingering()
        reading = Reading(self, self.replay.join(), call)
        self._readings.add(reading)
        self._audience.add(reading, call.observer)
        self._set_deadline()
        return reading

    def leave(self, reading: Reading) -> None:
        self._readings.discard(reading)
        self.replay.leave(reading.reader)
        self.room.set()
        self._audience.remove(reading)
        self._set_deadline()

    def linger(self, seconds: float, end: Callable[[], None]) -> None:
        """Nobody reads; call `end` if the work is still not done and nobody has come by then."""
        self._stop_lingering()
        self._lingering = asyncio.get_running_loop().call_later(seconds, end)

    def settle(self) -> None:
        """Make a finished answer small; while nobody reads it."""
        self.replay.settle()

    def cut(self) -> None:
        """End the work, if it is not done; the task closes the upstream request."""
        self._stop_lingering()
        if self.running:
            self.failure = Draining()
            self.task.cancel()
            self._tell()

    def _stop_lingering(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    def _judge(self, call: Call) -> None:
        """Nobody waits for a slot that comes too late (promise 4), whoever's slot it is."""
        now = asyncio.get_running_loop().time()
        patience = patience_of(call, now, {})
        place = self._audience.peek()
        if place and place.wait is not None and now + place.wait > patience.until:
            about = "" if place.exact else "about "
            raise WaitTooLong(
                f"the call that this one joins could start in {about}{place.wait:.2f} s;"
                f" that is not within {patience.limit}",
                retry_after=place.wait,
            )

    def _set_deadline(self) -> None:
        if self._call is not None:
            deadlines = (reading.call.deadline_or_inf for reading in self._readings)
            latest = max(deadlines, default=math.inf)
            self._call.deadline = None if latest == math.inf else latest

    async def _run(self, call: Call) -> None:
        try:
            await self._insist(call)
            self.replay.end()
        except asyncio.CancelledError:
            # Cut by us, or by a fault within, which nobody who reads may be left waiting for.
            self.failure = self.failure or InternalError()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, every reader has to hear of it
            self.failure = self.failure or error
        finally:
            self._call = None
            self._stop_lingering()
            self._tell()

    async def _insist(self, call: Call) -> None:
        """Relay the answer; a slot that came too late for some may be in time for others.

        Those who came with a later deadline while the call waited ask again, without the rest.
        """
        while True:
            terms = call.deadline_or_inf
            try:
                await self._relay(call)
            except (WaitTooLong, CallerLimit) as refusal:
                patient = {r for r in self._readings if r.call.deadline_or_inf > terms}
                if not patient:
                    raise
                for reading in self._readings - patient:
                    reading.refusal = refusal
                self._tell()
            else:
                return

    async def _relay(self, call: Call) -> None:
        async with self._inner.open(call) as chunks:
            async for chunk in chunks:
                while not self.replay.offer(chunk):
                    self.room.clear()
                    await self.room.wait()
                self._tell()

    def _tell(self) -> None:
        """Wake all who wait for news; the next to wait wait for the next."""
        self.news.set()
        self.news = asyncio.Event()


class Reading:
    """One caller's way through the answer: an iterator over its Chunks, from the first on.

    A reader that has fallen back gets what waits for it in larger Chunks.

    Attributes:
        refusal: why this caller goes without the others, if it does.
    """

    def __init__(self, shared: SharedCall, reader: Reader, call: Call) -> None:
        self.reader = reader
        self.call = call
        self.refusal: HeadgateError | None = None
        self._shared = shared

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        await self.ready()
        chunks = self._shared.replay.take(self.reader, MOUTHFUL)
        if not chunks:
            raise StopAsyncIteration
        self._shared.room.set()
        return copied(chunks)

    async def ready(self) -> None:
        """Wait for the next Chunk, or for the end.

        Raises:
            HeadgateError: the call failed; a twin of the error for every reader.
            StreamInterrupted: this reader fell behind the others.
        """
        shared = self._shared
        while not shared.replay.has_more(self.reader):
            self._raise_failure()
            if shared.replay.ended:
                return
            await shared.news.wait()

    def _raise_failure(self) -> None:
        if self.reader.behind:
            raise StreamInterrupted(
                f"this reader fell more than {self._shared.bound} bytes behind another one that"
                " reads the same answer (idempotency.max_stream_bytes)",
                cause="reader_behind",
            )
        failure = self.refusal or self._shared.failure
        if isinstance(failure, HeadgateError):
            raise failure.twin() from failure.__cause__
        if failure is not None:
            raise RuntimeError("the call that this one has joined failed") from failure
