"""One end of the socket between the supervisor and a worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from headgate.workers.messages import line

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import msgspec

    from headgate.workers.messages import ToSupervisor, ToWorker

Heard = TypeVar("Heard")


class Link(asyncio.Protocol, Generic[Heard]):
    """Messages as lines; a lost link is the death of the other end, however it died.

    Args:
        decoder: of what the other end says.
        hear: called with each message.
        lose: called when the other end is gone, and all that it said was heard.

    Attributes:
        lost: set then.
    """

    def __init__(
        self,
        decoder: msgspec.json.Decoder[Heard],
        hear: Callable[[Heard], None],
        lose: Callable[[], None] = lambda: None,
    ) -> None:
        self.lost = asyncio.Event()
        self._decoder = decoder
        self._hear = hear
        self._lose = lose
        self._begun = b""
        self._transport: asyncio.WriteTransport | None = None

    async def connect(self, end: socket.socket) -> None:
        """Take over one end of a socket pair."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=end)

    def send(self, message: ToWorker | ToSupervisor) -> None:
        """Never waits; to an end that is gone it says nothing."""
        if self._transport is not None and not self.lost.is_set():
            self._transport.write(line(message))

    async def aclose(self) -> None:
        """Hang up when all is written."""
        if self._transport is not None:
            self._transport.close()
            await self.lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._begun = (self._begun + data).split(b"\n")
        for message in lines:
            self._hear(self._decoder.decode(message))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as Protocol has it
        self.lost.set()
        self._lose()
