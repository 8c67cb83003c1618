"""Tells systemd, or whoever else gave us a NOTIFY_SOCKET, how things are (sd_notify(3))."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# For this process alone; a process that it starts has nothing to say there.
VARIABLES = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})


class ServiceManager:
    """Without a NOTIFY_SOCKET in the environment it says nothing, to nobody.

    Args:
        environment: of this process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        limit = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
        # Twice within the time after which silence counts as death.
        self._beat = int(limit) / 2e6 if limit.isdigit() and ours else math.inf

    def ready(self, status: str) -> None:
        """The server serves, for the first time or again; `status` is one line for a person."""
        self._say("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The settings are being read; `ready` follows."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, seconds: float) -> None:
        """The server ends, and may take so long for it; inf: nobody knows."""
        more = [] if math.isinf(seconds) else [f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}"]
        self._say("STOPPING=1", "STATUS=draining", *more)

    async def keep_watchdog_quiet(self) -> None:
        """Say from time to time that the event loop runs, if anybody asked; until cancelled."""
        while math.isfinite(self._beat) and self._address:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self._beat)

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        # A manager that has gone is none of our business.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outlet:
            outlet.setblocking(False)
            outlet.sendto("\n".join(lines).encode(), self._address)
