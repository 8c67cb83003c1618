"""Telemetry of one gateway: its listeners, its counts, and what it can tell at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, GCCollector, ProcessCollector

from headgate.telemetry.attempts import AttemptMeter
from headgate.telemetry.calls import CallMeter
from headgate.telemetry.gauges import Gauges
from headgate.telemetry.house import House
from headgate.telemetry.lag import LoopLag
from headgate.telemetry.queue import MeteredTurnstile, QueueMeter
from headgate.telemetry.quiet import Quiet
from headgate.telemetry.samples import families_of
from headgate.telemetry.state import state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from headgate.budget import RetryBudget
    from headgate.http_upstream import AttemptReport
    from headgate.telemetry.family import Family
    from headgate.telemetry.house import Limits
    from headgate.telemetry.state import State
    from headgate.telemetry.store import StoreWatch
    from headgate.throttle.throttle import Throttle
    from headgate.throttle.turnstile import Turnstile
    from headgate.upstream import Call, Chunk, Upstream
    from headgate.watch import Watch


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
        return self._calls

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
