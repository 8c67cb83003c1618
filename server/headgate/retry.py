"""The retry door: the only loop of the corridor, and only until the first content delta."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

from headgate.errors import HeadgateError, Refused, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from headgate.backoff import Backoff
    from headgate.budget import RetryBudget
    from headgate.upstream import Call, Chunk, Upstream


class RetryDoor:
    """Opens anew what failed, within the attempts, the budget and the deadline.

    Args:
        inner: the throttle door, so that every attempt takes a slot; the backoff holds none.
        max_attempts: in all, the first one included.
        backoff: exponential with full jitter; the latest reply's Retry-After wins.
        budget: shared by all calls.
        max_wait: seconds; an upstream that asks for more than this is not waited for.
    """

    def __init__(
        self,
        inner: Upstream,
        *,
        max_attempts: int,
        backoff: Backoff,
        budget: RetryBudget,
        max_wait: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._inner = inner
        self._max_attempts = max_attempts
        self._backoff = backoff
        self._budget = budget
        self._max_wait = max_wait
        self._clock = clock
        self._sleep = sleep
        self._draw = draw

    def open(self, call: Call) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """See `Upstream`; an error of the body is never an attempt's failure."""
        return _Opening(self, call)

    async def enter(
        self, call: Call
    ) -> tuple[AbstractAsyncContextManager[AsyncIterator[Chunk]], AsyncIterator[Chunk]]:
        """The first attempt that opens: its context, which is entered, and what is in it.

        Raises:
            HeadgateError: of the latest attempt.
        """
        self._count(call)
        failure: HeadgateError | None = None
        while True:
            way = self._inner.open(call)
            try:
                chunks = await way.__aenter__()
            except Refused as refusal:
                # A retry that gets no slot in time: the caller hears why it was needed.
                if failure is not None:
                    self._note_the_end(failure)
                raise failure or refusal from refusal.__cause__
            except HeadgateError as error:
                delay = self._delay_before_next(call, error)
                if delay is None:
                    self._note_the_end(error)
                    raise
                failure = error.with_traceback(None)  # which holds this frame, and so the call
            else:
                call.forget_prompt()
                return way, chunks
            call.attempt += 1
            await self._sleep(delay)

    def _count(self, call: Call) -> None:
        """Whoever retries in front of us spends our budget; none may multiply the attempts.

        Raises:
            UpstreamUnavailable: this is a retry, and the budget has none left.
        """
        now = self._clock()
        if not call.prior_attempts and not call.mesh_attempts:
            self._budget.call(now)
        elif not self._budget.foreign(now, heeds_pushback=not call.mesh_attempts):
            raise UpstreamUnavailable(
                "this call is a retry, and too many fail to send it upstream (retry.budget)"
            )

    def _note_the_end(self, error: HeadgateError) -> None:
        if error.retryable:
            self._budget.failed(self._clock())

    def _delay_before_next(self, call: Call, error: HeadgateError) -> float | None:
        """Seconds to wait before another attempt, or None when there shall be none."""
        if not error.retryable or call.attempt >= self._max_attempts:
            return None
        delay = self._backoff.delay(call.attempt, draw=self._draw(), retry_after=error.retry_after)
        now = self._clock()
        if delay > self._max_wait or now + delay >= call.deadline_or_inf:
            return None
        return delay if self._budget.allow(now) else None


class _Opening:
    """Leaving it is leaving the attempt that opened: nothing of this door stays around a body."""

    __slots__ = ("_call", "_door", "_way")

    def __init__(self, door: RetryDoor, call: Call) -> None:
        self._door = door
        self._call = call

    async def __aenter__(self) -> AsyncIterator[Chunk]:
        self._way, chunks = await self._door.enter(self._call)
        return chunks

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Coroutine[Any, Any, bool | None]:
        return self._way.__aexit__(kind, error, traceback)
