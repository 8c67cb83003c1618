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
"""Grown by this factor, the system gets back what memory it can."""
RETURNS = 3
"""Looks from one such return to the next."""
RETURNS_BUSY = 12
"""The same while many calls run, which it holds up by a few milliseconds."""


def calm_collector() -> None:
    """Look for cycles less often, and never again among what the start has made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def tidy(running: Callable[[], int]) -> None:
    """Collect whenever there is something and few calls run; until cancelled.

    Few calls should need little more memory than the start; of many it is only known whether they
    need more than they did.

    Args:
        running: how many calls there are.
    """
    collected, started = _collections(), _resident()
    returned, looks = started, RETURNS
    while True:
        await asyncio.sleep(EVERY)
        looks += 1
        few = running() <= FEW
        if few:
            # The collector's own runs start the count again, whatever they have left.
            if gc.get_count()[0] < WORTH and _collections() == collected:
                continue
            gc.collect()
            collected = _collections()
        enough, pause = (started, RETURNS) if few else (returned, RETURNS_BUSY)
        if looks >= pause and _resident() > enough * GROWN:
            await asyncio.to_thread(_give_back)
            returned, looks = _resident(), 0


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
