"""The reads of an attempt, how long each may take, and its end."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from itertools import repeat
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from headgate import wire
from headgate.config import UpstreamSettings
from headgate.errors import (
    HeadgateError,
    StreamInterrupted,
    UpstreamProtocol,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
    WaitTooLong,
)
from headgate.http_upstream import HttpUpstream
from headgate.http_upstream.attempt import (
    ERROR_BODY_TIMEOUT,
    MAX_ERROR_BODY,
    TAIL_TIMEOUT,
    Attempt,
)
from headgate.http_upstream.report import AttemptReport, unheard
from headgate.secrets import Secrets
from headgate.upstream import Call, Gate
from support.virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from headgate.upstream import Delta

WHOLE = (
    b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


class Held(httpx.AsyncByteStream):
    """A whole answer whose body does not end."""

    complete = False

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.closed = False
        self.pieces = [WHOLE]

    def limit(self, until: float) -> None:
        pass

    async def read(self) -> bytes:
        if not self.pieces:
            self.waiting.set()
            await asyncio.Event().wait()
        return self.pieces.pop()

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


@pytest.mark.parametrize(
    ("media", "pieces"),
    [
        ("", [b"da", b"ta", WHOLE[4:]]),
        ("text/plain", [b"\xef", b"\xbb\xbf\n", b"d", WHOLE[1:]]),
        ("Text/Event-Stream", [b"x: y\n", WHOLE]),
        ("application/json", [b"\xef\xbb", b"\xbf", b'{"choices":[{"message":{"content":"a"}}]}']),
    ],
)
async def test_a_start_that_comes_in_pieces(media: str, pieces: list[bytes]) -> None:
    """What an answer is shows by its first bytes, however they are cut."""
    body = Held()
    body.pieces = [b"", *reversed(pieces)]

    async def send(_: Call, __: Gate) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": media}, stream=body)

    call = Call(request=wire.ChatRequest(messages=[], stream=True))
    attempt = Attempt(send, call, UpstreamSettings(url="http://127.0.0.1:1/"), Secrets([]))
    first = await attempt.first()
    assert [delta.content for delta in first.deltas] == ["a"]
    await attempt.close()


class Offering(Held):
    """Answers with a first delta, then offers what the test gives it, while a read waits."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = [event("a")]
        self.take: Callable[[bytes], bool] | None = None
        self.more: asyncio.Queue[bytes] = asyncio.Queue()
        self.limits: list[float] = []

    def limit(self, until: float) -> None:
        self.limits.append(until)

    def offer(self, take: Callable[[bytes], bool] | None) -> None:
        self.take = take

    async def read(self) -> bytes:
        return self.pieces.pop() if self.pieces else await self.more.get()

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
        if encoding != "identity":
            head["content-encoding"] = encoding
        return httpx.Response(200, headers=head, stream=body)

    if encoding != "identity":
        body.pieces = [gzip.compress(event("a"))]

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


PING = b": ping\n\n"
KEY = "sk-0123456789abcdef"


class Paced(httpx.AsyncByteStream):
    """Each piece comes after a pause, by the loop's clock; behind the last one is silence.

    Args:
        pieces: seconds, and what comes then.

    Attributes:
        reads: how many pieces were read.
    """

    def __init__(self, pieces: Iterable[tuple[float, bytes]]) -> None:
        self.reads = 0
        self._pieces = iter(pieces)
        self._until: float | None = None

    def limit(self, until: float) -> None:
        self._until = until

    async def read(self) -> bytes:
        async with asyncio.timeout_at(self._until):
            for pause, data in self._pieces:
                await asyncio.sleep(pause)
                self.reads += 1
                return data
            await asyncio.Event().wait()
        raise AssertionError("waits for ever")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.read()


def attempt(body: Paced, *, status: int = 200, **settings: Any) -> Attempt:
    """One that is answered at once with this status and body."""

    async def send(_: Call, __: Gate) -> httpx.Response:
        media = "text/event-stream" if status == 200 else "text/plain"
        return httpx.Response(status, headers={"content-type": media}, stream=body)

    call = Call(request=wire.ChatRequest(messages=[], stream=True))
    upstream = UpstreamSettings(url="http://127.0.0.1:1/", **settings)
    return Attempt(send, call, upstream, Secrets([KEY]))


async def read(attempt: Attempt) -> tuple[str, HeadgateError | None]:
    """The text of the answer, and the error that it ends with, if it does."""
    words: list[str] = []
    try:
        async for chunk in attempt.chunks(await attempt.first()):
            words += [delta.content for delta in chunk.deltas]
    except HeadgateError as error:
        return "".join(words), error
    finally:
        await attempt.close()
    return "".join(words), None


def test_comments_keep_a_silent_stream_alive() -> None:
    """Each of them is a sign of life, so the idle timer starts anew; silence is none."""

    async def main() -> None:
        pings = [(0.1, PING)] * 20
        alive = Paced([(0, event("a")), *pings, (0.1, event("b", finish_reason="stop"))])
        assert await read(attempt(alive, idle_timeout=0.3)) == ("ab", None)
        silent = Paced([(0, event("a")), *pings, (0.4, event("b", finish_reason="stop"))])
        text, error = await read(attempt(silent, idle_timeout=0.3))
        assert text == "a"
        assert isinstance(error, StreamInterrupted)
        assert error.metadata["cause"] == "idle_timeout"

    run_virtually(main())


def test_the_total_timer_goes_on_behind_the_first_delta() -> None:
    """An answer that never ends is cut, however lively it is."""

    async def main() -> None:
        endless = Paced((1, event("a")) for _ in repeat(None))
        text, error = await read(attempt(endless, total_timeout=9.5, idle_timeout=2))
        assert text == "a" * 9
        assert isinstance(error, StreamInterrupted)
        assert error.metadata["cause"] == "total_timeout"

    run_virtually(main())


@pytest.mark.parametrize(("late", "tokens"), [(TAIL_TIMEOUT - 1, 4), (TAIL_TIMEOUT + 1, None)])
def test_nobody_waits_long_for_what_comes_behind_the_finish(
    late: float, tokens: int | None
) -> None:
    """The usage may come a little later; the answer is whole without it."""

    async def main() -> None:
        usage = b'data: {"choices":[],"usage":{"total_tokens":4}}\n\n'
        tail = attempt(Paced([(0, event("a", finish_reason="stop")), (late, usage)]))
        assert await read(tail) == ("a", None)
        said = tail.finished_report().usage
        assert (said and said.total_tokens) == tokens

    run_virtually(main())


def test_a_refusal_that_trickles_is_not_waited_for() -> None:
    """What came of its body within ERROR_BODY_TIMEOUT is what it says."""

    async def main() -> None:
        trickle = Paced((1, b"no ") for _ in repeat(None))
        _, error = await read(attempt(trickle, status=400))
        assert isinstance(error, UpstreamRejected)
        assert trickle.reads < ERROR_BODY_TIMEOUT

    run_virtually(main())


def test_a_refusal_is_not_read_beyond_its_bound() -> None:
    """MAX_ERROR_BODY, and the piece that goes beyond it."""

    async def main() -> None:
        flood = Paced([(0, b"x" * 16_384)] * 1000)
        _, error = await read(attempt(flood, status=400))
        assert isinstance(error, UpstreamRejected)
        assert flood.reads == MAX_ERROR_BODY // 16_384 + 1

    run_virtually(main())


@pytest.mark.parametrize("begun", [False, True])
def test_secrets_are_concealed_before_and_behind_the_first_delta(begun: bool) -> None:
    """An upstream's own words may quote the key that it was sent."""

    async def main() -> None:
        fault = {"error": {"message": f"bad key {KEY}", "code": 400}}
        pieces = [(0.0, event("a"))] * begun
        said = Paced([*pieces, (0.1, b"data: %b\n\n" % msgspec.json.encode(fault))])
        text, error = await read(attempt(said))
        assert text == "a" * begun
        assert error is not None
        assert "bad key" in error.message
        assert KEY not in error.message

    run_virtually(main())


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_body_that_decodes_to_very_much(status: int, stream: bool) -> None:
    """Sizes are looked at while it is decoded: 50 MB in one read take no such memory."""
    body = Offering()
    body.pieces = [gzip.compress(b'{"error":"' + bytes(50_000_000) + b'"}')]

    async def send(_: Call, __: Gate) -> httpx.Response:
        return httpx.Response(status, headers={"content-encoding": "gzip"}, stream=body)

    call = Call(request=wire.ChatRequest(messages=[], stream=stream))
    settings = UpstreamSettings(url="http://127.0.0.1:1/", max_response_bytes=2**20)
    attempt = Attempt(send, call, settings, Secrets([]))
    tracemalloc.start()
    try:
        with pytest.raises(UpstreamProtocol if status == 200 else UpstreamUnavailable):
            await attempt.first()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**22


class Gatekeeper:
    """The throttle's gate, which opens after so many seconds, or never."""

    def __init__(self, seconds: float, refusal: Exception | None = None, *, asked: int = 1) -> None:
        self._seconds = seconds
        self._refusal = refusal
        self._left = asked

    async def connected(self) -> bool:
        await asyncio.sleep(self._seconds)
        if self._refusal is not None:
            raise self._refusal
        self._left -= 1
        return self._left == 0

    def written(self) -> None:
        pass


class Behind(httpx.AsyncBaseTransport):
    """Connects in a second, and answers with this body in another one."""

    def __init__(self, body: Offering) -> None:
        self._body = body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(1)
        while not await request.extensions["gate"].connected():
            pass
        await asyncio.sleep(1)
        return httpx.Response(200, stream=self._body)


def upstream_behind(
    body: Offering, total_timeout: float = 10, hear: Callable[[AttemptReport], None] = unheard
) -> HttpUpstream:
    settings = UpstreamSettings(
        url="http://127.0.0.1:1/", total_timeout=total_timeout, idle_timeout=30
    )
    upstream = HttpUpstream(settings, hear=hear)
    upstream._transport = Behind(body)  # type: ignore[assignment]
    return upstream


def test_a_wait_at_the_gate_is_on_no_timer() -> None:
    """Neither the total timer counts it, nor what the call has spent for its next attempt."""

    async def main() -> None:
        body = Offering()
        call = Call(request=wire.ChatRequest(messages=[], stream=True), gate=Gatekeeper(50))
        async with upstream_behind(body).open(call) as chunks:
            await anext(chunks)
            body.more.put_nowait(event("b", finish_reason="stop"))
            await anext(chunks)
        assert body.limits[0] == pytest.approx(60, abs=0.1)
        assert call.spent == pytest.approx(2, abs=0.1)

    run_virtually(main())


def test_a_gate_may_be_asked_more_than_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report tells when there was a connection, and when the request was let through."""

    async def main() -> None:
        monkeypatch.setattr("time.monotonic", asyncio.get_running_loop().time)
        gate, reports = Gatekeeper(20, asked=3), list[AttemptReport]()
        call = Call(request=wire.ChatRequest(messages=[], stream=True), gate=gate)
        async with upstream_behind(Offering(), hear=reports.append).open(call) as chunks:
            await anext(chunks)
        (report,) = reports
        assert (report.connected, report.written) == pytest.approx((1, 61), abs=0.1)
        assert call.spent == pytest.approx(2, abs=0.1)

    run_virtually(main())


@pytest.mark.parametrize("stream", [True, False])
def test_the_total_counts_connecting(*, stream: bool) -> None:
    """And the error names it, whichever timer would have been next."""

    async def main() -> None:
        call = Call(request=wire.ChatRequest(messages=[], stream=stream), gate=Gatekeeper(50))
        with pytest.raises(UpstreamTimeout) as caught:
            async with upstream_behind(Offering(), total_timeout=1.5).open(call):
                pass
        assert call.spent == pytest.approx(1.5, abs=0.1)
        assert caught.value.metadata["timeout"] == "total"

    run_virtually(main())


@pytest.mark.parametrize("complete", [True, False])
def test_the_total_holds_for_a_slow_reader(*, complete: bool) -> None:
    """One who always finds something to read; what has come whole is his, however late he is."""

    async def main() -> None:
        body = Offering()
        body.complete = complete
        call = Call(request=wire.ChatRequest(messages=[], stream=True))
        async with upstream_behind(body).open(call) as chunks:
            await anext(chunks)
            body.more.put_nowait(event("b", finish_reason="stop"))
            await asyncio.sleep(60)
            if complete:
                assert (await anext(chunks)).finishes == {0: "stop"}
            else:
                with pytest.raises(StreamInterrupted) as caught:
                    await anext(chunks)
                assert isinstance(caught.value.failure, UpstreamTimeout)

    run_virtually(main())


def test_a_wait_at_a_gate_that_does_not_open() -> None:
    """It is no time of the attempt's either."""

    async def main() -> None:
        gate = Gatekeeper(50, WaitTooLong("too late", retry_after=1.0))
        call = Call(request=wire.ChatRequest(messages=[], stream=True), gate=gate)
        with pytest.raises(WaitTooLong):
            async with upstream_behind(Offering()).open(call):
                pass
        assert call.spent == pytest.approx(1, abs=0.1)

    run_virtually(main())
