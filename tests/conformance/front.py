"""One address for several gateways, as a load balancer gives them: bytes pass through as they are.

Who connects is led to the gateway of the moment; who is connected stays where he is.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

READ_BYTES = 65536


class Front:
    """Listens on a free port; an asynchronous context manager."""

    def __init__(self) -> None:
        self._port = 0
        self._running: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def lead_to(self, port: int) -> None:
        """From now on."""
        self._port = port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _connected(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        # Nobody listens, or one of the two has gone; the other one sees it.
        with suppress(OSError, asyncio.CancelledError):
            far, to_far = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pass_on(near, to_far))
                    both.create_task(_pass_on(far, to_near))
            except* OSError:
                pass
            finally:
                to_far.close()
        to_near.close()
        self._running.discard(task)


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(READ_BYTES):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
