"""One write under way while its writer goes on: nobody is woken only to hear that it is done."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from headgate.outbox import Outbox


class WriteAhead:
    """Starts a write at once, or soon, and waits for it when the next one is due.

    A task that awaits each write is woken twice a message, by the message and by the word that it
    has left. Here the second costs nothing unless somebody needs it. At most one write is under
    way, so a reader that stops reading still stops the writer.

    Args:
        outbox: begins what is to be written soon, with that of others.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._planned: Coroutine[Any, Any, Any] | None = None
        self._write: Coroutine[Any, Any, Any] | None = None
        self._left: asyncio.Future[Any] | None = None
        self._fault: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether the next write would start at once."""
        return self._planned is None and (self._left is None or self._left.done())

    def start(self, write: Coroutine[Any, Any, Any]) -> None:
        """Run the write up to where it waits; only when the one before it was settled.

        Raises:
            Exception: what the write raises at once.
        """
        try:
            left = write.send(None)
        except StopIteration:
            return
        left._asyncio_future_blocking = False  # noqa: SLF001 - as a task does that waits for it
        self._write, self._left = write, left

    def start_soon(self, write: Coroutine[Any, Any, Any]) -> None:
        """As `start`, with the next writes of other streams; what it raises is heard by `end`."""
        self._planned = write
        self._outbox.add(self._begin)

    def end(self) -> None:
        """Take note that a write that is `done` is through.

        Raises:
            Exception: what the write raises; once.
        """
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        write, self._write, self._left = self._write, None, None
        if write is not None:
            self.start(write)

    def end_well(self) -> bool:
        """As `end`, if it is `done`, and whether all is well; a fault is kept for `end`."""
        if not self.done:
            return False
        try:
            self.end()
        except Exception as fault:  # noqa: BLE001 - its writer meets it
            self._fault = fault
        return self._fault is None

    async def settle(self) -> None:
        """Begin what is planned, and wait until the write is through; raises as `end`."""
        self._begin()
        while self._left is not None:
            await _until_done(self._left)
            self.end()
        self.end()

    def drop(self) -> None:
        """Nobody waits for the write any more; it ends by itself, since gRPC has to free it.

        One that is planned begins: what comes after it, most often a status, must not overtake it.
        """
        self._begin()
        write, left = self._write, self._left
        self._write = self._left = None
        if write is not None and left is not None:
            left.add_done_callback(lambda _: _finish(write))

    def _begin(self) -> None:
        write, self._planned = self._planned, None
        if write is None:
            return
        try:
            self.start(write)
        except (Exception, asyncio.CancelledError) as fault:  # noqa: BLE001 - its writer meets it
            self._fault = fault


def _finish(write: Coroutine[Any, Any, Any]) -> None:
    with suppress(StopIteration, asyncio.CancelledError, Exception):
        write.send(None)


async def _until_done(future: asyncio.Future[Any]) -> None:
    """As awaiting it, but whoever is cancelled while it waits does not cancel the future."""
    waiter = future.get_loop().create_future()

    def wake(_: object) -> None:
        if not waiter.done():
            waiter.set_result(None)

    future.add_done_callback(wake)
    try:
        await waiter
    finally:
        future.remove_done_callback(wake)
