"""The one table from the HTTP client's errors to ours.

httpx gives the API and aiohttp the connections, so these are of both.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from headgate.errors import (
    UpstreamError,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from headgate.http_upstream.exchange import NoAnswer, NotHTTP, Truncated

if TYPE_CHECKING:
    from collections.abc import Callable

FOREIGN_ERRORS = (
    httpx.HTTPError,
    httpx.StreamError,
    httpx.InvalidURL,
    aiohttp.ClientError,
    HttpProcessingError,
    asyncio.IncompleteReadError,
    ssl.SSLError,
    OSError,
)
# The only timer that is not the attempt's own; aiohttp's kind is a TimeoutError by birth.
CONNECT_TIMEOUT = (httpx.ConnectTimeout, aiohttp.ServerTimeoutError)


def _unavailable(message: str) -> Callable[[], UpstreamError]:
    return lambda: UpstreamUnavailable(message)


def _protocol(message: str) -> Callable[[], UpstreamError]:
    return lambda: UpstreamProtocol(message)


# The first row that fits decides, so the special stands before the general.
_TABLE: tuple[tuple[type[Exception], Callable[[], UpstreamError]], ...] = (
    (
        aiohttp.ClientConnectorCertificateError,
        _unavailable("the upstream's certificate was not accepted (upstream.ca_file)"),
    ),
    (aiohttp.ClientSSLError, _unavailable("no TLS connection to the upstream could be made")),
    (aiohttp.ClientConnectorDNSError, _unavailable("the upstream's host name was not found")),
    (aiohttp.ClientProxyConnectionError, _unavailable("no connection to the upstream's proxy")),
    (aiohttp.ClientHttpProxyError, _unavailable("the proxy refused to reach the upstream")),
    (aiohttp.ClientConnectorError, _unavailable("no connection to the upstream could be made")),
    (aiohttp.ServerDisconnectedError, _unavailable("the upstream closed without an answer")),
    (aiohttp.ClientPayloadError, _unavailable("the upstream closed in the middle of its answer")),
    (aiohttp.ClientConnectionError, _unavailable("the connection to the upstream was reset")),
    (aiohttp.ClientResponseError, _protocol("the upstream's answer is not HTTP")),
    (HttpProcessingError, _protocol("the upstream's answer is not HTTP")),
    (NoAnswer, _unavailable("the upstream closed without an answer")),
    (Truncated, _unavailable("the upstream closed in the middle of its answer")),
    (NotHTTP, _protocol("the upstream's answer is not HTTP")),
    (httpx.ReadError, _unavailable("the connection to the upstream was reset")),
    (httpx.DecodingError, _protocol("the upstream's content encoding is broken")),
    (httpx.StreamError, _unavailable("the upstream's answer could not be read")),
    (httpx.InvalidURL, _protocol("the upstream's address cannot be used (upstream.url)")),
    (httpx.UnsupportedProtocol, _protocol("the upstream's address cannot be used (upstream.url)")),
    (httpx.HTTPError, _unavailable("the upstream could not be reached")),
    (aiohttp.ClientError, _unavailable("the upstream could not be reached")),
    (asyncio.IncompleteReadError, _unavailable("the upstream closed in the middle of its answer")),
    (ssl.SSLError, _unavailable("the TLS connection to the upstream broke")),
    (OSError, _unavailable("the connection to the upstream broke")),
)


def translate(error: Exception, *, connect_timeout: float) -> UpstreamError:
    """One of our errors for one of the client's; the table covers every one of FOREIGN_ERRORS."""
    if isinstance(error, CONNECT_TIMEOUT):
        return UpstreamTimeout("connect", connect_timeout)
    for kind, make in _TABLE:
        if isinstance(error, kind):
            return make()
    raise AssertionError(f"no row for {type(error)}")
