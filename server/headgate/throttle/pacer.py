"""The pace: which instants are far enough from all that was written before.

A generic cell rate algorithm (GCRA, ITU-T I.371) beside a minimum gap.
It is a schedule and no bucket that is polled: the instant of any later slot is arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """What the upstream allows; each part is optional.

    Upstreams judge by when requests arrive, so `margin` is what the network may add or take.
    With arrivals at most `margin` seconds late, no two are closer than `min_interval`, and any
    second (half-open) holds at most `rate + burst - 1` of them, rounded up: with the default
    burst, `rate`.

    Attributes:
        rate: attempts a second, above 0; inf: no limit.
        min_interval: seconds between two attempts, 0 or more.
        burst: how many may start at once after a pause, 1 or more; above 1 it needs a rate.
        margin: seconds of network jitter, 0 or more.
    """

    rate: float = math.inf
    min_interval: float = 0.0
    burst: int = 1
    margin: float = 0.005

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"throttle.rate is {self.rate:g}; it must be above 0 (inf: no limit)")
        for name in ("min_interval", "margin"):
            seconds = getattr(self, name)
            if not 0 <= seconds < math.inf:
                raise ValueError(f"throttle.{name} is {seconds:g}; it must be 0 or more seconds")
        if self.burst < 1:
            raise ValueError(f"throttle.burst is {self.burst}; it must be 1 or more")
        if self.burst > 1 and self.rate == math.inf:
            raise ValueError(f"throttle.burst is {self.burst}, which needs a throttle.rate")

    @property
    def gap(self) -> float:
        """Seconds that two starts keep apart, whatever else is allowed."""
        return self.min_interval + self.margin if self.min_interval else 0.0

    @property
    def spacing(self) -> float:
        """Seconds for which one start uses up the rate: the rate's second is a margin longer."""
        return (1 + self.margin) / self.rate

    @property
    def interval(self) -> float:
        """Seconds between two starts in the long run; 0: there is no pace."""
        return max(self.gap, self.spacing)


class Pacer:
    """The state of a pace: when the last attempt was written, and how much rate is used up.

    `record` trusts its caller: what may be written when is said by `earliest`.
    """

    __slots__ = ("_gap", "_last", "_spacing", "_tolerance", "_used")

    def __init__(self, pace: Pace) -> None:
        self._gap = pace.gap
        self._spacing = pace.spacing
        self._tolerance = (pace.burst - 1) * pace.spacing
        self._last = -math.inf
        self._used = -math.inf  # GCRA's theoretical arrival time

    def copy(self) -> Pacer:
        twin = object.__new__(Pacer)
        twin._gap, twin._spacing, twin._tolerance = self._gap, self._spacing, self._tolerance
        twin._last, twin._used = self._last, self._used
        return twin

    def earliest(self) -> float:
        """The instant from which the next attempt may be written; -inf before the first."""
        return max(self._last + self._gap, self._used - self._tolerance)

    def record(self, at: float) -> None:
        """An attempt was written at this instant."""
        self._last = max(self._last, at)
        self._used = max(self._used, at) + self._spacing

    def correct(self, said: float, at: float) -> None:
        """What was recorded as written at `said` left later, at `at`.

        Several may be late by the same cause, and then only once: the bound is what a pace that
        was kept can have used up by the last of them.
        """
        self._last = max(self._last, at)
        late = self._used + max(0.0, at - said)
        bound = self._last + self._tolerance + self._spacing
        self._used = max(self._used, min(late, bound))

    def nth(self, first: float, ahead: int) -> float:
        """The slot behind `ahead` others when the first of all is used at `first`."""
        by_gap = first + ahead * self._gap
        if not ahead:
            return by_gap
        return max(by_gap, max(self._used, first) + ahead * self._spacing - self._tolerance)
