"""Cores that do not go to sleep: what a process then costs less is what waking up cost it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.cost.running import ALL, on

if TYPE_CHECKING:
    from collections.abc import Iterator

# Runs only while nobody else wants to, and no longer than who started it.
_SPIN = """
import os, sys
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""


@contextmanager
def awake(*, asked: bool) -> Iterator[None]:
    """If it is asked for, keep every core busy at the lowest priority while the block runs."""
    spinners = []
    for core in ALL if asked else []:
        with on([core]):
            spinners.append(subprocess.Popen([sys.executable, "-c", _SPIN, str(os.getpid())]))
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
