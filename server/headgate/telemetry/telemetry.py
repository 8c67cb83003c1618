"""Telemetry of one gateway: its listeners, its counts, and what it can tell at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, GCCollector, ProcessCollector

from headgate.http_upstream.report import unheard
from headgate.progress import unwatched
from headgate.telemetry.attempts import AttemptMeter
from headgate.telemetry.calls import CallMeter
from headgate.telemetry.gauges import Gauges
from headgate.telemetry.house import House
from headgate.telemetry.lag import LoopLag
from headgate.telemetry.queue import MeteredTurnstile, QueueMeter
from headgate.telemetry.samples import families_of
from headgate.telemetry.state import state_of
from headgate.throttle.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from headgate.budget import RetryBudget
    from headgate.http_upstream import AttemptReport
    from headgate.progress import Watch
    from headgate.telemetry.family import Family
    from headgate.telemetry.house import Limits
    from headgate.telemetry.state import State
    from headgate.telemetry.store import StoreWatch
    from headgate.throttle.throttle import Throttle
    from headgate.upstream import Call, Chunk, Upstream


class Quiet:
    """Telemetry that counts nothing: every part of the gateway is as it would be without."""

    @property
    def watch(self) -> Watch:
        """For the faces."""
        return unwatched

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


class Telemetry(Quiet):
    """Made before the gateway's parts, each of which is then given its listener.

    Args:
        callers: the names of `[callers.NAME]`, the only ones that become labels.
    """

    def __init__(self, callers: Iterable[str] = ()) -> None:
        self._registry = CollectorRegistry()
        self._calls = CallMeter(self._registry, callers)
        self._attempts = AttemptMeter(self._registry, self._calls.caller_label)
        self._queue = QueueMeter(self._registry)
        self._shared = Counter(
            "headgate_shared_calls",
            "Calls that were made for idempotency keys; one serves all that have joined it.",
            registry=self._registry,
        )
        self._lag = LoopLag(self._registry, self._look)
        self._turnstile: MeteredTurnstile | None = None
        self._house: House | None = None
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    @property
    def watch(self) -> Watch:
        return self._calls.watch

    @property
    def hear(self) -> Callable[[AttemptReport], None]:
        return self._attempts.hear

    def turnstile(self, throttle: Throttle) -> Turnstile:
        self._turnstile = MeteredTurnstile(throttle, self._queue)
        return self._turnstile

    def behind_keys(self, inner: Upstream) -> Upstream:
        return _Counted(inner, self._shared)

    def look_at(self, budget: RetryBudget, store: StoreWatch, limits: Limits) -> None:
        if self._turnstile is None:
            raise RuntimeError("turnstile comes first")
        self._house = House(
            turnstile=self._turnstile,
            budget=budget,
            store=store,
            limits=limits,
            calls=self._calls,
            queue=self._queue,
        )
        self._registry.register(Gauges(self._house))

    def change(self, limits: Limits) -> None:
        if self._house is not None:
            self._house.limits = limits

    def know(self, callers: Iterable[str]) -> None:
        self._calls.know(callers)

    def unknown(self, face: str) -> None:
        self._calls.unknown(face)

    def start(self) -> None:
        self._enter("serving")
        self._lag.start()

    def drain(self) -> None:
        self._enter("draining")

    def close(self) -> None:
        self._lag.stop()

    @property
    def ready(self) -> bool:
        return self._house is not None and self._house.phase == "serving"

    def families(self) -> list[Family]:
        return families_of(self._registry)

    def state(self) -> State:
        return state_of(self._house) if self._house is not None else {}

    def _enter(self, phase: str) -> None:
        if self._house is not None:
            self._house.phase = phase

    def _look(self) -> None:
        if self._house is not None:
            self._house.store.look()


class _Counted:
    """A door that counts calls with a key."""

    def __init__(self, inner: Upstream, counter: Counter) -> None:
        self._inner = inner
        self._counter = counter

    def open(self, call: Call) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        if call.idempotency_key:
            self._counter.inc()
        return self._inner.open(call)
