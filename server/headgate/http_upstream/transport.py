"""httpx's transport over aiohttp's sockets, with a gate between connection and request."""

from __future__ import annotations

import ssl
from contextvars import ContextVar
from typing import TYPE_CHECKING

import aiohttp
import certifi
import httpx
from httpx_aiohttp import AiohttpTransport

if TYPE_CHECKING:
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


def make_transport(settings: UpstreamSettings) -> AiohttpTransport:
    """The transport for the configured upstream; it opens nothing until the first request."""
    context = ssl.create_default_context(cafile=settings.ca_file or certifi.where())
    from_environment = settings.proxy == "environment"
    proxy = httpx.Proxy(settings.proxy) if settings.proxy and not from_environment else None
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_on_sent)

    def session() -> aiohttp.ClientSession:
        # The throttle and our own timers bound everything; a limit here would be a hidden queue.
        connector = GatedConnector(
            limit=0, limit_per_host=0, keepalive_timeout=30, ttl_dns_cache=60, ssl=context
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=from_environment,
            trace_configs=[trace],
        )

    return AiohttpTransport(client=session, verify=context, trust_env=False, proxy=proxy)


async def _on_sent(*_: object) -> None:
    asked = gate.get()
    if asked is not None:
        asked.written()
