"""An event loop whose time passes in no time: it jumps to whatever is due next."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

STEP = 1e-6
"""Seconds that the code itself takes, so that no timer is for ever just about to be due."""
STUCK = 1_000_000
"""Wake-ups without an end, after which a test has gone wrong."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting for so long, it says that so much time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._wakeups = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._wakeups += 1
        if timeout is None or self._wakeups > STUCK:
            raise RuntimeError("nothing will ever happen again in this loop")
        self.now += max(STEP, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code that waits for timers only, not for sockets or processes."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run_virtually(main: Coroutine[Any, Any, None]) -> None:
    """Run it to its end on a VirtualLoop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)
