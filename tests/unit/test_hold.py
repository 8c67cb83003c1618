"""Fewer and larger Chunks: nothing is lost, nothing comes late that must not."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from headgate import wire
from headgate.answer import delta_event
from headgate.errors import StreamInterrupted
from headgate.hold import hold
from headgate.merge import merge
from headgate.split import MAX_TEXT_BYTES
from headgate.upstream import Chunk, Delta, Head

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HOUR = 3600.0


def chunk(content: str) -> Chunk:
    return Chunk(deltas=[Delta(content=content)], finishes={}, extra={})


class Source:
    """Chunks that come when the test says so; an exception in their place is raised."""

    def __init__(self, *ready: Chunk | Exception) -> None:
        self.queue: asyncio.Queue[Chunk | Exception | None] = asyncio.Queue()
        self.closed = asyncio.Event()
        for item in ready:
            self.queue.put_nowait(item)

    def end(self) -> None:
        self.queue.put_nowait(None)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        try:
            while (item := await self.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed.set()


def text(said: Chunk) -> str:
    return "".join(delta.content for delta in said.deltas)


async def test_the_first_comes_at_once_and_the_rest_together() -> None:
    """Within the interval everything is joined; the end does not wait for it."""
    source = Source(*(chunk(word) for word in "abcd"))
    source.end()
    assert [text(c) async for c in hold(source.chunks(), HOUR)] == ["a", "bcd"]


async def test_what_is_held_goes_out_when_the_interval_is_over() -> None:
    """An upstream that falls silent does not keep back what it said."""
    source = Source(chunk("a"), chunk("b"))
    held = hold(source.chunks(), 0.01)
    async with aclosing(held):
        assert text(await anext(held)) == "a"
        assert text(await anext(held)) == "b"
        source.queue.put_nowait(chunk("c"))
        source.end()
        assert [text(c) async for c in held] == ["c"]


async def test_an_error_comes_behind_what_was_held() -> None:
    """The caller gets every delta that came before the cut."""
    source = Source(chunk("a"), chunk("b"), chunk("c"), StreamInterrupted("cut", cause="cut"))
    held = hold(source.chunks(), HOUR)
    assert [text(await anext(held)), text(await anext(held))] == ["a", "bc"]
    with pytest.raises(StreamInterrupted):
        await anext(held)


async def test_it_never_holds_more_than_one_message() -> None:
    """Promise 7: the buffer is bounded, so a large text goes out early."""
    big = "x" * (MAX_TEXT_BYTES // 2)
    source = Source(chunk("a"), *(chunk(big) for _ in range(4)))
    source.end()
    assert [len(text(c)) async for c in hold(source.chunks(), HOUR)] == [
        1,
        MAX_TEXT_BYTES,
        MAX_TEXT_BYTES,
    ]


async def test_logprobs_count_into_what_it_holds() -> None:
    """They may be a hundred times their text, so a few thousand tokens would fill a message."""
    top = [wire.TopLogprob("abcd", -1.0, [97] * 4)] * 20
    token = wire.TokenLogprob("a", -1.0, [97], top)
    said = [Delta(content="a", logprobs=wire.Logprobs(content=[token])) for _ in range(5_000)]
    source = Source(*(Chunk(deltas=[delta], finishes={}, extra={}) for delta in said))
    source.end()

    got = [c async for c in hold(source.chunks(), HOUR)]

    assert "".join(map(text, got)) == "a" * 5_000
    for held in got:
        for delta in merge(held.deltas):
            assert delta_event(delta, 1).ByteSize() <= MAX_TEXT_BYTES
    assert len(got) == 1 + 4


async def test_joining_keeps_head_finish_usage_and_extra() -> None:
    """The parts of a Chunk that are no text survive too."""
    head = Chunk(head=Head("c-1"), deltas=[], finishes={}, extra={"a": 1})
    tail = Chunk(finishes={0: "stop"}, usage=wire.Usage(total_tokens=1), extra={"b": 2})
    source = Source(head, chunk("x"), tail)
    source.end()

    first, second = [c async for c in hold(source.chunks(), HOUR)]

    assert first.head == Head("c-1")
    assert (second.finishes, second.extra) == ({0: "stop"}, {"b": 2})
    assert second.usage == wire.Usage(total_tokens=1)


async def test_leaving_ends_the_read() -> None:
    """A caller that goes while a read is under way leaves no task behind."""
    source = Source(chunk("a"))
    held = hold(source.chunks(), 0.001)
    await anext(held)
    source.queue.put_nowait(chunk("b"))
    await anext(held)

    await held.aclose()

    assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []


async def test_cancelling_ends_the_read() -> None:
    """The same when the whole call is cancelled in the middle of a wait."""
    source = Source(chunk("a"))
    seen = asyncio.Event()

    async def work() -> None:
        async for _ in hold(source.chunks(), HOUR):
            seen.set()

    task = asyncio.create_task(work())
    await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed.is_set()


async def test_an_error_that_nobody_waits_for_is_quiet() -> None:
    """The read failed while the caller was leaving: that is no loose exception for the log."""
    loose: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: loose.append(context))
    source = Source(chunk("a"), chunk("b"))
    held = hold(source.chunks(), 0.001)
    assert [text(await anext(held)), text(await anext(held))] == ["a", "b"]
    source.queue.put_nowait(StreamInterrupted("cut", cause="cut"))
    await source.closed.wait()

    await held.aclose()

    del held
    gc.collect()
    assert loose == []
