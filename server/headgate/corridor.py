"""The doors around an upstream, wired in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.backoff import Backoff
from headgate.budget import RetryBudget
from headgate.callers import CallersDoor
from headgate.join.door import JoinDoor
from headgate.retry import RetryDoor
from headgate.shared_schedule import pace_of
from headgate.telemetry.house import Limits
from headgate.throttle.door import ThrottleDoor
from headgate.throttle.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.config import Settings, ThrottleSettings
    from headgate.telemetry.quiet import Quiet
    from headgate.telemetry.store import StoreWatch
    from headgate.throttle.store import Store
    from headgate.upstream import Upstream


class Corridor:
    """What has a state (schedule, queue, allowances, budget) is made once and told of changes.

    The doors between hold settings only, so other settings are other doors: a call goes on
    through those that it came in by.

    Attributes:
        entrance: the outermost door, which the faces open.
    """

    def __init__(
        self, settings: Settings, upstream: Upstream, store: StoreWatch, telemetry: Quiet
    ) -> None:
        self._upstream = upstream
        self._telemetry = telemetry
        self._turnstile = telemetry.turnstile(_throttle(settings.throttle, store.store))
        self._budget = RetryBudget(settings.retry.budget, settings.retry.budget_floor)
        telemetry.look_at(self._budget, store, _limits(settings.throttle))
        # Read from the bottom of `_shared`: a call passes the last one first, and before it these.
        self._callers = CallersDoor(self._shared(settings), settings.callers)
        self._joins = JoinDoor(telemetry.behind_keys(self._callers), settings.idempotency)
        self.entrance: Upstream = self._joins

    def _shared(self, settings: Settings) -> Upstream:
        """The doors that all callers share."""
        retry, max_wait = settings.retry, settings.throttle.max_wait
        backoff = Backoff(
            initial=retry.initial_backoff,
            maximum=retry.max_backoff,
            multiplier=retry.backoff_multiplier,
        )
        door: Upstream = ThrottleDoor(
            self._upstream,
            self._turnstile,
            settings.callers,
            max_wait=max_wait,
            backoff=backoff,
        )
        return RetryDoor(
            door,
            max_attempts=retry.max_attempts,
            backoff=backoff,
            budget=self._budget,
            max_wait=max_wait,
        )

    @property
    def turn(self) -> Callable[[], None]:
        """Lets the throttle do what has become due."""
        return self._turnstile.turn

    def change(self, settings: Settings) -> None:
        """Other limits, without a jump in the schedule; who waits stays in line."""
        throttle = settings.throttle
        self._budget.change(settings.retry.budget, settings.retry.budget_floor)
        self._turnstile.change(
            pace_of(throttle),
            max_in_flight=throttle.max_in_flight,
            max_queue=throttle.max_queue,
            max_cooldown=throttle.max_cooldown,
        )
        self._callers.change(self._shared(settings), settings.callers)
        self._telemetry.change(_limits(throttle))

    def drain(self, seconds: float) -> None:
        """Refuse who waits, but for those who were told so and start within `seconds`."""
        self._joins.drain()
        self._callers.drain(seconds)
        self._turnstile.drain(seconds)

    async def aclose(self) -> None:
        """End the joined calls, which run in tasks of their own."""
        await self._joins.aclose()


def _throttle(settings: ThrottleSettings, store: Store) -> Throttle:
    return Throttle(
        store,
        max_in_flight=settings.max_in_flight,
        max_queue=settings.max_queue,
        max_cooldown=settings.max_cooldown,
    )


def _limits(settings: ThrottleSettings) -> Limits:
    return Limits(settings.max_in_flight, settings.max_queue)
