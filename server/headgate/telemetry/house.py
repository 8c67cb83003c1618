"""What the metrics and the page look at, beside what is counted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from headgate.budget import RetryBudget
    from headgate.telemetry.calls import CallMeter
    from headgate.telemetry.queue import MeteredTurnstile, QueueMeter
    from headgate.telemetry.store import StoreWatch

Clock = Callable[[], float]


class Limits(NamedTuple):
    """As configured; inf: none."""

    max_in_flight: float = math.inf
    max_queue: float = math.inf


@dataclass(kw_only=True, slots=True)
class House:
    """The parts of one gateway that have a state; all of it is read and nothing changed.

    Attributes:
        phase: starting, serving or draining.
    """

    turnstile: MeteredTurnstile
    budget: RetryBudget
    store: StoreWatch
    limits: Limits
    calls: CallMeter
    queue: QueueMeter
    phase: str = "starting"
    clock: Clock = time.monotonic

    @property
    def interval(self) -> float:
        """Seconds between two slots; 0: there is no pace."""
        return self.store.store.interval

    def next_slot(self) -> float:
        """Seconds until the next slot that nobody has; inf: not known."""
        now = self.clock()
        return max(0.0, self.store.store.forecast(now, 0) - now)

    def pause(self) -> float:
        """Seconds that are left of a pause that the upstream asked for."""
        now = self.clock()
        until = self.turnstile.paused_until
        if self.store.shared is not None:
            # Of others' pauses a shared store knows, and before nothing else it says "not yet".
            until = max(until, self.store.shared.soonest(now, 0))
        return max(0.0, until - now)
