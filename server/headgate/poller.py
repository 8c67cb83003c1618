"""The scheduling of gRPC's poller: the thread that wakes the event loop for what has happened."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def patient_threads() -> Iterator[None]:
    """Threads that start within let a running one go on when they wake (Linux: SCHED_BATCH).

    gRPC starts its poller with its first server or channel. On a core that it shares with the
    event loop it would otherwise interrupt the loop at each message that was written, only to tell
    it so. Nothing happens where the system knows or allows no such thing, nor to a process whose
    scheduling somebody has chosen.
    """
    if not _be("SCHED_OTHER", "SCHED_BATCH"):
        yield
        return
    try:
        yield
    finally:
        _be("SCHED_BATCH", "SCHED_OTHER")


def _be(was: str, policy: str) -> bool:
    """Change the policy of this thread, if it has the other one; whether that was done."""
    with suppress(OSError, AttributeError):  # a sandbox forbids it; another system has none
        if os.sched_getscheduler(0) == getattr(os, was):
            os.sched_setscheduler(0, getattr(os, policy), os.sched_param(0))
            return True
    return False
