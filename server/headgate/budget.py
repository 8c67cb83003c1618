"""The retry budget: retries stay a small share of the calls, whatever fails."""

from __future__ import annotations

import math

FADES_IN = 10.0
"""Seconds in which unused share fades to 1/e: a calm hour must not pay for a storm."""


class RetryBudget:
    """Allows retries up to a share of the calls, and never fewer than a floor per second.

    Two accounts, and a retry is allowed when either has a whole retry in it: every call pays
    `share` into one, every second pays `floor` into the other, and each retry takes from both.
    So over any time the retries are at most `share` of the calls plus the floor of that time (and
    of one second before), and where there are many calls the floor adds nothing.

    Args:
        share: retries per call, 0 or more (retry.budget).
        floor: retries a second that are always allowed, 0 or more (retry.budget_floor).

    Attributes:
        spent: retries that went upstream, those of others in front of us included.
        denied: retries that did not.
    """

    __slots__ = (
        "_failed_at",
        "_floor",
        "_floor_account",
        "_now",
        "_share",
        "_share_account",
        "denied",
        "spent",
    )

    def __init__(self, share: float = 0.2, floor: float = 10.0) -> None:
        self.spent = 0
        self.denied = 0
        self.change(share, floor)
        self._share_account = 0.0
        self._floor_account = self._floor_limit
        self._now = -math.inf
        self._failed_at = -math.inf

    def __repr__(self) -> str:
        share, floor = self._share_account, self._floor_account
        return f"<RetryBudget [{share:.1f} by share | {floor:.1f} by floor]>"

    def change(self, share: float, floor: float) -> None:
        """Another share and floor from now on; what is in the accounts stays there."""
        for name, value in (("budget", share), ("budget_floor", floor)):
            if not 0 <= value < math.inf:
                raise ValueError(f"retry.{name} is {value:g}; it must be 0 or more")
        self._share = share
        self._floor = floor

    def call(self, now: float) -> None:
        """A call came in for the first time."""
        self._pass_to(now)
        self._share_account += self._share

    def foreign(self, now: float, *, heeds_pushback: bool) -> bool:
        """Whether a retry by somebody in front of us may go upstream; yes spends it.

        Who heeds our pushback repeats nothing that failed here: it comes from elsewhere, such as
        a replica that drains, and is welcome. A mesh heeds none: while calls fail here it repeats
        what has failed, and needs the budget as we do; while none do, it is welcome too.
        """
        if not heeds_pushback and now < self._failed_at + FADES_IN:
            return self.allow(now)
        self._pass_to(now)
        self._spend()
        return True

    def failed(self, now: float) -> None:
        """A call ended with a failure that somebody in front of us may want to retry."""
        self._failed_at = now

    def allow(self, now: float) -> bool:
        """Whether one more attempt may be made now; yes spends it."""
        self._pass_to(now)
        if self.left() < 1:
            self.denied += 1
            return False
        self._spend()
        return True

    def left(self) -> float:
        """Retries that are allowed at once, as of the last look; an idle budget is fuller."""
        return max(self._share_account, self._floor_account)

    @property
    def _floor_limit(self) -> float:
        return max(1.0, self._floor) if self._floor else 0.0

    def _spend(self) -> None:
        self.spent += 1
        self._share_account = max(0.0, self._share_account - 1)
        self._floor_account = max(0.0, self._floor_account - 1)

    def _pass_to(self, now: float) -> None:
        elapsed = max(0.0, now - self._now) if self._now > -math.inf else 0.0
        self._now = max(self._now, now)
        self._share_account *= math.exp(-elapsed / FADES_IN)
        self._floor_account = min(self._floor_limit, self._floor_account + self._floor * elapsed)
