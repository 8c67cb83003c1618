"""One request being answered: what a behaviour can say, and when it is told to stop."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from support.raw_upstream import DONE, END, chunked, event, response, stream_head
from whole import whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from support.raw_upstream import Connection

# One request to a connection: what is read behind it can then only be the client's leaving.
CLOSE = "Connection: close"


class Gone(Exception):
    """The client closed its end before it had everything."""


class Talk:
    """What a behaviour is given.

    Attributes:
        body: the request's JSON.
        number: which attempt of its call this is, from 1.
    """

    def __init__(
        self,
        body: dict[str, Any],
        number: int,
        connection: Connection,
        speaking: asyncio.Event,
        notify: Callable[[], Awaitable[None]],
    ) -> None:
        self.body = body
        self.number = number
        self._connection = connection
        self._speaking = speaking
        self._notify = notify

    @property
    def streams(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.body.get("stream", True))

    async def unless_gone(self, behaviour: Callable[[Talk], Awaitable[None]]) -> None:
        """Run the behaviour until it is over.

        Raises:
            Gone: the client went first.
        """
        work = asyncio.ensure_future(behaviour(self))
        leaving = asyncio.ensure_future(self._connection.until_gone())
        try:
            await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise Gone
            await work
        finally:
            work.cancel()
            leaving.cancel()
            await asyncio.gather(work, leaving, return_exceptions=True)

    async def send(self, *parts: bytes) -> None:
        """Each part as one write of its own."""
        await self._connection.send(*parts)
        self._speaking.set()
        await self._notify()

    async def head(self, media: str = "text/event-stream") -> None:
        """Begin an event stream."""
        await self.send(stream_head(media=media, headers=[CLOSE]))

    async def events(self, *values: Any) -> None:
        """Each value as one event, in one write of its own."""
        await self.raw(*(event(value) for value in values))

    async def raw(self, *pieces: bytes) -> None:
        """Any bytes as the body of the stream, each piece one HTTP chunk."""
        await self.send(*(chunked(piece) for piece in pieces))

    async def done(self) -> None:
        """End the stream properly."""
        await self.send(chunked(DONE), END)

    async def end(self) -> None:
        """End the body of the stream, without a word."""
        await self.send(END)

    async def answer(self, values: Iterable[dict[str, Any]]) -> None:
        """These events as a stream, or put together for a request that wants no stream."""
        if not self.streams:
            await self.reply(json.dumps(whole(values)).encode())
            return
        await self.head()
        await self.events(*values)
        await self.done()

    async def reply(
        self,
        body: bytes,
        *,
        status: str = "200 OK",
        media: str = "application/json",
        headers: Iterable[str] = (),
    ) -> None:
        """One whole response."""
        await self.send(response(body, status=status, media=media, headers=[*headers, CLOSE]))

    async def hang(self) -> None:
        """Say nothing until the client goes."""
        await asyncio.get_running_loop().create_future()

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        self._connection.reset()
