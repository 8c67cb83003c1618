"""The pace: which instants are far enough from all that was written before.

A generic cell rate algorithm (GCRA, ITU-T I.371) beside a minimum gap.
It is a schedule and no bucket that is polled: the instant of any later slot is arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

PAST = 1.1
"""Seconds after which no second holds an attempt any more, however late it arrived."""


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


class Terms(NamedTuple):
    """A pace as arithmetic wants it; see `Pace`.

    Attributes:
        gap: seconds between two starts, at least.
        spacing: seconds for which one start uses up the rate.
        tolerance: seconds by which the rate may be used ahead (a burst).
    """

    gap: float
    spacing: float
    tolerance: float

    @classmethod
    def of(cls, pace: Pace) -> Terms:
        return cls(pace.gap, pace.spacing, (pace.burst - 1) * pace.spacing)

    @property
    def interval(self) -> float:
        return max(self.gap, self.spacing)

    def with_both(self, other: Terms) -> Terms:
        """What keeps both paces, on the way to the other: the longer interval, and no bursts."""
        interval = max(self.interval, other.interval)
        return Terms(interval, other.spacing, 0)


class Pacer:
    """The state of a pace: when the last attempt was written, and how much rate is used up.

    `record` trusts its caller: what may be written when is said by `earliest`.
    """

    __slots__ = ("_last", "_later", "_terms", "_until", "_used")

    def __init__(self, pace: Pace) -> None:
        self._terms = self._later = Terms.of(pace)
        self._until = -math.inf  # from then on, not `_terms` but `_later`
        self._last = -math.inf
        self._used = -math.inf  # GCRA's theoretical arrival time

    def copy(self) -> Pacer:
        twin = object.__new__(Pacer)
        twin._terms, twin._later, twin._until = self._terms, self._later, self._until
        twin._last, twin._used = self._last, self._used
        return twin

    def change(self, pace: Pace) -> None:
        """Another pace, which loosens nothing of what was promised for attempts already written.

        While a second, or an interval of either pace, may hold one of them, both are kept.
        """
        old, new = self._terms_at(self._last), Terms.of(pace)
        if new == self._later:
            return
        self._terms, self._later = old.with_both(new), new
        self._until = self._last + max(self._terms.gap, PAST)
        self._used = min(self._used, self._last + self._terms.gap)

    def earliest(self) -> float:
        """The instant from which the next attempt may be written; -inf before the first."""
        soonest = self._earliest(self._terms)
        return soonest if soonest < self._until else max(self._until, self._earliest(self._later))

    def record(self, at: float) -> None:
        """An attempt was written at this instant."""
        self._last = max(self._last, at)
        self._used = max(self._used, at) + self._terms_at(at).spacing

    def correct(self, said: float, at: float) -> None:
        """What was recorded as written at `said` left later, at `at`.

        Several may be late by the same cause, and then only once: the bound is what a pace that
        was kept can have used up by the last of them.
        """
        self._last = max(self._last, at)
        terms = self._terms_at(self._last)
        late = self._used + max(0.0, at - said)
        bound = self._last + terms.tolerance + terms.spacing
        self._used = max(self._used, min(late, bound))

    def nth(self, first: float, ahead: int) -> float:
        """The slot behind `ahead` others when the first of all is used at `first`."""
        both = self._terms.interval
        if first >= self._until or not both:
            return self._nth(self._later, first, ahead)
        before = math.ceil((self._until - first) / both)  # so many still keep both paces
        if ahead < before:
            return self._nth(self._terms, first, ahead)
        then = max(self._until, first + (before - 1) * both + self._later.interval)
        return then + (ahead - before) * self._later.interval

    def _nth(self, terms: Terms, first: float, ahead: int) -> float:
        by_gap = first + ahead * terms.gap
        if not ahead:
            return by_gap
        return max(by_gap, max(self._used, first) + ahead * terms.spacing - terms.tolerance)

    def _earliest(self, terms: Terms) -> float:
        return max(self._last + terms.gap, self._used - terms.tolerance)

    def _terms_at(self, instant: float) -> Terms:
        return self._terms if instant < self._until else self._later
