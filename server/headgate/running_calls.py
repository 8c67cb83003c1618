"""The calls that run on one face: each has its deadline, and all can be cut at the end."""

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
        self._writing: set[asyncio.Future[None]] = set()
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

    def follow(self) -> None:
        """This task's RPC is over when its status is written, behind all that is to be read first.

        Its handler ends before that, and a slow reader would lose what is on the way.
        """
        over = asyncio.get_running_loop().create_future()
        self._writing.add(over)
        over.add_done_callback(self._writing.discard)

        def done(_: object) -> None:
            if not over.done():
                over.set_result(None)

        # Not by way of the context, which would keep such a callback, and by it the call, for
        # itself: gRPC would count the call as a running one until the next collection.
        if (task := asyncio.current_task()) is not None:
            task.add_done_callback(done)

    async def finish(self, grace: float) -> None:
        """Wait for the calls for `grace` seconds, then cut those that still run."""
        over = asyncio.get_running_loop().time() + grace
        self.closed = True
        await self._wait(grace)
        self._cut = True
        now = asyncio.get_running_loop().time()
        for clock in self._clocks:
            if not clock.expired():
                clock.reschedule(now)
        await self._wait(_LAST_WORDS)
        if self._writing:
            left = max(_LAST_WORDS, over - asyncio.get_running_loop().time())
            await asyncio.wait(set(self._writing), timeout=None if left == math.inf else left)

    async def _wait(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=None if seconds == math.inf else seconds)
