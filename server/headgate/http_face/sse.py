"""An answer as Server-Sent Events (WHATWG HTML, section 9.2) to one reader."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web

from headgate.guard import PeerGone
from headgate.http_face.translate import encode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.http_face.writer import Writer

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    # Tells nginx and those that follow it not to hold events back.
    "X-Accel-Buffering": "no",
}


class EventStream:
    """Writes events, one a write, so that even a reader that takes reads for lines works.

    Args:
        writer: to whom.
    """

    def __init__(self, writer: Writer) -> None:
        self.response = web.StreamResponse(headers=_HEADERS)
        self._writer = writer

    @property
    def started(self) -> bool:
        """Whether the status is out, so that an error can only be an event."""
        return self.response.prepared

    async def start(self) -> None:
        """The status and the headers.

        Raises:
            PeerGone: the reader left.
        """
        await self._writer.start(self.response)

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

    async def _write(self, data: bytes) -> None:
        await self._writer.write(self.response, data)
