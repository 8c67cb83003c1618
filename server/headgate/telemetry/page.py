"""The metrics port: `/metrics`, `/state`, `/healthz` and `/readyz` over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec
from aiohttp import web

from headgate.config import parse_address
from headgate.telemetry.samples import exposition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headgate.telemetry.family import Family
    from headgate.telemetry.quiet import Quiet
    from headgate.telemetry.state import State

_CLOSING_TIMEOUT = 1.0


class MetricsPage:
    """Serves what it is given; who it is open to is a matter of the address.

    Args:
        families: all metrics, now.
        state: the page of state, now.
        ready: whether the gateway takes calls.

    Attributes:
        address: where it listens, once started.
    """

    def __init__(
        self,
        families: Callable[[], Awaitable[list[Family]]],
        state: Callable[[], Awaitable[State]],
        ready: Callable[[], bool],
    ) -> None:
        self.address = ""
        self._families = families
        self._state = state
        self._ready = ready
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/state", self._page),
                web.get("/healthz", self._alive),
                web.get("/readyz", self._takes_calls),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_TIMEOUT)

    @classmethod
    def of(cls, telemetry: Quiet) -> Self:
        """Of one gateway in this process."""

        async def families() -> list[Family]:
            return telemetry.families()

        async def state() -> State:
            return telemetry.state()

        return cls(families, state, lambda: telemetry.ready)

    async def start(self, listen: str) -> str:
        """Listen on `HOST:PORT`; returns the address with the real port.

        Raises:
            OSError: the address cannot be had.
        """
        address = parse_address(listen)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address.host, address.port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        host, port = self._runner.addresses[0][:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self.address

    async def aclose(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        body, media = exposition(await self._families(), request.headers.get("accept", ""))
        return web.Response(body=body, headers={"Content-Type": media})

    async def _page(self, _: web.Request) -> web.StreamResponse:
        body = msgspec.json.format(msgspec.json.encode(await self._state()), indent=2)
        return web.Response(body=body + b"\n", content_type="application/json")

    async def _alive(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="ok\n")

    async def _takes_calls(self, _: web.Request) -> web.StreamResponse:
        ready = self._ready()
        return web.Response(text="ok\n" if ready else "not serving\n", status=200 if ready else 503)
