"""How often callers are refused for what they are, and when the log hears of it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

OTHERS = "others"


class _Line(NamedTuple):
    written: float
    untold: int


class Refusals:
    """At most one line in the log for each caller and reason in `every` seconds.

    Args:
        every: seconds.
        room: pairs of caller and reason that are told apart; the rest are one.

    Attributes:
        counts: refusals by reason, since the start.
    """

    def __init__(self, *, every: float = 60.0, room: int = 1000) -> None:
        self._every = every
        self._room = room
        self._lines: dict[tuple[str, str], _Line] = {}
        self.counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Refusals {dict(self.counts)}>"

    def note(self, who: str, why: str, now: float) -> tuple[str, int] | None:
        """Count one; if a line is due: of whom, and how many there were since the last one.

        Args:
            who: the caller, or its address.
            why: one of a few words.
            now: seconds on any clock that never goes back.
        """
        self.counts[why] += 1
        key = self._key(who, why, now)
        line = self._lines.get(key)
        if line is not None and now - line.written < self._every:
            self._lines[key] = line._replace(untold=line.untold + 1)
            return None
        self._lines.pop(key, None)
        self._lines[key] = _Line(now, 0)  # the latest stands last
        return key[0], 1 + (line.untold if line else 0)

    def _key(self, who: str, why: str, now: float) -> tuple[str, str]:
        if (who, why) in self._lines or len(self._lines) < self._room:
            return who, why
        oldest = next(iter(self._lines))
        if now - self._lines[oldest].written < self._every:
            return OTHERS, why
        del self._lines[oldest]
        return who, why
