"""The end of an attempt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from headgate import wire
from headgate.config import UpstreamSettings
from headgate.http_upstream.attempt import Attempt
from headgate.secrets import Secrets
from headgate.upstream import Call, Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WHOLE = (
    b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


class Held(httpx.AsyncByteStream):
    """A whole answer whose body does not end."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.closed = False
        self._pieces = [WHOLE]

    def limit(self, until: float) -> None:
        pass

    async def read(self) -> bytes:
        if not self._pieces:
            self.waiting.set()
            await asyncio.Event().wait()
        return self._pieces.pop()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield await self.read()

    async def aclose(self) -> None:
        self.closed = True


async def test_who_is_cancelled_at_the_very_end_leaves_no_connection() -> None:
    """The caller goes while the end of the body is waited for."""
    body = Held()

    async def send(_: Call, __: Gate) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)

    call = Call(request=wire.ChatRequest(messages=[], stream=True))
    attempt = Attempt(send, call, UpstreamSettings(url="http://127.0.0.1:1/"), Secrets([]))
    first = await attempt.first()
    assert first.finishes == {0: "stop"}
    closing = asyncio.create_task(attempt.close())
    await body.waiting.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert body.closed
