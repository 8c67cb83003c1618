"""A turnstile that counts: who waits, how long, and what was foretold."""

from __future__ import annotations

import math
import time
from collections import Counter as Numbers
from typing import TYPE_CHECKING

from prometheus_client import Gauge, Histogram

from headgate.telemetry import buckets
from headgate.throttle.ticket import Phase
from headgate.throttle.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from headgate.throttle.throttle import Throttle
    from headgate.throttle.ticket import Ticket
    from headgate.upstream import Place

HIGHEST = 9
"""Priorities above share one label."""


class QueueMeter:
    """What the turnstile adds to.

    Attributes:
        depth: who waits, by priority.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.depth: Numbers[str] = Numbers({"0": 0})
        self._depth = Gauge(
            "headgate_queue_depth",
            "Attempts that wait for a slot.",
            ["priority"],
            registry=registry,
        )
        self.wait = Histogram(
            "headgate_queue_wait_seconds",
            "How long attempts waited that got a slot; 0 for those that did not have to.",
            ["priority"],
            buckets=buckets.WAIT,
            registry=registry,
        )
        self.error = Histogram(
            "headgate_predicted_wait_error_seconds",
            "By how much the wait differed from what was foretold when it began, either way.",
            buckets=buckets.WAIT,
            registry=registry,
        )
        self.delay = Histogram(
            "headgate_schedule_delay_seconds",
            "How long after its slot a request was written: connecting, and slots missed by it.",
            buckets=buckets.CONNECT,
            registry=registry,
        )
        self._depth.labels("0")

    def enter(self, priority: str) -> None:
        self.depth[priority] += 1
        self._depth.labels(priority).inc()

    def leave(self, priority: str) -> None:
        self.depth[priority] -= 1
        self._depth.labels(priority).dec()


class MeteredTurnstile(Turnstile):
    """See `Turnstile`.

    Attributes:
        paused_until: the end of the latest pause that an upstream's 429 caused here.
    """

    def __init__(
        self,
        throttle: Throttle,
        meter: QueueMeter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(throttle, clock)
        self.paused_until = -math.inf
        self._meter = meter

    async def enter(
        self,
        enqueue: Callable[[float], Ticket],
        on_queued: Callable[[Callable[[], Place]], None],
    ) -> Ticket:
        wait = _Wait(self._meter, self._clock())

        def noted(now: float) -> Ticket:
            ticket = enqueue(now)
            if ticket.phase is Phase.WAITING:
                # Not by `Turnstile`'s own way to ask: that makes a promise which a drain keeps.
                wait.begin(ticket, self.throttle.outlook(ticket, now).at)
            return ticket

        try:
            ticket = await super().enter(noted, on_queued)
            wait.succeed(ticket, self._clock())
        finally:
            wait.end()
        return ticket

    async def may_start(self, ticket: Ticket) -> bool:
        started = await super().may_start(ticket)
        if started:
            self._meter.delay.observe(self._clock() - ticket.granted_at)
        return started

    def cooldown(self, seconds: float) -> None:
        until = self._clock() + min(seconds, self.throttle.max_cooldown)
        self.paused_until = max(self.paused_until, until)
        super().cooldown(seconds)


class _Wait:
    """One attempt's wait, if it has to."""

    def __init__(self, meter: QueueMeter, since: float) -> None:
        self._meter = meter
        self._since = since
        self._foretold: float | None = None
        self._priority: str | None = None

    def begin(self, ticket: Ticket, foretold: float) -> None:
        self._foretold = foretold
        self._priority = priority_label(ticket.priority)
        self._meter.enter(self._priority)

    def succeed(self, ticket: Ticket, now: float) -> None:
        waited = now - self._since if self._foretold is not None else 0.0
        self._meter.wait.labels(priority_label(ticket.priority)).observe(waited)
        if self._foretold is not None and math.isfinite(self._foretold):
            self._meter.error.observe(abs(now - self._foretold))
        self.end()

    def end(self) -> None:
        if self._priority is not None:
            self._meter.leave(self._priority)
            self._priority = None


def priority_label(priority: int) -> str:
    """Few enough, whatever callers send and the configuration allows."""
    return "low" if priority < 0 else str(min(priority, HIGHEST))
