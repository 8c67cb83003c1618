"""What the upstream says, where a test wants more than words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.raw_upstream import (
    DONE,
    END,
    Connection,
    Request,
    chunked,
    delta,
    event,
    finish,
    stream_head,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    Script = Callable[[Request, Connection], Awaitable[None]]


def in_two(first: str, rest: str, go_on: asyncio.Event) -> Script:
    """An answer that pauses in the middle until it is told to go on."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta(first))))
        await go_on.wait()
        end = [event(delta(rest)), event(finish()), DONE]
        await connection.send(*(chunked(data) for data in end), END)

    return script


async def silent(_: Request, connection: Connection) -> None:
    """Nothing at all, until the reader has gone."""
    await connection.until_gone()


async def endless(_: Request, connection: Connection) -> None:
    """An answer that has begun and goes on for as long as somebody listens."""
    await connection.send(stream_head(), chunked(event(delta("Once upon a time"))))
    await connection.until_gone()


async def cut(_: Request, connection: Connection) -> None:
    """An answer that breaks off."""
    await connection.send(stream_head(), chunked(event(delta("Once upon"))))
    connection.reset()
