"""How long to wait before the next attempt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter, as gRFC A6 names its parts.

    Full jitter draws from the whole range down to 0: callers that failed together do not come
    back together, and the schedule keeps attempts apart in any case.

    Attributes:
        initial: the longest first wait, seconds (retry.initial_backoff).
        maximum: the longest wait of all, seconds (retry.max_backoff).
        multiplier: growth of the longest wait per failed attempt (retry.backoff_multiplier).
    """

    initial: float = 0.5
    maximum: float = 8.0
    multiplier: float = 2.0

    def __post_init__(self) -> None:
        if not self.initial > 0:
            raise ValueError(f"retry.initial_backoff is {self.initial:g}; it must be above 0")
        if not self.maximum >= self.initial:
            raise ValueError(
                f"retry.max_backoff is {self.maximum:g};"
                f" it must be at least retry.initial_backoff, {self.initial:g}"
            )
        if not self.multiplier >= 1:
            raise ValueError(
                f"retry.backoff_multiplier is {self.multiplier:g}; it must be 1 or more"
            )

    def ceiling(self, failures: int) -> float:
        """The longest wait in seconds after so many failed attempts, 1 or more."""
        try:
            return min(self.maximum, self.initial * self.multiplier ** (failures - 1))
        except OverflowError:
            return self.maximum

    def delay(self, failures: int, *, draw: float, retry_after: float | None = None) -> float:
        """Seconds to wait after so many failed attempts.

        Args:
            failures: failed attempts of this call so far, 1 or more.
            draw: a random number from 0 up to 1.
            retry_after: what the latest reply asked for, seconds; it wins, even over `maximum`,
                because the upstream knows better. An earlier reply's is of no interest.
        """
        if retry_after is not None:
            return retry_after
        return draw * self.ceiling(failures)
