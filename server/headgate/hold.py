"""Fewer and larger Chunks for a caller that asked for them (`stream_options.delta_interval`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headgate.errors import HeadgateError
from headgate.split import MAX_TEXT_BYTES, length
from headgate.upstream import Chunk, extend

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


async def hold(chunks: AsyncIterator[Chunk], interval: float) -> AsyncGenerator[Chunk, None]:
    """The same Chunks joined, at least `interval` seconds apart; the first comes at once.

    What is held goes out before an error is raised, and early when it grows past one message.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    held: Chunk | None = None
    size = 0
    read: asyncio.Task[Chunk | None] | None = None
    try:
        while True:
            read = read or asyncio.ensure_future(_next(chunks))
            wait = None if held is None else max(0.0, due - loop.time())
            await asyncio.wait({read}, timeout=wait)
            if read.done():
                chunk, read = read.result(), None
                if chunk is None:
                    break
                size += sum(map(length, chunk.deltas))
                held = _joined(held, chunk)
            if held is not None and (loop.time() >= due or size >= MAX_TEXT_BYTES):
                ready, held, size = held, None, 0
                due = loop.time() + interval
                yield ready
    except HeadgateError:
        if held is not None:
            yield held
        raise
    finally:
        if read is not None:
            read.cancel()
            await asyncio.wait({read})
    if held is not None:
        yield held


async def _next(chunks: AsyncIterator[Chunk]) -> Chunk | None:
    return await anext(chunks, None)


def _joined(held: Chunk | None, chunk: Chunk) -> Chunk:
    if held is None:
        return chunk
    extend(held, chunk)
    return held
