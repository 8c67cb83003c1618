"""The calls that run on one face: each has its deadline, and all can be cut at the end."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from headgate.timer import Timer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

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
        self._timers: set[Timer] = set()
        self._writing: set[asyncio.Task[Any]] = set()
        self._cut = False

    def __len__(self) -> int:
        return len(self._tasks)

    def running(self) -> _Running:
        """The current task is a call, from its first byte to its last: a context."""
        return _Running(self._tasks)

    def in_time(self, deadline: float) -> _InTime:
        """Bound what follows: a context.

        Args:
            deadline: on the event loop's clock; inf means none.

        Raises:
            OutOfTime: the deadline passed, or `finish` cut the call.
        """
        return _InTime(self._timers, deadline, self._was_cut)

    def follow(self) -> None:
        """This task's RPC is over when its status is written, behind all that is to be read first.

        Its handler ends before that, and a slow reader would lose what is on the way.
        """
        # Not by way of the context, which would keep such a callback, and by it the call, for
        # itself: gRPC would count the call as a running one until the next collection.
        if (task := asyncio.current_task()) is not None:
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def finish(self, grace: float) -> None:
        """Wait for the calls for `grace` seconds, then cut those that still run."""
        over = asyncio.get_running_loop().time() + grace
        self.closed = True
        await self._wait(grace)
        self._cut = True
        for timer in self._timers:
            timer.cut()
        await self._wait(_LAST_WORDS)
        if self._writing:
            left = max(_LAST_WORDS, over - asyncio.get_running_loop().time())
            await asyncio.wait(set(self._writing), timeout=None if left == math.inf else left)

    def _was_cut(self) -> bool:
        return self._cut

    async def _wait(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=None if seconds == math.inf else seconds)


class _Running:
    """See `RunningCalls.running`."""

    __slots__ = ("_task", "_tasks")

    def __init__(self, tasks: set[asyncio.Task[Any]]) -> None:
        self._tasks = tasks

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - handlers run in tasks
        self._task = task
        self._tasks.add(task)

    def __exit__(self, *_: object) -> None:
        self._tasks.discard(self._task)


class _InTime:
    """See `RunningCalls.in_time`."""

    __slots__ = ("_deadline", "_timer", "_timers", "_was_cut")

    def __init__(self, timers: set[Timer], deadline: float, was_cut: Callable[[], bool]) -> None:
        self._timers = timers
        self._deadline = deadline
        self._was_cut = was_cut
        self._timer = Timer()

    def __enter__(self) -> None:
        # Who was still being asked for its name when all others were cut is late.
        until = 0.0 if self._was_cut() else self._deadline
        self._timer.until(until).__enter__()
        self._timers.add(self._timer)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        timer = self._timer
        self._timers.discard(timer)
        timer.close()
        try:
            timer.__exit__(kind, error, traceback)
        except TimeoutError:
            raise OutOfTime(cut=self._was_cut()) from None
        if timer.expired and isinstance(error, TimeoutError):  # of what was cleaned up behind it
            raise OutOfTime(cut=self._was_cut()) from error
