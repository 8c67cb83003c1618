"""Which finished answers are kept: for so long, and so many bytes in all. No I/O, no clock."""

from __future__ import annotations

import math
from typing import Generic, NamedTuple, TypeVar

Name = TypeVar("Name")


class _Kept(NamedTuple):
    until: float
    weight: int


class Shelf(Generic[Name]):
    """Names of answers, the oldest first.

    Args:
        keep: seconds that an answer is kept; 0 keeps none.
        max_weight: bytes in all; the oldest go first.
    """

    def __init__(self, keep: float, max_weight: float) -> None:
        self.weight = 0
        self._keep = keep
        self._max_weight = max_weight
        self._kept: dict[Name, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, name: Name) -> bool:
        return name in self._kept

    def put(self, name: Name, weight: int, now: float) -> list[Name]:
        """Keep a new one; returns the names that have to go for it, itself if it cannot stay."""
        if self._keep <= 0 or weight > self._max_weight:
            return [name]
        self._kept[name] = _Kept(now + self._keep, weight)
        self.weight += weight
        gone = []
        while self.weight > self._max_weight:
            gone.append(self._take_oldest())
        return gone

    def expire(self, now: float) -> list[Name]:
        """Returns the names whose time is over."""
        gone = []
        while self._kept and self.next_end() <= now:
            gone.append(self._take_oldest())
        return gone

    def next_end(self) -> float:
        """When the next one has to go; inf when there is none."""
        return next((kept.until for kept in self._kept.values()), math.inf)

    def _take_oldest(self) -> Name:
        name = next(iter(self._kept))
        self.weight -= self._kept.pop(name).weight
        return name
