"""One member's share of the rate, for as long as the schedule cannot be reached."""

from __future__ import annotations

import math
from typing import NamedTuple

FINEST_GRID = 0.02
"""Seconds; slots closer together are not taken in turns: timers are too coarse."""

SAME_TURN = 1e-4
"""A share of a turn: numbers that count from a far origin are no more exact than this."""


class Share(NamedTuple):
    """Turns by the clock: of every `members` slots in a row, one is ours.

    All members count slots from the same origin, so that their turns do not meet while they
    agree on how many they are. No two starts of one member are closer than `members` slots.

    Attributes:
        interval: seconds between two slots of the schedule.
        members: how many share it, 1 or more.
        rank: whose turn is ours, from 0 to members - 1.
        origin: the instant of turn 0 of member 0, monotonic seconds.
        first: nothing before this instant: slots that others still hold come first.
    """

    interval: float
    members: int
    rank: int
    origin: float
    first: float

    @property
    def stride(self) -> float:
        """Seconds between two turns of ours."""
        return self.members * self.interval

    def after(self, instant: float, last: float) -> float:
        """Our first turn at `instant` or later, when the one before was at `last`."""
        earliest = max(instant, self.first, last + self.stride)
        if self.interval < FINEST_GRID:
            return earliest
        ours = self.origin + self.rank * self.interval
        turn = math.ceil((earliest - ours) / self.stride - SAME_TURN)
        return max(earliest, ours + turn * self.stride)
