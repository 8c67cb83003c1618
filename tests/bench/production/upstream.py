"""The upstream of the production bench, a process of its own.

It prints its port and ends with its input. The model named `held` streams words until
`POST /release`; every other one answers at once.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from support.raw_upstream import (
    DONE,
    END,
    RawUpstream,
    chunked,
    delta,
    event,
    finish,
    response,
    says,
    stream_head,
)

if TYPE_CHECKING:
    from support.raw_upstream import Connection, Request

TICK = 0.1

well = says("well")


class Upstream:
    """Streams that last until they are told to finish."""

    def __init__(self) -> None:
        self._released = asyncio.Event()

    async def __call__(self, request: Request, connection: Connection) -> None:
        if request.path == "/release":
            self._released.set()
            await connection.send(response())
        elif request.json.get("model") == "held":
            await self._stream(connection)
        else:
            await well(request, connection)

    async def _stream(self, connection: Connection) -> None:
        await connection.send(stream_head())
        while not self._released.is_set():
            await connection.send(chunked(event(delta("word "))))
            await asyncio.sleep(TICK)
        await connection.send(chunked(event(finish()) + DONE), END)


async def main() -> None:
    async with RawUpstream(Upstream()) as upstream:
        sys.stdout.write(f"{upstream.port}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
