"""httpx's transport over aiohttp's sockets, with a gate between connection and request."""

from __future__ import annotations

import math
import ssl
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
import certifi
import httpx

from headgate.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from headgate.config import UpstreamSettings
    from headgate.upstream import Gate

# Set by each attempt in its own task's context before it sends.
gate: ContextVar[Gate | None] = ContextVar("gate", default=None)


class GatedConnector(aiohttp.TCPConnector):
    """Asks the gate once a connection is up, new or kept alive, before the request is written."""

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        asked = gate.get()
        if asked is not None:
            try:
                await asked.connected()
            except BaseException:  # whatever ends the wait, the connection must not stay open
                connection.close()
                raise
        return connection


class Transport(httpx.AsyncBaseTransport):
    """httpx above, aiohttp below; opens nothing until the first request.

    httpx's own pool dies of cancelled calls, and httpx-aiohttp gives up bytes that had arrived
    when a connection breaks; server/README.md has the figures.
    """

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._ssl = _trust(settings.ca_file)
        self._proxy = settings.proxy
        if settings.proxy == "environment":
            self._proxy = _environment_proxy(settings.url or "")
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=_finite(settings.connect_timeout),
            sock_connect=_finite(settings.connect_timeout),
        )
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return with the head of the response."""
        session = self._session = self._session or self._open_session()
        response = await session.request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            data=request.content,
            allow_redirects=False,
            timeout=self._timeout,
            proxy=self._proxy,
        )
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=ArrivedBytes(response),
            request=request,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        # The throttle and our own timers bound everything; a limit here would be a hidden queue.
        connector = GatedConnector(
            limit=0, limit_per_host=0, keepalive_timeout=30, ttl_dns_cache=60, ssl=self._ssl
        )
        trace = aiohttp.TraceConfig()
        trace.on_request_chunk_sent.append(_on_sent)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,  # it would send what ~/.netrc holds, too
            trace_configs=[trace],
        )


class ArrivedBytes(httpx.AsyncByteStream):
    """The body as it comes, all of it: also what had arrived when the connection broke.

    aiohttp reports a broken connection at once and keeps what it had buffered to itself. That may
    be the end of an answer that was whole, and a whole answer is no failure (promise 2).
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        while True:
            try:
                data = await content.readany()
            except (aiohttp.ClientError, OSError):
                content.set_exception(None)  # type: ignore[arg-type]  # so that it reads again
                if arrived := content.read_nowait():
                    yield arrived
                raise
            if not data:
                return
            yield data

    async def aclose(self) -> None:
        """Give the connection back; it is cut when the body was not read to its end."""
        self._response.release()


def _trust(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or certifi.where())
    except ssl.SSLError as error:
        raise ConfigError([f"upstream.ca_file: {ca_file} holds no PEM certificates"]) from error
    except OSError as error:
        raise ConfigError([f"upstream.ca_file: cannot read {ca_file}: {error.strerror}"]) from error


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


async def _on_sent(*_: object) -> None:
    asked = gate.get()
    if asked is not None:
        asked.written()
