"""One attempt's way through the throttle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from headgate.errors import Refused
    from headgate.throttle.store import Slot


class Phase(Enum):
    WAITING = auto()  # in the queue
    GRANTED = auto()  # has a slot and a place in flight, and connects
    STARTED = auto()  # its request is written
    REFUSED = auto()  # thrown out of the queue; `error` says why
    LEFT = auto()  # has gone; nothing is held for it any more


class Patience(NamedTuple):
    """Until when a start is of use, and which limit says so, in a caller's words."""

    until: float = math.inf
    limit: str = "no limit"

    @classmethod
    def within(
        cls,
        now: float,
        *,
        deadline: float = math.inf,
        reserve: float = 0.0,
        waits: dict[str, float] | None = None,
    ) -> Patience:
        """The tightest of the deadline less a reserve (seconds), and named longest waits."""
        until, limit = deadline - reserve, "the deadline"
        for name, seconds in (waits or {}).items():
            if now + seconds < until:
                until, limit = now + seconds, name
        return cls(until, limit)


FOREVER = Patience()


class Estimate(NamedTuple):
    """When an attempt would start.

    Attributes:
        position: 1 for the next to start.
        at: the instant, monotonic seconds.
        exact: arithmetic that holds if nobody new comes; else an estimate.
    """

    position: int
    at: float
    exact: bool


@dataclass(slots=True, eq=False)
class Ticket:
    """Handed out by `Throttle.enqueue`; the caller sets `told` once it has sent a queued event."""

    caller: str
    patience: Patience = FOREVER
    priority: int = 0
    head: bool = False
    number: int = 0
    phase: Phase = Phase.WAITING
    error: Refused | None = None
    slot: Slot | None = None
    granted_at: float = math.nan
    told: bool = False

    @property
    def entry(self) -> tuple[bool, int, int, Ticket]:
        """Its place in its line: retries first, then higher priorities, then first come."""
        return (not self.head, -self.priority, self.number, self)

    @property
    def end(self) -> tuple[float, int, Ticket]:
        """Its place among all who wait, by when their patience ends."""
        return (self.patience.until, self.number, self)
