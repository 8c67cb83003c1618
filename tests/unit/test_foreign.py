"""The table from the HTTP client's errors to ours is total."""

from __future__ import annotations

import asyncio
import errno
import ssl
from typing import TYPE_CHECKING

import aiohttp
import httpx
import pytest
from aiohttp import http_exceptions
from aiohttp.client_reqrep import ConnectionKey

from headgate.errors import UpstreamError, UpstreamProtocol, UpstreamTimeout, UpstreamUnavailable
from headgate.http_upstream.foreign import FOREIGN_ERRORS, translate

if TYPE_CHECKING:
    from collections.abc import Iterator


def family(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


# Classes of this process's own (tests, other libraries) say nothing about the client's.
LIBRARIES = ("aiohttp", "httpx", "ssl", "builtins", "asyncio", "socket")
ALL = sorted(
    {
        kind
        for root in FOREIGN_ERRORS
        for kind in family(root)
        if kind.__module__.split(".")[0] in LIBRARIES
    },
    key=lambda kind: (kind.__module__, kind.__qualname__),
)


def made(kind: type[Exception]) -> Exception:
    """An instance without its constructor: what counts is the class."""
    return kind.__new__(kind)


def test_the_families_are_known() -> None:
    """The lists below stand for something: the libraries' classes were found."""
    assert len(ALL) > 60
    assert {aiohttp.ClientPayloadError, httpx.DecodingError, ConnectionResetError} <= set(ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__qualname__)
def test_every_class_has_a_row(kind: type[Exception]) -> None:
    """One of ours, with a sentence that names no class of theirs."""
    error = translate(made(kind), connect_timeout=5)
    assert isinstance(error, UpstreamError)
    assert kind.__name__ not in error.message
    assert error.message


@pytest.mark.parametrize("kind", [*family(aiohttp.ClientError), *family(httpx.HTTPError)])
def test_every_client_error_is_caught(kind: type[Exception]) -> None:
    """What the clients raise is what the attempt catches."""
    assert issubclass(kind, FOREIGN_ERRORS)


PARSER = [
    kind
    for kind in vars(http_exceptions).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
]


@pytest.mark.parametrize("kind", PARSER, ids=lambda kind: kind.__qualname__)
def test_what_the_parser_says_is_caught(kind: type[Exception]) -> None:
    """The HTTP parser has errors of its own, which can come through a body."""
    assert issubclass(kind, FOREIGN_ERRORS)


@pytest.mark.parametrize(
    "kind", [k for k in ALL if issubclass(k, aiohttp.ServerTimeoutError)], ids=str
)
def test_only_a_connect_timer_runs_in_the_client(kind: type[Exception]) -> None:
    """All other timers are ours, so the client's own timeout is that of connecting."""
    error = translate(made(kind), connect_timeout=2.5)
    assert isinstance(error, UpstreamTimeout)
    assert (error.phase, error.retryable) == ("connect", True)
    assert "2.5 s" in error.message


KEY = ConnectionKey("host", 443, True, None, None, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (aiohttp.ServerDisconnectedError(), UpstreamUnavailable, "closed without an answer"),
        (aiohttp.ClientPayloadError("x"), UpstreamUnavailable, "in the middle"),
        (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), UpstreamUnavailable, "reset"),
        (ConnectionResetError(), UpstreamUnavailable, "broke"),
        (asyncio.IncompleteReadError(b"", 1), UpstreamUnavailable, "in the middle"),
        (ssl.SSLError(), UpstreamUnavailable, "TLS"),
        (httpx.DecodingError("x"), UpstreamProtocol, "encoding"),
        (http_exceptions.BadHttpMessage("x"), UpstreamProtocol, "not HTTP"),
        (
            aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "refused")),
            UpstreamUnavailable,
            "no connection",
        ),
        (aiohttp.ClientConnectorDNSError(KEY, OSError()), UpstreamUnavailable, "host name"),
        (
            aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError()),
            UpstreamUnavailable,
            "ca_file",
        ),
        (aiohttp.ClientProxyConnectionError(KEY, OSError()), UpstreamUnavailable, "proxy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_the_special_stands_before_the_general(
    error: Exception, kind: type[UpstreamError], words: str
) -> None:
    """Subclasses get their own sentence, not their parent's."""
    ours = translate(error, connect_timeout=5)
    assert type(ours) is kind
    assert words in ours.message
