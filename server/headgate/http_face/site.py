"""A listening socket for aiohttp, with what its own kinds of site leave out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl

    from aiohttp.web_runner import BaseRunner

_BACKLOG = 1024


class Site(web.BaseSite):
    """Listens on one address, with a limit on the time for a TLS handshake.

    Args:
        runner: set up already.
        host: None for every address.
        port: 0 for any free one.
        tls: None for plain text.
        handshake_timeout: seconds.
        shared: whether other processes may listen there too (SO_REUSEPORT).
    """

    def __init__(
        self,
        runner: BaseRunner,
        host: str | None,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        handshake_timeout: float,
        shared: bool,
    ) -> None:
        super().__init__(runner, ssl_context=tls, backlog=_BACKLOG)
        self._host = host
        self._port = port
        self._handshake_timeout = handshake_timeout
        self._shared = shared

    @property
    def name(self) -> str:
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://{self._host or '*'}:{self._port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        await super().start()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner is not set up")
        self._server = await asyncio.get_running_loop().create_server(
            server,
            self._host,
            self._port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self._handshake_timeout if self._ssl_context else None,
            backlog=_BACKLOG,
            reuse_port=self._shared or None,
        )
