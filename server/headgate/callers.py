"""The callers door: each caller's own allowance, once per call."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from headgate.errors import CallerLimit, Draining, Refused
from headgate.throttle.door import patience_of
from headgate.throttle.pacer import Pace
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from headgate.config import CallerLimits, CallersSettings
    from headgate.throttle.ticket import Ticket
    from headgate.upstream import Call, Chunk, Upstream

# Callers whose schedules are remembered; those who have their whole allowance again are forgotten
# beyond it, and beyond CROWD all who have no call here.
MAX_REMEMBERED = 10_000
CROWD = 20_000


class CallersDoor:
    """Rate, gap and concurrency of one caller at a time; a call over it waits, or is refused.

    Args:
        inner: the doors that all callers share.
        settings: the limits, by caller.
    """

    def __init__(self, inner: Upstream, settings: CallersSettings) -> None:
        self._inner = inner
        self._settings = settings
        self._turnstiles: dict[str, Turnstile] = {}

    def __repr__(self) -> str:
        return f"<CallersDoor [{len(self._turnstiles)} remembered]>"

    def open(self, call: Call) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """See `Upstream`; for a caller without limits there is no door here.

        Raises:
            CallerLimit: over the allowance, and the wait for it would be too long.
        """
        limits = self._settings.of(call.caller)
        return self._inner.open(call) if _unlimited(limits) else self._in_turn(call, limits)

    @asynccontextmanager
    async def _in_turn(
        self, call: Call, limits: CallerLimits
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        turnstile = self._turnstile(call.caller, limits)
        with _own_allowance(limits):
            ticket = await turnstile.enter(
                lambda now: _enqueue(turnstile, call, limits, now), call.observer.queued
            )
        call.promised = ticket.told
        try:
            with _own_allowance(limits):
                await turnstile.start(ticket)
            async with self._inner.open(call) as chunks:
                yield chunks
        finally:
            turnstile.leave(ticket)

    def change(self, inner: Upstream, settings: CallersSettings) -> None:
        """Other limits and other doors within, for the calls that come from now on.

        Who waits for its allowance stays in line, and what was used of it counts.
        """
        self._inner, self._settings = inner, settings
        for caller, turnstile in self._turnstiles.items():
            limits = settings.of(caller)
            turnstile.change(
                _pace(limits), max_in_flight=limits.max_in_flight, max_queue=limits.max_queue
            )

    def drain(self, seconds: float) -> None:
        """Refuse all who wait for their own allowance."""
        for turnstile in self._turnstiles.values():
            turnstile.drain(seconds)

    def _turnstile(self, caller: str, limits: CallerLimits) -> Turnstile:
        turnstile = self._turnstiles.pop(caller, None)
        if turnstile is None:
            self._forget_idle()
            turnstile = Turnstile(
                Throttle(
                    MemoryStore(_pace(limits)),
                    max_in_flight=limits.max_in_flight,
                    max_queue=limits.max_queue,
                )
            )
        self._turnstiles[caller] = turnstile  # the latest stands last
        return turnstile

    def _forget_idle(self) -> None:
        """Make room by forgetting those who have used nothing lately, the longest unseen first.

        Two are looked at for one that comes; who is kept goes to the end, so that others are next.
        """
        if len(self._turnstiles) < MAX_REMEMBERED:
            return
        crowded = len(self._turnstiles) >= CROWD
        for caller in list(islice(self._turnstiles, 2)):
            turnstile = self._turnstiles.pop(caller)
            if turnstile.busy or not (crowded or turnstile.rested):
                self._turnstiles[caller] = turnstile


def _pace(limits: CallerLimits) -> Pace:
    return Pace(rate=limits.rate, min_interval=limits.min_interval, burst=limits.burst, margin=0.0)


def _unlimited(limits: CallerLimits) -> bool:
    return limits.rate == math.inf and not limits.min_interval and limits.max_in_flight == math.inf


def _enqueue(turnstile: Turnstile, call: Call, limits: CallerLimits, now: float) -> Ticket:
    patience = patience_of(call, now, {"callers.max_wait": limits.max_wait})
    return turnstile.throttle.enqueue(
        now, call.caller, patience=patience, priority=min(call.priority, limits.max_priority)
    )


@contextmanager
def _own_allowance(limits: CallerLimits) -> Iterator[None]:
    """Who is refused in here waited for its own allowance, whichever limit ended the wait.

    Raises:
        CallerLimit: in place of every Refused but Draining.
    """
    try:
        yield
    except Draining:
        raise
    except Refused as refusal:
        raise CallerLimit(
            f"over this caller's own allowance ({_words(limits)})", retry_after=refusal.retry_after
        ) from refusal


def _words(limits: CallerLimits) -> str:
    words = []
    if limits.rate < math.inf:
        words.append(f"{limits.rate:g} calls a second")
    if limits.min_interval:
        words.append(f"{limits.min_interval:g} s apart")
    if limits.max_in_flight < math.inf:
        words.append(f"{limits.max_in_flight} at once")
    return ", ".join(words)
