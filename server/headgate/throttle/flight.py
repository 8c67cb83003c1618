"""Attempts in flight: how many, how many may be, and how long they take."""

from __future__ import annotations

import math

SHARE_OF_NEWEST = 0.1
"""Weight of the newest duration in the moving average."""


class Flight:
    """A cap on attempts at once, and the estimate of when the next place comes free.

    Attributes:
        cap: attempts at once, 1 or more; inf: no cap.
        aloft: attempts at this moment, connecting ones included.
        service_time: moving average of how long an attempt lasts, seconds; None: none has ended.
    """

    __slots__ = ("aloft", "cap", "service_time")

    def __init__(self, cap: float = math.inf) -> None:
        if not cap >= 1:
            raise ValueError(f"throttle.max_in_flight is {cap:g}; it must be 1 or more (or inf)")
        self.cap = cap
        self.aloft = 0
        self.service_time: float | None = None

    @property
    def free(self) -> float:
        return self.cap - self.aloft

    def land(self, seconds: float | None = None) -> None:
        """An attempt ended; one that never started says nothing about how long they take."""
        self.aloft -= 1
        if seconds is None:
            return
        if self.service_time is None:
            self.service_time = seconds
        else:
            self.service_time += SHARE_OF_NEWEST * (seconds - self.service_time)

    def wait(self, ahead: int, *, unknown: float = 0.0) -> float:
        """About how many seconds until a place is free for the one behind `ahead` others.

        While no duration is known, `unknown` seconds stand in for it.
        """
        if ahead < self.free:
            return 0.0
        return (ahead - self.free + 1) * self.interval(unknown=unknown)

    def interval(self, *, unknown: float = 0.0) -> float:
        """About how many seconds pass between two landings while the cap is reached."""
        return (unknown if self.service_time is None else self.service_time) / self.cap
