"""The HTTP client: one connection pool, one prebuilt request, one attempt per `open`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import httpx
import msgspec

from headgate import __version__, wire
from headgate.http_upstream.attempt import Attempt
from headgate.http_upstream.report import unheard
from headgate.http_upstream.transport import Transport
from headgate.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from headgate.config import UpstreamSettings
    from headgate.http_upstream.report import AttemptReport
    from headgate.upstream import Call, Chunk, Gate


class HttpUpstream:
    """The innermost door: every `open` is one request to the chat endpoint.

    Args:
        settings: where it is and how long it may take.
        api_key: sent as a bearer token (RFC 6750); None sends none.
        hear: called with what became of each attempt.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        api_key: str | None = None,
        hear: Callable[[AttemptReport], None] = unheard,
    ) -> None:
        if settings.url is None:
            raise ValueError("upstream.url is not set")
        self._settings = settings
        self._hear = hear
        self._url = httpx.URL(settings.url)
        self._body = _BodyWriter(settings)
        self.change(settings, api_key)
        # Nothing of httpx's Client (redirects, cookies, authentication) is wanted here.
        self._transport = Transport(settings)

    def change(self, settings: UpstreamSettings, api_key: str | None) -> None:
        """Another key and other headers, for the attempts that begin from now on."""
        self._headers = _headers(self._url, settings, api_key)
        self._secrets = Secrets([api_key, *settings.secrets()])

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def open(self, call: Call) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """One attempt; see `headgate.upstream.Upstream`.

        Raises:
            UpstreamError: before the first content, by the tables of design section 5.
        """
        return _Opening(Attempt(self._send, call, self._settings, self._secrets), call, self._hear)

    async def _send(self, call: Call, gate: Gate) -> httpx.Response:
        """Send one request and return once the status line and headers are here."""
        body = self._body.write(call)
        headers = [
            *self._headers,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", call.request_id.encode("ascii", "replace")),
        ]
        if call.trail is not None:
            headers += call.trail.headers()
        request = _Request(self._url, headers, body, gate)
        response = await self._transport.handle_async_request(request)
        if call.trail is not None:
            call.trail.responded(response.status_code)
        return response


class _Opening:
    """One attempt from its first step to its last."""

    __slots__ = ("_attempt", "_call", "_chunks", "_hear")

    def __init__(self, attempt: Attempt, call: Call, hear: Callable[[AttemptReport], None]) -> None:
        self._attempt = attempt
        self._call = call
        self._hear = hear

    async def __aenter__(self) -> AsyncIterator[Chunk]:
        self._call.observer.attempt_started()
        try:
            first = await self._attempt.first()
        except BaseException:  # a cancellation, too, must close the request
            await self._close()
            raise
        self._chunks: AsyncGenerator[Chunk, None] = self._attempt.chunks(first)
        return self._chunks

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._chunks.aclose()
        finally:
            await self._close()

    async def _close(self) -> None:
        attempt, call = self._attempt, self._call
        try:
            await attempt.close()
        finally:
            call.spent += attempt.spent
            call.observer.attempt_ended(attempt.error)
            self._hear(attempt.finished_report())


class _Request(httpx.Request):
    """As httpx makes it, but the URL, which is always the same, is not parsed and copied anew."""

    def __init__(
        self, url: httpx.URL, headers: list[tuple[bytes, bytes]], body: bytes, gate: Gate
    ) -> None:
        self.method = "POST"
        self.url = url
        self.headers = httpx.Headers(headers)
        self.extensions = {"gate": gate}
        self.stream = httpx.ByteStream(body)


class _BodyWriter:
    """Writes a call's JSON body; what the configuration adds is decided once."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._model = settings.model or None
        self._max_tokens_field = settings.max_tokens_field
        self._include_usage = settings.sends_include_usage

    def write(self, call: Call) -> bytes:
        request = copy.copy(call.request)
        if not request.model:
            request.model = self._model
        if request.stream and self._include_usage:
            request.stream_options = wire.StreamOptions(include_usage=True)
        else:
            request.stream_options = None
        tokens, request.max_tokens, request.max_completion_tokens = request.max_tokens, None, None
        if tokens is not None and tokens > 0:
            setattr(request, self._max_tokens_field, tokens)
        body = msgspec.json.encode(request)
        # The request is never empty, so its closing brace can make room for the extra fields.
        return body[:-1] + b"," + msgspec.json.encode(call.extra)[1:] if call.extra else body


def _headers(
    url: httpx.URL, settings: UpstreamSettings, api_key: str | None
) -> list[tuple[bytes, bytes]]:
    headers = {
        "host": url.netloc.decode("ascii"),
        "accept": "text/event-stream, application/json",
        "accept-encoding": "gzip, deflate",
        "content-type": "application/json",
        "user-agent": f"headgate/{__version__}",
    }
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    headers |= {name.lower(): value for name, value in settings.header_values().items()}
    return [(name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items()]
