"""Watchers of the health service that never read, in HTTP/2 by hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from support.http2 import ACK, PREFACE, SETTINGS, frame, head, message, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WATCH = "/grpc.health.v1.Health/Watch"


@asynccontextmanager
async def watchers(address: str, count: int, *, window: int, each: int = 50) -> AsyncIterator[None]:
    """So many watchers on as few connections, of which nobody reads a byte.

    Args:
        address: HOST:PORT.
        count: watchers in all.
        window: what a watcher lets the server send, bytes; 0: not even its first word.
        each: watchers on one connection.
    """
    host, _, port = address.rpartition(":")
    writers = []
    for first in range(0, count, each):
        reader, writer = await asyncio.open_connection(host, int(port), limit=1)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(PREFACE)
        writer.write(settings(window=window) + frame(SETTINGS, ACK, 0, b""))
        for number in range(min(each, count - first)):
            stream = 1 + 2 * number
            writer.write(head(stream, WATCH, address) + message(stream, b""))
        writers.append(writer)
    try:
        yield
    finally:
        for writer in writers:
            writer.transport.abort()
