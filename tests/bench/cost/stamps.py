"""Each token of the mock upstream carries the instant at which it was written.

A stamp is eight digits, microseconds of the monotonic clock (one for all processes of a machine)
modulo 100 s. So a reader knows how long each token was on its way, wherever it was merged.
"""

from __future__ import annotations

import re
import time

WRAP = 10**8
WIDTH = 8
find = re.compile(rb" (\d{8})").findall
"""All stamps in a piece of an answer."""


def now() -> int:
    """Microseconds, as in a stamp."""
    return time.monotonic_ns() // 1000 % WRAP


def age(stamp: bytes, at: int) -> int:
    """Microseconds from a stamp to an instant."""
    return (at - int(stamp)) % WRAP
