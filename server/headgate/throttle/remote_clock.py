"""Another machine's clock, as far as exchanges of messages can tell (as in RFC 5905)."""

from __future__ import annotations

import math

DRIFT = 2e-4
"""How fast two clocks may run apart, as a share of time: some times what crystals do (RFC 5905
supposes 15 ppm)."""


class RemoteClock:
    """Bounds on by how much another clock is ahead of ours, in seconds.

    A reply was made between the sending of its request and its own arrival, so each exchange
    gives an interval, and what all of them have in common is the truth.
    A clock that was set anew contradicts what was known; then only the newest exchange counts.
    """

    __slots__ = ("_at", "_high", "_low")

    def __init__(self) -> None:
        self._low = -math.inf
        self._high = math.inf
        self._at = 0.0

    def __repr__(self) -> str:
        return f"<RemoteClock [{self._low:.6f} to {self._high:.6f} s ahead]>"

    def exchange(self, sent: float, said: float, arrived: float) -> bool:
        """A request sent and its reply arrived at these instants of ours; it said this time.

        Returns:
            Whether that agrees with what was known; if not, the other clock was set anew.
        """
        low, high = self._bounds(arrived)
        newest_low, newest_high = said - arrived, said - sent
        agrees = newest_low <= high and low <= newest_high
        if agrees:
            self._low, self._high = max(low, newest_low), min(high, newest_high)
        else:
            self._low, self._high = newest_low, newest_high
        self._at = arrived
        return agrees

    def here(self, there: float, now: float) -> float:
        """An instant of the other clock in our time, never too early."""
        return there - self._bounds(now)[0]

    def there(self, here: float, now: float) -> float:
        """An instant of ours in the other clock's time, never too early."""
        return here + self._bounds(now)[1]

    def doubt(self, now: float) -> float:
        """By how many seconds `here` may be too late."""
        low, high = self._bounds(now)
        return high - low

    def _bounds(self, now: float) -> tuple[float, float]:
        apart = DRIFT * max(0.0, now - self._at)
        return self._low - apart, self._high + apart
