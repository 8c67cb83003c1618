"""The built page on a server of its own, and the shipped Envoy that lets it call a gateway."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from support.envoy import Files, envoy, with_origin, without_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "clients" / "web"


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    """Serve the page; gives its origin, which is not Envoy's."""
    application = web.Application()
    application.router.add_get("/", _front_page)
    application.router.add_static("/", PAGE / "dist")
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def _front_page(_: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE / "dist" / "index.html")


@asynccontextmanager
async def edge(gateway: str, origin: str, folder: Path) -> AsyncIterator[str]:
    """Run deploy/envoy/edge.yaml before a gateway; gives the URL that pages of the origin call."""
    config = without_tls(Files(folder).config("edge", [gateway]))
    async with envoy(with_origin(config, origin), folder) as running:
        yield f"http://{running.address}"
