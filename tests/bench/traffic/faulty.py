"""What an upstream can do wrong: the recorded stream that is cut, and the faults before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.test_stream_ends import FINISHED_AT, RECORDED, TEXT
from support.raw_upstream import (
    answers,
    chunked,
    delta,
    event,
    stream_head,
    streams,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.raw_upstream import Connection, Request

    Script = Callable[[Request, Connection], Awaitable[None]]

__all__ = ["CUT", "FAULTS", "FINISHED_AT", "RECORDED", "TEXT", "Cut"]

CUT = ("closed", "reset")


class Cut:
    """Sends a stream up to an offset, in pieces of a size, then closes or resets."""

    def __init__(self, stream: bytes, offset: int, size: int, *, reset: bool) -> None:
        self._data = stream[:offset]
        self._size = size
        self._reset = reset

    async def __call__(self, _: Request, connection: Connection) -> None:
        data, size = self._data, self._size
        pieces = (data[i : i + size] for i in range(0, len(data), size))
        await connection.send(stream_head(), *(chunked(piece) for piece in pieces))
        if self._reset:
            connection.reset()
        else:
            connection.writer.close()


async def _reset(_: Request, connection: Connection) -> None:
    connection.reset()


async def _timeout(_: Request, connection: Connection) -> None:
    await connection.send(stream_head())
    await connection.until_gone()
    connection.writer.close()


def _status(code: int) -> Script:
    return answers(b"{}", status=f"{code} Whatever")


FAULTS: dict[str, Script] = {
    **{str(code): _status(code) for code in (429, 500, 502, 503, 504)},
    "reset": _reset,
    "timeout": _timeout,
    "HTML": answers(b"<html>waking up</html>", media="text/html"),
    "error-in-200": streams(event(delta(role="assistant")), event({"error": "busy"})),
}
