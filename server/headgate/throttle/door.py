"""The throttle door: every attempt waits here for its slot, retries included."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from headgate.errors import StreamInterrupted, UpstreamLimit
from headgate.throttle.ticket import Patience
from headgate.upstream import Entered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headgate.backoff import Backoff
    from headgate.config import CallersSettings
    from headgate.throttle.ticket import Ticket
    from headgate.throttle.turnstile import Turnstile
    from headgate.upstream import Call, Chunk, Upstream

# A slot at the last moment before the deadline would be a slot wasted.
DEADLINE_RESERVE = 0.05


class ThrottleDoor:
    """Paces attempts, queues them fairly, and closes for everybody on a 429.

    Args:
        inner: the upstream.
        turnstile: the schedule and the queue.
        callers: weights, priorities and the share of the queue, by caller.
        max_wait: seconds that nobody waits longer for a slot.
        backoff: how long a 429 without a word closes the door.
        draw: a random number from 0 up to 1.
    """

    def __init__(
        self,
        inner: Upstream,
        turnstile: Turnstile,
        callers: CallersSettings,
        *,
        max_wait: float,
        backoff: Backoff,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._inner = inner
        self._turnstile = turnstile
        self._callers = callers
        self._max_wait = max_wait
        self._backoff = backoff
        self._draw = draw

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Hold a slot and a place in flight while the attempt runs; see `Upstream`.

        Raises:
            Refused: no slot in time, or no room to wait for one.
            DeadlineExceeded: too little of the deadline is left even for a start at once.
            UpstreamError: as the inner doors; a 429 moves the schedule for everybody, and so does
                one that an interrupted answer ended with.
        """
        enqueue = self._request_for(call)
        async with self._turnstile.passing(enqueue, call.observer.queued) as ticket:
            call.gate = _SlotGate(self._turnstile, ticket)
            way = self._inner.open(call)
            try:
                chunks = await way.__aenter__()
            except UpstreamLimit as error:
                self._close_for_all(call, error)
                raise
            try:
                async with Entered(way):
                    yield chunks
            except StreamInterrupted as error:
                # A 429 behind the first delta is no refusal of this call any more, but one of all.
                if isinstance(error.failure, UpstreamLimit):
                    self._close_for_all(call, error.failure)
                raise

    def _request_for(self, call: Call) -> Callable[[float], Ticket]:
        limits = self._callers.of(call.caller)

        def enqueue(now: float) -> Ticket:
            patience = patience_of(call, now, {"throttle.max_wait": self._max_wait})
            return self._turnstile.throttle.enqueue(
                now,
                call.caller,
                patience=patience,
                priority=min(call.priority, limits.max_priority),
                weight=limits.weight,
                max_line=limits.max_queue,
                head=call.attempt > 1,
            )

        return enqueue

    def _close_for_all(self, call: Call, error: UpstreamLimit) -> None:
        if error.retry_after is None:
            error.retry_after = self._backoff.delay(call.attempt, draw=self._draw())
        self._turnstile.cooldown(error.retry_after)


def patience_of(call: Call, now: float, longest: dict[str, float]) -> Patience:
    """Until when a start is of use to the call; `longest` are a door's waits by name, seconds."""
    own = {} if call.max_queue_wait is None else {"max_queue_wait": call.max_queue_wait}
    return Patience.within(
        now, deadline=call.deadline_or_inf, reserve=DEADLINE_RESERVE, waits=longest | own
    )


class _SlotGate:
    """The attempt's side of its slot; see `headgate.upstream.Gate`."""

    def __init__(self, turnstile: Turnstile, ticket: Ticket) -> None:
        self._turnstile = turnstile
        self._ticket = ticket

    async def connected(self) -> None:
        await self._turnstile.start(self._ticket)

    def written(self) -> None:
        self._turnstile.started(self._ticket)
