"""The telemetry of a gateway that counts nothing, and what every telemetry can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.http_upstream.report import unheard
from headgate.throttle.turnstile import Turnstile
from headgate.watch import Unwatched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headgate.budget import RetryBudget
    from headgate.http_upstream import AttemptReport
    from headgate.telemetry.family import Family
    from headgate.telemetry.house import Limits
    from headgate.telemetry.state import State
    from headgate.telemetry.store import StoreWatch
    from headgate.throttle.throttle import Throttle
    from headgate.upstream import Upstream
    from headgate.watch import Watch


class Quiet:
    """Telemetry that counts nothing: every part of the gateway is as it would be without."""

    @property
    def watch(self) -> Watch:
        """For the faces."""
        return Unwatched()

    @property
    def hear(self) -> Callable[[AttemptReport], None]:
        """For the upstream."""
        return unheard

    def turnstile(self, throttle: Throttle) -> Turnstile:
        """For the throttle's door."""
        return Turnstile(throttle)

    def behind_keys(self, inner: Upstream) -> Upstream:
        """For the place behind the door that joins calls."""
        return inner

    def look_at(self, budget: RetryBudget, store: StoreWatch, limits: Limits) -> None:
        """Name what is read when somebody asks; once, after `turnstile`, before anybody does."""

    def change(self, limits: Limits) -> None:
        """The limits are others."""

    def know(self, callers: Iterable[str]) -> None:
        """The names of `[callers.NAME]` are others."""

    def unknown(self, face: str) -> None:
        """A stranger asked for something that there is not."""

    def start(self) -> None:
        """The gateway serves."""

    def drain(self) -> None:
        """The gateway is going away."""

    def close(self) -> None:
        """Look no more; what was counted can still be read."""

    @property
    def ready(self) -> bool:
        """Whether the gateway takes calls."""
        return False

    def families(self) -> list[Family]:
        """All metrics as plain data."""
        return []

    def state(self) -> State:
        """The page of state."""
        return {}
