"""Promise 2: a stream ends with exactly one `finished`, or with a status that is not OK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from support.gateway import Caller, ask, gateway, trailer
from support.raw_upstream import (
    DONE,
    END,
    Connection,
    RawUpstream,
    Request,
    chunked,
    delta,
    event,
    finish,
    stream_head,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = ["Hé", "llo ", "\u2028wörld", "\U0001f600"]
USAGE = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}}
RECORDED = b"".join(
    [
        b": ping\n\n",
        event(delta(role="assistant")),
        *(event(delta(word)).replace(b"\n\n", b"\r\n\r\n") for word in WORDS[:2]),
        *(event(delta(word)) for word in WORDS[2:]),
        event(finish()),
        event(USAGE),
        DONE,
    ]
)
TEXT = "".join(WORDS)
# Finished once the event with the finish reason has come, its blank line included.
FINISHED_AT = RECORDED.index(event(USAGE))


def offsets() -> Iterator[int]:
    """Every byte offset of the recorded stream, and the end."""
    yield from range(len(RECORDED) + 1)


class Cut:
    """Sends the recorded stream up to an offset, in pieces of a size, then closes or resets."""

    def __init__(self, offset: int, size: int, *, reset: bool) -> None:
        self.offset = offset
        self.size = size
        self.reset = reset

    async def __call__(self, _: Request, connection: Connection) -> None:
        data = RECORDED[: self.offset]
        pieces = [data[i : i + self.size] for i in range(0, len(data), self.size)]
        await connection.send(stream_head(), *(chunked(piece) for piece in pieces))
        if self.reset:
            connection.reset()
        else:
            connection.writer.close()


async def outcome(caller: Caller) -> tuple[str, list[str], grpc.StatusCode, str | None]:
    """Text, kinds of events, status and reason of one stream."""
    words: list[str] = []
    seen: list[str] = []
    try:
        async for received in caller.stub.StreamChat(ask(), timeout=20):
            seen.append(received.WhichOneof("event") or "")
            words.append(received.delta.content)
    except grpc.aio.AioRpcError as error:
        return "".join(words), seen, error.code(), trailer(error, "headgate-reason")
    return "".join(words), seen, grpc.StatusCode.OK, None


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_cut_at_every_byte(size: int, reset: bool) -> None:
    """Cut before the finish: never OK, never `finished`; after it: OK. Always a prefix."""
    scripts = [Cut(offset, size, reset=reset) for offset in offsets()]
    once = {"max_attempts": 1}
    async with RawUpstream(*scripts) as upstream, gateway(upstream.url, retry=once) as caller:
        for offset in offsets():
            text, seen, code, reason = await outcome(caller)
            assert TEXT.startswith(text), offset
            assert seen.count("finished") == (code is grpc.StatusCode.OK), offset
            if offset < FINISHED_AT:
                expected = (
                    (grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED")
                    if "delta" in seen
                    else (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
                )
                assert (code, reason) == expected, offset
            elif not reset:
                # A reset may take away what the socket had not handed over yet; a close may not.
                assert (code, text) == (grpc.StatusCode.OK, TEXT), offset


async def test_a_whole_stream_is_ok_with_every_chunking() -> None:
    """However the bytes are split, the text and the one `finished` are the same."""
    for size in (1, 2, 3, 5, 64, 100_000):

        async def script(_: Request, connection: Connection, size: int = size) -> None:
            pieces = [RECORDED[i : i + size] for i in range(0, len(RECORDED), size)]
            await connection.send(stream_head(), *(chunked(piece) for piece in pieces), END)

        async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
            text, seen, code, _ = await outcome(caller)
        assert (text, seen[-1], code) == (TEXT, "finished", grpc.StatusCode.OK)


async def test_a_missing_end_after_the_finish_is_ok() -> None:
    """No [DONE], no usage, no end of the chunks: the answer was whole before."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("a")) + event(finish())))
        connection.writer.close()

    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        text, seen, code, _ = await outcome(caller)
    assert (text, seen[-1], code) == ("a", "finished", grpc.StatusCode.OK)


async def test_an_idle_stream_is_interrupted() -> None:
    """An upstream that falls silent after the first delta ends the stream with a reason."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("a"))))
        await connection.until_gone()

    timers = {"idle_timeout": 0.1}
    async with RawUpstream(script) as upstream, gateway(upstream.url, upstream=timers) as caller:
        events, error = await caller.interrupted()

    assert [e.WhichOneof("event") for e in events] == ["started", "delta"]
    assert error.code() is grpc.StatusCode.ABORTED
    assert "idle timeout" in (error.details() or "")


async def test_pings_keep_a_silent_stream_alive() -> None:
    """A comment is a sign of life after the first delta, and no content before it."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("a"))))
        for _ping in range(6):
            await connection.send(chunked(b": ping\n\n"))
            await upstream.until(lambda: True)
        await connection.send(chunked(event(delta("b")) + event(finish()) + DONE), END)

    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        text, _, code, _ = await outcome(caller)
    assert (text, code) == ("ab", grpc.StatusCode.OK)
