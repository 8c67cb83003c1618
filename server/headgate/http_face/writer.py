"""Writing to one reader of the HTTP face, who may leave, or not read."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web

from headgate.guard import PeerGone
from headgate.timer import Timer

PIECE = 64 * 1024
"""Bytes that are left to the system to deliver, whatever the reader does."""


class Writer:
    """Writes what a request is answered with, each piece within a limit.

    Args:
        request: whose answer this is.
        stall: seconds that one piece may wait for the reader.
    """

    def __init__(self, request: web.Request, stall: float) -> None:
        self._request = request
        self._stall = stall
        self._timer = Timer()

    async def start(self, response: web.StreamResponse) -> None:
        """The status and the headers.

        Raises:
            PeerGone: the reader left.
        """
        try:
            await response.prepare(self._request)
        except ConnectionError as error:
            raise PeerGone from error

    async def write(self, response: web.StreamResponse, data: bytes | memoryview) -> None:
        """A piece of the body.

        Raises:
            PeerGone: the reader left or stalled.
        """
        try:
            with self._timer.limit(self._stall):
                await response.write(data)
        except ConnectionError as error:
            raise PeerGone from error
        except TimeoutError as error:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise PeerGone from error

    async def deliver(self, response: web.StreamResponse) -> web.StreamResponse:
        """Send a long answer that is there as a whole; others are returned as they are.

        aiohttp would send it behind the handler: no drain would wait for that, and a reader that
        does not read would have it kept for ever.
        """
        body = response.body if isinstance(response, web.Response) else None
        if not isinstance(body, bytes) or len(body) <= PIECE:
            return response
        answer = web.StreamResponse(status=response.status, headers=response.headers)
        answer.content_length = len(body)
        pieces = memoryview(body)
        with suppress(PeerGone):
            await self.start(answer)
            for at in range(0, len(body), PIECE):
                await self.write(answer, pieces[at : at + PIECE])
        return answer

    def close(self) -> None:
        self._timer.close()
