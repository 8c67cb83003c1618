"""Obeys SIGHUP: reads the settings anew and hands them over, or says why everything stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from headgate.config import ConfigError, changes, limits_line, renewed

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.config import Settings
    from headgate.service_manager import ServiceManager

log = structlog.get_logger("headgate")


class Server(Protocol):
    """Who is told: a gateway, or the supervisor of several."""

    @property
    def settings(self) -> Settings:
        """As it really runs, with its ports and its upstream."""

    async def renew(self, settings: Settings) -> None:
        """Go on with these; cannot fail."""


class Reload:
    """Takes new settings whole, or not at all.

    Args:
        server: who is told.
        load: reads the settings from where they came from; raises ConfigError.
        loaded: what it gave at the start.
        manager: told when it begins and when it is over.
    """

    def __init__(
        self,
        server: Server,
        load: Callable[[], Settings],
        loaded: Settings,
        manager: ServiceManager,
    ) -> None:
        self._server = server
        self._load = load
        self._loaded = loaded
        self._manager = manager

    async def obey(self, asked: asyncio.Event) -> None:
        """Reload each time that somebody asks; until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            await self.once()

    async def once(self) -> None:
        """Read and hand over; of what is wrong each reason is one line of the log."""
        self._manager.reloading()
        try:
            status = await self._renew()
        except ConfigError as error:
            for line in error.lines:
                log.error("reload_refused", why=line)  # noqa: TRY400 - one line, no traceback
            status = "reload refused, the old settings stay; the log says why"
        except Exception:  # whatever it was, the manager waits, and the next reload may be right
            log.exception("reload_failed")
            status = "reload failed; the log says why"
        self._manager.ready(status)

    async def _renew(self) -> str:
        """The new limits in one line."""
        before = self._server.settings
        # Files may be slow, and calls go on.
        wanted = await asyncio.to_thread(self._load)
        settings = await asyncio.to_thread(renewed, before, self._loaded, wanted)
        await self._server.renew(settings)
        self._loaded = wanted
        limits = limits_line(settings)
        changed = [name for name in changes(before, settings) if name != "profile"]
        log.info("reloaded", changed=changed, limits=limits)
        return limits
