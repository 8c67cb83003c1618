"""The end of an attempt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from httpx._decoders import IdentityDecoder

from headgate import wire
from headgate.config import UpstreamSettings
from headgate.http_upstream.attempt import Attempt
from headgate.secrets import Secrets
from headgate.upstream import Call, Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headgate.upstream import Delta

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


class Offering(Held):
    """Answers with a first delta, then offers what the test gives it, while a read waits."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces = [event("a")]
        self.take: Callable[[bytes], bool] | None = None
        self.more: asyncio.Queue[bytes] = asyncio.Queue()
        self.limits: list[float] = []

    def limit(self, until: float) -> None:
        self.limits.append(until)

    def offer(self, take: Callable[[bytes], bool] | None) -> None:
        self.take = take

    async def read(self) -> bytes:
        return self._pieces.pop() if self._pieces else await self.more.get()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.read()


class Listener:
    """Takes all but the words that it is told not to."""

    def __init__(self, *unwanted: str) -> None:
        self.taken: list[str] = []
        self._unwanted = unwanted

    def take(self, delta: Delta) -> bool:
        if delta.content in self._unwanted:
            return False
        self.taken.append(delta.content)
        return True


def event(content: str, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, **fields}
    return b"data: %b\n\n" % msgspec.json.encode({"choices": [choice]})


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_lone_deltas_go_to_the_taker(encoding: str) -> None:
    """All else comes as Chunks, and so does everything of a body that has to be decoded."""
    body, listener = Offering(), Listener("b")

    async def send(_: Call, __: Gate) -> httpx.Response:
        head = {"content-type": "text/event-stream"}
        response = httpx.Response(200, headers=head, stream=body)
        if encoding != "identity":
            response.headers["content-encoding"] = encoding
            response._decoder = IdentityDecoder()
        return response

    call = Call(request=wire.ChatRequest(messages=[], stream=True), taker=listener)
    attempt = Attempt(send, call, UpstreamSettings(url="http://127.0.0.1:1/"), Secrets([]))
    chunks = attempt.chunks(await attempt.first())
    assert [delta.content for delta in (await anext(chunks)).deltas] == ["a"]
    reading = asyncio.create_task(anext(chunks))
    await asyncio.sleep(0)
    if encoding != "identity":
        assert body.take is None
        reading.cancel()
        return
    assert body.take is not None
    taken = {
        "lone": body.take(event("c")),
        "unwanted": body.take(event("b")),
        "two": body.take(event("d") + event("e")),
        "half": body.take(event("f")[:-1]),
        "the finish": body.take(event("g", finish_reason="stop")),
        "logprobs": body.take(event("h", logprobs={"content": [{"token": "h", "logprob": 0}]})),
        "no JSON": body.take(b"data: {\n\n"),
        "a comment": body.take(b": ping\n\n"),
    }
    assert [name for name, was in taken.items() if was] == ["lone"]
    assert listener.taken == ["c"]
    assert len(body.limits) == 2  # of the read that waits, and anew of the delta that was taken
    body.more.put_nowait(event("g", finish_reason="stop"))
    assert (await reading).finishes == {0: "stop"}
    await chunks.aclose()
    assert body.take is None
