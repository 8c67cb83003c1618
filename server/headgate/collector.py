"""Python's collector of cycles: seldom while calls run, and soon once few do.

Every stream keeps many small objects alive, which the collector would walk again and again.
What strangers leave behind is in cycles too (an error, its traceback, and a head of 64 KiB), so
with few calls, when it costs a few milliseconds, the process is tidied up.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 5.0
"""Seconds between two looks."""
FEW = 20
"""With no more calls than this, a whole collection is not noticed."""
WORTH = 2_000
"""Objects that are new since the last collection; with fewer, there is nothing to find."""
GROWN = 1.05
"""With more memory than this times that at the start, the system gets back what it can."""
RETURNS = 3
"""Looks from one such return to the next."""


def calm_collector() -> None:
    """Look for cycles less often, and never again among what the start has made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def tidy(running: Callable[[], int]) -> None:
    """Collect whenever there is something and few calls run; until cancelled.

    Args:
        running: how many calls there are.
    """
    collected, started, due = _collections(), _resident(), 0
    while True:
        await asyncio.sleep(EVERY)
        due -= 1
        # The collector's own runs start the count again, whatever they have left.
        news = gc.get_count()[0] >= WORTH or _collections() > collected
        if not news or running() > FEW:
            continue
        gc.collect()
        collected = _collections()
        if due <= 0 and _resident() > started * GROWN:
            await asyncio.to_thread(_give_back)
            due = RETURNS


def _collections() -> int:
    return int(gc.get_stats()[0]["collections"])


def _resident() -> int:
    """Bytes; 0 where the system does not tell."""
    with suppress(OSError):
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _give_back() -> None:
    """Glibc keeps what is free below what is not, until it is told."""
    with suppress(AttributeError):  # another library has no such function
        ctypes.CDLL(None).malloc_trim(0)
