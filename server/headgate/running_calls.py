"""The calls that run on the HTTP face: each has its deadline, and all can be cut at the end."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# How long calls that were cut may take to say so.
_LAST_WORDS = 1.0


class OutOfTime(Exception):
    """The deadline passed, or the server is going away (`cut`)."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self.cut = cut


class RunningCalls:
    """Knows every running call.

    Attributes:
        closed: no new calls are taken.
    """

    def __init__(self) -> None:
        self.closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._clocks: set[asyncio.Timeout] = set()
        self._cut = False

    def __len__(self) -> int:
        return len(self._tasks)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The current task is a call, from its first byte to its last."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - handlers run in tasks
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    @asynccontextmanager
    async def in_time(self, deadline: float) -> AsyncIterator[None]:
        """Bound what follows.

        Args:
            deadline: on the event loop's clock; inf means none.

        Raises:
            OutOfTime: the deadline passed, or `finish` cut the call.
        """
        clock = asyncio.timeout_at(None if math.isinf(deadline) else deadline)
        try:
            async with clock:
                self._clocks.add(clock)
                yield
        except TimeoutError:
            if not clock.expired():
                raise
            raise OutOfTime(cut=self._cut) from None
        finally:
            self._clocks.discard(clock)

    async def finish(self, grace: float) -> None:
        """Wait for the calls for `grace` seconds, then cut those that still run."""
        self.closed = True
        await self._wait(grace)
        self._cut = True
        now = asyncio.get_running_loop().time()
        for clock in self._clocks:
            if not clock.expired():
                clock.reschedule(now)
        await self._wait(_LAST_WORDS)

    async def _wait(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=None if seconds == math.inf else seconds)
