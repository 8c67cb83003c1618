"""How late the event loop is: what every call of this process pays when one thing takes long."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prometheus_client import Histogram

from headgate.telemetry import buckets

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

EVERY = 0.25
"""Seconds between two looks."""


class LoopLag:
    """A timer that measures by how much it was late.

    Args:
        registry: where the metric is put.
        on_look: called at every look.
        clock: monotonic seconds, finer than uvloop's own.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        on_look: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._late = Histogram(
            "headgate_event_loop_lag_seconds",
            f"How late a timer of {EVERY} s fired.",
            buckets=buckets.OWN,
            registry=registry,
        )
        self._on_look = on_look
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        due = self._clock() + EVERY
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._look, due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, due: float) -> None:
        self._late.observe(max(0.0, self._clock() - due))
        self._on_look()
        self.start()
