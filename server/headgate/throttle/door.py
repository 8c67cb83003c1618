"""The throttle door: every attempt waits here for its slot, retries included."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from headgate.errors import StreamInterrupted, UpstreamLimit
from headgate.throttle.ticket import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

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

    def open(self, call: Call) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Hold a slot and a place in flight while the attempt runs; see `Upstream`.

        Raises:
            Refused: no slot in time, or no room to wait for one.
            DeadlineExceeded: too little of the deadline is left even for a start at once.
            UpstreamError: as the inner doors; a 429 moves the schedule for everybody, and so does
                one that an interrupted answer ended with.
        """
        return _Passage(self, self._inner, self._turnstile, call)

    def request_for(self, call: Call) -> Callable[[float], Ticket]:
        """Asks the throttle for the ticket of an attempt, given the time."""
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
                promised=call.promised,
            )

        return enqueue

    def close_for_all(self, call: Call, error: UpstreamLimit) -> None:
        """The upstream has had too much: nothing starts for as long as it says."""
        if error.retry_after is None:
            error.retry_after = self._backoff.delay(call.attempt, draw=self._draw())
        self._turnstile.cooldown(error.retry_after)


def patience_of(call: Call, now: float, longest: dict[str, float]) -> Patience:
    """Until when a start is of use to the call; `longest` are a door's waits by name, seconds."""
    if call.max_queue_wait is not None:
        longest = longest | {"max_queue_wait": call.max_queue_wait}
    return Patience.within(
        now, deadline=call.deadline_or_inf, reserve=DEADLINE_RESERVE, waits=longest
    )


class _Passage:
    """One attempt, from its wait for a slot on."""

    __slots__ = ("_call", "_door", "_inner", "_ticket", "_turnstile", "_way")

    def __init__(
        self, door: ThrottleDoor, inner: Upstream, turnstile: Turnstile, call: Call
    ) -> None:
        self._door = door
        self._inner = inner
        self._turnstile = turnstile
        self._call = call

    async def __aenter__(self) -> AsyncIterator[Chunk]:
        call = self._call
        enqueue = self._door.request_for(call)
        self._ticket = await self._turnstile.enter(enqueue, call.observer.queued)
        try:
            call.gate = _SlotGate(self._turnstile, self._ticket)
            self._way = self._inner.open(call)
            return await self._way.__aenter__()
        except BaseException as error:
            self._end(error)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            return await self._way.__aexit__(kind, error, traceback)
        finally:
            # A 429 behind the first delta is no refusal of this call any more, but one of all.
            self._end(error.failure if isinstance(error, StreamInterrupted) else None)

    def _end(self, fault: BaseException | None) -> None:
        """Give the slot back; first the pause, or who is next would start before it."""
        if isinstance(fault, UpstreamLimit):
            self._door.close_for_all(self._call, fault)
        self._turnstile.leave(self._ticket)


class _SlotGate:
    """The attempt's side of its slot; see `headgate.upstream.Gate`."""

    def __init__(self, turnstile: Turnstile, ticket: Ticket) -> None:
        self._turnstile = turnstile
        self._ticket = ticket

    async def connected(self) -> bool:
        return await self._turnstile.may_start(self._ticket)

    def written(self) -> None:
        self._turnstile.started(self._ticket)
