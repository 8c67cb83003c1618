"""The one schedule that several processes share: whole microseconds, and no clock of its own.

The supervisor of the workers keeps one in its memory; the script in `redis_ledger` keeps the same
in Redis, and a test holds the two against each other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from headgate.throttle.pacer import PAST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.throttle.pacer import Pace

MICRO = 1_000_000
LONG_AGO = -(2**52)
"""Before all instants; a number that Lua keeps exactly, too."""


def micro(seconds: float) -> int:
    """In whole microseconds, rounded up: never earlier, never shorter."""
    return math.ceil(seconds * MICRO)


class Terms(NamedTuple):
    """A pace in microseconds; see `Pace`.

    Attributes:
        gap: between two slots, at least.
        spacing: for which one slot uses up the rate.
        tolerance: how far the rate may be used ahead (a burst).
    """

    gap: int
    spacing: int
    tolerance: int

    @classmethod
    def of(cls, pace: Pace) -> Terms:
        spacing = micro(pace.spacing)
        return cls(micro(pace.gap), spacing, (pace.burst - 1) * spacing)

    @property
    def interval(self) -> int:
        return max(self.gap, self.spacing)

    def with_both(self, other: Terms) -> Terms:
        """What keeps both paces, on the way to the other: the longer interval, and no bursts."""
        interval = max(self.interval, other.interval)
        return Terms(interval, other.spacing, 0)


class Schedule:
    """Which instants are taken. All times are microseconds of one clock, the keeper's.

    A clock that steps back takes everything along, as if no time had passed.

    Args:
        terms: the pace.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = self._later = terms
        self._until = LONG_AGO  # from then on, not `_terms` but `_later`
        self._last = LONG_AGO
        self._used = LONG_AGO  # GCRA's theoretical arrival time
        self._pause = LONG_AGO
        self._settled = LONG_AGO
        self._seen = LONG_AGO
        self._free: list[int] = []

    def __repr__(self) -> str:
        return f"<Schedule [next free {self.free_at(self._seen)} us | {len(self._free)} returned]>"

    def reserve(self, now: int, count: int, lead: int = 0, pad: int = 0) -> list[int]:
        """Takes the next slots, each the earliest that nobody has.

        Args:
            now: the time.
            count: how many.
            lead: an instant sooner than so long from now is of no use to who asks.
            pad: by how much who asks may be late without knowing it.

        Returns:
            The instants, rising.
        """
        now = self._tick(now)
        earliest = max(now + lead, self._pause)
        self._free = [instant for instant in self._free if instant >= now]
        return sorted(self._next(earliest, pad) for _ in range(count))

    def give_back(self, now: int, instants: Iterable[int]) -> None:
        """Lets others have what was reserved and will not be used; what is past is lost."""
        now = max(self._tick(now), self._pause)
        coming = {instant for instant in instants if now <= instant <= self._last}
        self._free = sorted({*self._free, *coming})

    def pause(self, now: int, until: int) -> None:
        """Nothing starts before `until`; an earlier one than is set changes nothing."""
        self._tick(now)
        self._pause = max(self._pause, until)
        self._free = [instant for instant in self._free if instant >= self._pause]

    def change(self, now: int, terms: Terms) -> bool:
        """Another pace; behind what is reserved, both are kept for a while, as `Pacer` does.

        What was given back is nobody's any more: it may be too near to others.

        Returns:
            Whether it is another.
        """
        self._tick(now)
        if terms == self._later:
            return False
        old = self._terms_at(self._last)
        self._terms, self._later = old.with_both(terms), terms
        self._until = self._last + max(self._terms.gap, micro(PAST))
        self._used = min(self._used, self._last + self._terms.gap)
        self._free = []
        return True

    def join(self, now: int, latest: int = LONG_AGO, settle: int = 0) -> None:
        """Somebody enters, or comes back.

        Args:
            now: the time.
            latest: the latest instant that it knows to be taken.
            settle: others may still use their shares of the rate for so long, so nothing starts
                before; who comes back within another's time waits for the end of that.
        """
        now = self._tick(now)
        self._last = max(self._last, latest)
        self._used = max(self._used, latest + self._terms_at(latest).spacing)
        if settle and now >= self._settled:
            self._settled = now + settle
            self.pause(now, self._settled)

    def free_at(self, now: int) -> int:
        """The earliest instant, `now` or later, that nobody has."""
        now = self._tick(now)
        fresh = self._fresh(max(now, self._pause))
        return min([fresh, *(instant for instant in self._free if instant >= now)])

    def _next(self, earliest: int, pad: int) -> int:
        for instant in self._free:
            # A slot that was reserved by somebody exact is too narrow for somebody vague.
            if instant >= earliest and not pad:
                self._free.remove(instant)
                return instant
        instant = self._fresh(earliest)
        self._last = instant + pad
        self._used = max(self._used, self._last) + self._terms_at(self._last).spacing
        return instant

    def _fresh(self, earliest: int) -> int:
        soonest = max(earliest, self._earliest(self._terms))
        if soonest < self._until:
            return soonest
        return max(earliest, self._until, self._earliest(self._later))

    def _earliest(self, terms: Terms) -> int:
        return max(self._last + terms.gap, self._used - terms.tolerance)

    def _terms_at(self, instant: int) -> Terms:
        return self._terms if instant < self._until else self._later

    def _tick(self, now: int) -> int:
        back = self._seen - now
        if back > 0:
            self._last -= back
            self._used -= back
            self._until -= back
            self._pause -= back
            self._settled -= back
            self._free = [instant - back for instant in self._free]
        self._seen = now
        return now
