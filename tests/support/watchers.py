"""Watchers of the health service that never read, in HTTP/2 by hand (RFC 9113)."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: str, value: str) -> bytes:
    """A header field without indexing (RFC 7541, section 6.2.2)."""
    words = (name.encode(), value.encode())
    return b"\0" + b"".join(bytes([len(word)]) + word for word in words)


def _watch(stream: int, authority: str) -> bytes:
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Watch",
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(_literal(name, value) for name, value in headers.items())
    empty = b"\0" + struct.pack(">I", 0)
    return _frame(HEADERS, END_HEADERS, stream, block) + _frame(DATA, END_STREAM, stream, empty)


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
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        writer.write(_frame(SETTINGS, 0, 0, settings) + _frame(SETTINGS, ACK, 0, b""))
        for number in range(min(each, count - first)):
            writer.write(_watch(1 + 2 * number, address))
        writers.append(writer)
    try:
        yield
    finally:
        for writer in writers:
            writer.transport.abort()
