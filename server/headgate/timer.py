"""A timeout for work that is awaited thousands of times in one task, such as reads or writes."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

RESOLUTION = 0.001
"""Seconds: uvloop's clock and timers know whole milliseconds, and a handle may come that early."""


class Timer:
    """Bounds each of many awaits; starting and stopping it costs one look at the clock.

    `asyncio.timeout` arms and cancels a handle per use.
    This one keeps a single handle, which looks when it fires whether its time was moved on.

        with timer.limit(30):
            data = await read()        # TimeoutError after 30 s
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = math.inf
        self._handle: asyncio.TimerHandle | None = None
        self._fires_at = math.inf  # uvloop's handles cannot always say it
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._expired = False

    def limit(self, seconds: float) -> Self:
        """Start the clock for the block that follows, or anew inside of it; inf: no limit."""
        return self.until(self._loop.time() + seconds)

    def until(self, instant: float) -> Self:
        """As `limit`, by the event loop's clock."""
        self._until = instant
        if self._task is not None:
            self._arm_if_needed()
        return self

    def cut(self) -> None:
        """The time of the block that runs is over now; without a block nothing happens."""
        if self._task is not None and not self._expired:
            self.limit(0)

    @property
    def expired(self) -> bool:
        """Whether the time of the latest block ran out."""
        return self._expired

    def close(self) -> None:
        """Drop the handle; the timer is not used again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def __enter__(self) -> None:
        # Asking for the loop, too, would cost a system call each time (getpid).
        self._task = asyncio.current_task(self._loop)
        self._cancelling = self._task.cancelling() if self._task else 0
        self._expired = False
        self._arm_if_needed()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._until = math.inf
        task, self._task = self._task, None
        if not self._expired or task is None:
            return
        # As asyncio.timeout does: a cancellation that came from elsewhere wins over ours.
        ours_alone = task.uncancel() <= self._cancelling
        if ours_alone and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _arm_if_needed(self) -> None:
        if self._until < math.inf and (self._handle is None or self._fires_at > self._until):
            self._arm()

    def _arm(self) -> None:
        self.close()
        self._fires_at = self._until
        self._handle = self._loop.call_at(self._until, self._fire)

    def _fire(self) -> None:
        self._handle = None
        if self._task is None or self._until == math.inf:
            return
        if self._loop.time() <= self._until - RESOLUTION:
            self._arm()
            return
        self._expired = True
        self._task.cancel()
