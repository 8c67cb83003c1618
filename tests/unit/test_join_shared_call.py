"""One call and all who read it: failures, slow readers, deadlines, news of the queue."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from headgate import errors
from headgate.errors import UpstreamUnavailable
from headgate.progress import Progress
from headgate.upstream import Call, Chunk, Place
from support.joining import call, hello, joining, reading, settled, text
from support.scripted_upstream import Scripted, ended, opened, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.scripted_upstream import Step


FAILURE = UpstreamUnavailable("down", status=503)


async def test_a_failure_before_the_first_delta_is_everybodys() -> None:
    """Alike, but each raises an error of its own; and nothing of it is kept."""
    go = asyncio.Event()
    inner = Scripted([go, FAILURE], hello())
    async with joining(inner) as door:
        readers = [reading(door, call()) for _ in range(3)]
        await inner.waiting.wait()
        go.set()
        got = await asyncio.gather(*readers, return_exceptions=True)
        assert await text(door, call()) == "Hello"
    assert len({id(error) for error in got}) == 3
    for error in got:
        assert isinstance(error, errors.UpstreamUnavailable)
        assert (error.message, error.status) == (FAILURE.message, 503)
        assert error.metadata == FAILURE.metadata
        assert error.metadata is not FAILURE.metadata
    assert len(inner.calls) == 2


async def test_a_failure_behind_deltas_comes_behind_them() -> None:
    """Each reader gets what there is, then the interruption; the next call is a new one."""
    cut = errors.StreamInterrupted("cut", cause="cut")
    inner = Scripted([opened("Hel"), said("lo"), cut], hello())
    async with joining(inner) as door:
        async with door.open(call()) as chunks:
            await settled()
            chunk = await anext(chunks)
            with pytest.raises(errors.StreamInterrupted):
                await anext(chunks)
        assert "".join(delta.content for delta in chunk.deltas) == "Hello"
        assert await text(door, call()) == "Hello"
    assert len(inner.calls) == 2


async def test_a_fault_of_ours_is_an_error_for_everybody() -> None:
    """Nobody is left waiting, and the log gets the cause."""
    fault = ValueError("a bug")
    inner = Scripted([fault], [asyncio.CancelledError()])
    async with joining(inner) as door:
        readers = [reading(door, call()) for _ in range(2)]
        for error in await asyncio.gather(*readers, return_exceptions=True):
            assert isinstance(error, RuntimeError)
            assert error.__cause__ is fault
        with pytest.raises(errors.InternalError):
            await text(door, call())


async def test_a_slow_joiner_is_given_up_and_the_others_go_on() -> None:
    """ABORTED for the one that is behind by more than the bound; all for the rest."""
    steps: list[Step] = [opened("x" * 4000), *(said("x" * 4000) for _ in range(9)), ended()]
    inner = Scripted(steps)
    async with joining(inner, max_stream_bytes=20_000) as door:
        async with door.open(call()) as slow:
            await anext(slow)
            assert await text(door, call()) == "x" * 40_000
            with pytest.raises(errors.StreamInterrupted) as caught:
                await anext(slow)
        assert "[0 keys" in repr(door)
    assert caught.value.metadata == {"cause": "reader_behind"}
    assert "idempotency.max_stream_bytes" in caught.value.message
    assert len(inner.calls) == 1


async def test_an_outgrown_answer_names_no_key() -> None:
    """It goes on for its readers; who comes later gets a call of its own, from the first delta."""
    go = asyncio.Event()
    steps: list[Step] = [*(said("x" * 4000) for _ in range(9)), go, ended()]
    inner = Scripted([opened("x"), *steps], [opened("y"), ended()])
    async with joining(inner, max_stream_bytes=20_000) as door:
        first = reading(door, call())
        await inner.waiting.wait()
        assert await text(door, call()) == "y"
        go.set()
        assert await first == "x" + "x" * 36_000
        assert await text(door, call()) == "y"
    assert len(inner.calls) == 2


async def test_an_outgrown_answer_ends_with_its_last_reader() -> None:
    """No key names it, and it does not linger: nobody could come back to it."""
    steps: list[Step] = [opened("x"), *(said("x" * 4000) for _ in range(9)), asyncio.Event()]
    inner = Scripted(steps)
    async with joining(inner, max_stream_bytes=20_000, linger=60) as door:
        reader = reading(door, call())
        await inner.waiting.wait()
        reader.cancel()
        await inner.left.acquire()
        assert "[0 keys" in repr(door)


async def test_a_single_reader_holds_the_upstream_back() -> None:
    """Promise 7: what is not read is not fetched, beyond the bound."""
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield said("x" * 4000)

    inner = Scripted([opened("x")])
    inner._scripts = [endless()]
    async with joining(inner, max_stream_bytes=20_000) as door, door.open(call()) as chunks:
        await settled()
        assert asked == 5
        for _ in range(20):
            await anext(chunks)
        await settled()
        assert asked < 20 * 5 + 6


async def test_a_reader_that_has_fallen_back_gets_larger_chunks() -> None:
    """It catches up with fewer messages; its positions are those of all."""
    go = asyncio.Event()
    inner = Scripted([opened("a"), *(said("b") for _ in range(50)), go, ended()])
    async with joining(inner) as door:
        first = reading(door, call())
        await inner.waiting.wait()
        async with door.open(call()) as chunks:
            chunk = await anext(chunks)
        go.set()
        await first
    assert sum(delta.count for delta in chunk.deltas) == 51


class Queueing:
    """An inner door that lets calls wait, as the throttle does."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.go = asyncio.Event()
        self.deadlines: list[float | None] = []
        self.place = Place(1, 5.0, exact=True)

    @asynccontextmanager
    async def open(self, asked: Call) -> AsyncIterator[AsyncIterator[Chunk]]:
        asked.observer.queued(lambda: self.place)
        await self.go.wait()
        self.deadlines.append(asked.deadline)
        if (outcome := self.outcomes.pop(0)) is not None:
            raise outcome
        asked.observer.attempt_started()
        yield self._chunks()
        asked.observer.attempt_ended(None)

    async def _chunks(self) -> AsyncIterator[Chunk]:
        yield opened("Hello")
        yield ended()


def progress(on_queued: Callable[[Any], None] | None = None) -> Progress:
    made = Progress(asyncio.get_running_loop().time)
    made.on_queued = on_queued
    return made


async def test_everybody_hears_of_queue_and_attempts() -> None:
    """Who comes later hears first what it has missed, and all count the same attempts."""
    inner = Queueing(None)
    places: list[Place] = []
    async with joining(inner) as door:
        heard = [progress(lambda place: places.append(place())) for _ in range(2)]
        first = reading(door, call(observer=heard[0]))
        await settled()
        second = reading(door, call(observer=heard[1]))
        await settled()
        assert places == [inner.place] * 2
        assert {one.phase for one in heard} == {"queued"}
        inner.go.set()
        await asyncio.gather(first, second)
        late = progress()
        await text(door, call(observer=late))
    assert [one.attempts for one in (*heard, late)] == [1, 1, 1]


async def test_a_joiner_whose_slot_comes_too_late_is_refused_at_once() -> None:
    """Promise 4 holds for it too: the slot in 5 s is in time for the others only."""
    inner = Queueing(None)
    async with joining(inner) as door:
        first = reading(door, call())
        await settled()
        loop = asyncio.get_running_loop()
        for short in (call(deadline=loop.time() + 3), call(max_queue_wait=0.0)):
            with pytest.raises(errors.WaitTooLong) as caught:
                await text(door, short)
            assert caught.value.retry_after == 5.0
        inner.go.set()
        assert await first == "Hello"


async def test_the_call_has_the_latest_deadline_of_those_present() -> None:
    """It may use the time that anybody has; without one for all it has none."""
    for others, expected in (([50, 30], 50), ([50, None], None), ([], 10)):
        inner = Queueing(None)
        async with joining(inner) as door:
            now = asyncio.get_running_loop().time()
            readers = [
                reading(door, call(deadline=None if one is None else now + one))
                for one in [10, *others]
            ]
            gone = reading(door, call(deadline=now + 90))
            await settled()
            gone.cancel()
            await settled()
            inner.go.set()
            await asyncio.gather(*readers)
        assert inner.deadlines == [None if expected is None else now + expected]


async def test_a_slot_too_late_for_some_is_asked_for_again_by_the_others() -> None:
    """The first one's deadline decides for the first one only."""
    late = errors.WaitTooLong("no slot is left within the deadline", retry_after=7.0)
    inner = Queueing(late, None)
    async with joining(inner) as door:
        now = asyncio.get_running_loop().time()
        first = reading(door, call(deadline=now + 10))
        await settled()
        patient = reading(door, call(deadline=now + 60))
        inner.go.set()
        await asyncio.sleep(0)
        first_error, answer = await asyncio.gather(first, patient, return_exceptions=True)
    assert answer == "Hello"
    assert isinstance(first_error, errors.WaitTooLong)
    assert first_error.retry_after == 7.0


async def test_closing_ends_what_runs() -> None:
    """Readers that are still there hear that the server goes."""
    inner = Scripted([opened("Hel"), asyncio.Event()])
    async with joining(inner) as door:
        reader = reading(door, call())
        await inner.waiting.wait()
        await door.aclose()
        with pytest.raises(errors.Draining):
            await reader
        assert inner.left.locked() is False
