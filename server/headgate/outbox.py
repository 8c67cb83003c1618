"""Writes of many streams that leave one right behind the other."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT = 0.002
"""Seconds between two departures while there are many: no write waits longer here."""


class Outbox:
    """Begins what it is given in the event loop's next turn, or a beat later if some just left.

    What a turn has read is written together. A reader that is still at one message when the next
    comes need not be woken for it, and waking another process is the dearest part of a write.
    Where little is to be written, nothing waits for the beat.

    Args:
        beat: seconds.
    """

    def __init__(self, beat: float = BEAT) -> None:
        self._beat = beat
        self._waiting: list[Callable[[], None]] = []
        self._left_at = -math.inf

    def __repr__(self) -> str:
        return f"<Outbox {len(self._waiting)} waiting>"

    def add(self, begin: Callable[[], None]) -> None:
        """Begin this with all that is added until then; it must not block or raise."""
        self._waiting.append(begin)
        if len(self._waiting) > 1:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._left_at >= self._beat:
            loop.call_soon(self._leave)
        else:
            loop.call_later(self._beat, self._leave)

    def _leave(self) -> None:
        self._left_at = asyncio.get_running_loop().time()
        waiting, self._waiting = self._waiting, []
        for begin in waiting:
            begin()
