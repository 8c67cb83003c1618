"""httpx's transport over aiohttp's connections, with a gate between connection and request."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
import httpx
from yarl import URL

from headgate.http_upstream.exchange import Exchange, NoAnswer
from headgate.trust import authorities

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from aiohttp.connector import Connection

    from headgate.config import UpstreamSettings
    from headgate.upstream import Gate


class Transport(httpx.AsyncBaseTransport):
    """httpx above, aiohttp's connector below; opens nothing until the first request.

    aiohttp resolves, connects, shakes hands, goes through proxies and keeps connections alive.
    What goes over them is an `Exchange`; server/README.md has the figures that ask for it.
    """

    def __init__(self, settings: UpstreamSettings) -> None:
        self._url = URL(settings.url or "", encoded=True)
        proxy = settings.proxy
        if proxy == "environment":
            proxy = _environment_proxy(settings.url or "")
        self._proxy = URL(proxy) if proxy else None
        self._ssl = _trust(settings, self._proxy)
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=_finite(settings.connect_timeout),
            sock_connect=_finite(settings.connect_timeout),
        )
        self._connector: aiohttp.TCPConnector | None = None
        self._way: aiohttp.ClientRequest | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, whose URL is that of the settings, and return with the response's head.

        `request.extensions["gate"]` is asked once a connection is up, new or kept alive, before
        anything is written on it, and as often as it wants.

        Raises:
            httpx.ConnectTimeout: no connection in time.
            httpx.HTTPError, aiohttp.ClientError, OSError: as `foreign` knows them.
        """
        connection, exchange = await self._connect(), None
        try:
            gate: Gate | None = request.extensions.get("gate")
            while gate is not None and not await gate.connected():
                if connection.transport is None:  # nothing was written on it, so nothing is lost
                    connection.close()
                    connection = await self._connect()
            if connection.transport is None or connection.protocol is None:
                raise NoAnswer("the peer closed what was kept alive")
            exchange = Exchange(connection.transport, connection.protocol)
            await exchange.request([self._head(request), request.read()])
            if gate is not None:
                gate.written()
            await exchange.respond()
        except BaseException:  # whatever ended it, the connection must not stay open
            if exchange is not None:
                exchange.leave()
            _cut(connection)
            raise
        return httpx.Response(
            exchange.status,
            headers=exchange.headers,
            stream=Body(exchange, connection),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._connector is not None:
            await self._connector.close()

    async def _connect(self) -> Connection:
        if self._connector is None or self._way is None:
            self._connector, self._way = self._open()
        try:
            return await self._connector.connect(self._way, [], self._timeout)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error

    def _open(self) -> tuple[aiohttp.TCPConnector, aiohttp.ClientRequest]:
        # The throttle and our own timers bound everything; a limit here would be a hidden queue.
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=0, keepalive_timeout=30, ttl_dns_cache=60, ssl=self._ssl
        )
        # Names the peer and the way to it; it is never sent itself.
        way = aiohttp.ClientRequest(
            "POST",
            self._url,
            loop=asyncio.get_running_loop(),
            proxy=self._proxy,
        )
        return connector, way

    def _head(self, request: httpx.Request) -> bytes:
        target = request.url.raw_path
        lines = [b"%b: %b" % header for header in request.headers.raw]
        if self._proxy is not None and self._url.scheme == "http":
            target = str(request.url).encode("ascii")
            lines += self._proxy_authorization()
        return b"POST %b HTTP/1.1\r\n%b\r\n\r\n" % (target, b"\r\n".join(lines))

    def _proxy_authorization(self) -> list[bytes]:
        """The connector puts it there when it has connected to a proxy that wants a password."""
        value = self._way.headers.get("Proxy-Authorization") if self._way is not None else None
        return [b"Proxy-Authorization: " + value.encode("latin-1")] if value else []


class Body(httpx.AsyncByteStream):
    """The body as it comes; closing it gives the connection back, or cuts it."""

    def __init__(self, exchange: Exchange, connection: Connection) -> None:
        self.limit = exchange.limit
        self.offer = exchange.offer
        self.read = exchange.read
        self._exchange = exchange
        self._connection: Connection | None = connection

    @property
    def complete(self) -> bool:
        """Whether all of it has come, read or not."""
        return self._exchange.complete

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def aclose(self) -> None:
        """Read to its end, the connection can be used again; otherwise it is cut."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._exchange.leave()
        if self._exchange.reusable and connection.transport is not None:
            self._exchange.give_back()
            connection.release()
        else:
            _cut(connection)


def _cut(connection: Connection) -> None:
    """At once: closing would wait for the peer's farewell over TLS, up to 30 s."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()


def _trust(settings: UpstreamSettings, proxy: URL | None) -> ssl.SSLContext | bool:
    """For connections with TLS; where there are none, the authorities' 3 MiB are not read."""
    schemes = {urlsplit(settings.url or "").scheme, proxy.scheme if proxy is not None else ""}
    if settings.ca_file or "https" in schemes:
        return authorities("upstream.ca_file", settings.ca_file)
    return True


def _environment_proxy(url: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name for this URL, if any."""
    parts = urlsplit(url)
    proxies = getproxies_environment()
    if proxy_bypass(parts.hostname or ""):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _finite(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds
