"""An answer as Server-Sent Events (WHATWG HTML, section 9.2) to one reader."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web

from headgate.guard import PeerGone
from headgate.http_face.translate import encode_json
from headgate.timer import Timer

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    # Tells nginx and those that follow it not to hold events back.
    "X-Accel-Buffering": "no",
}


class EventStream:
    """Writes events, one a write, so that even a reader that takes reads for lines works.

    Args:
        request: whose answer this is.
        stall: seconds that one write may wait for the reader.
    """

    def __init__(self, request: web.Request, stall: float) -> None:
        self.response = web.StreamResponse(headers=_HEADERS)
        self._request = request
        self._stall = stall
        self._timer = Timer()

    @property
    def started(self) -> bool:
        """Whether the status is out, so that an error can only be an event."""
        return self.response.prepared

    async def start(self) -> None:
        """The status and the headers.

        Raises:
            PeerGone: the reader left.
        """
        try:
            await self.response.prepare(self._request)
        except ConnectionError as error:
            raise PeerGone from error

    async def send(self, event: Mapping[str, Any]) -> None:
        """One event.

        Raises:
            PeerGone: the reader left or stalled.
        """
        await self._write(b"data: " + encode_json(event) + b"\n\n")

    async def done(self) -> None:
        """The end of an answer that is whole."""
        await self._write(b"data: [DONE]\n\n")

    async def fail(self, error: Mapping[str, Any]) -> None:
        """The end of an answer that is not whole: an `error` event, no [DONE], no reuse."""
        self.response.force_close()
        with suppress(PeerGone):
            await self._write(b"event: error\ndata: " + encode_json(error) + b"\n\n")

    def close(self) -> None:
        self._timer.close()

    async def _write(self, data: bytes) -> None:
        try:
            with self._timer.limit(self._stall):
                await self.response.write(data)
        except ConnectionError as error:
            raise PeerGone from error
        except TimeoutError as error:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise PeerGone from error
