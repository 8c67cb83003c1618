"""The name of a call in logs, headers and the upstream's logs: the caller's own, or a new one."""

from __future__ import annotations

import random
import re

HEADER = "x-request-id"
# Visible ASCII, without quotes and backslashes.
_SANE = re.compile(r"[!#-&(-\[\]-~]{1,128}")


def request_id_of(given: str) -> str:
    """The caller's own, when it is one that can stand in a log and a header."""
    if _SANE.fullmatch(given):
        return given
    return f"{random.getrandbits(128):032x}"
