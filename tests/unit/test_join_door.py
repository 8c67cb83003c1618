"""The join door: which calls share one, how long, and what is left behind."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from headgate import errors, wire
from headgate.backoff import Backoff
from headgate.config import CallersSettings
from headgate.throttle.door import ThrottleDoor
from headgate.throttle.pacer import Pace
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.turnstile import Turnstile
from support.joining import call, hello, joining, reading, settled, text, until, whole
from support.scripted_upstream import Scripted, ended, opened, said

if TYPE_CHECKING:
    from headgate.upstream import Call, Delta


async def test_a_call_without_a_key_meets_no_door() -> None:
    """It gets the inner door's own context: no task, no layer on the token path."""
    inner = Scripted(hello())
    async with joining(inner) as door:
        asked = call(key="")
        async with door.open(asked) as chunks:
            assert "Scripted" in repr(chunks)
            assert len(asyncio.all_tasks()) == 1
        assert inner.calls == [asked]
        assert inner.calls[0] is asked


async def test_calls_with_one_key_share_one_call() -> None:
    """All that come while it waits and runs get everything from the first delta on."""
    go = asyncio.Event()
    inner = Scripted([opened("Hel"), go, said("lo"), ended()])
    async with joining(inner) as door:
        first = reading(door, call())
        await inner.waiting.wait()
        rest = [reading(door, call()) for _ in range(5)]
        await settled()
        go.set()
        assert await asyncio.gather(first, *rest) == ["Hello"] * 6
    assert len(inner.calls) == 1


async def test_who_comes_in_the_same_instant_shares_it_too() -> None:
    """Nothing is awaited between looking for a call and naming it."""
    inner = Scripted(hello())
    async with joining(inner) as door:
        assert await asyncio.gather(*(text(door, call()) for _ in range(10))) == ["Hello"] * 10
    assert len(inner.calls) == 1


async def test_nobody_takes_for_all() -> None:
    """A lone delta given to the first caller at once would be missing in the others' answers."""

    class Greedy:
        def take(self, _: Delta) -> bool:
            raise AssertionError

    inner = Scripted(hello())
    async with joining(inner) as door:
        asked = call()
        asked.taker = Greedy()
        assert await text(door, asked) == "Hello"
    assert inner.calls[0].taker is None


async def test_a_finished_answer_is_kept() -> None:
    """The same words, without another call."""
    inner = Scripted(hello())
    async with joining(inner) as door:
        assert await text(door, call()) == "Hello"
        again = await whole(door, call())
        assert [delta.content for delta in again.deltas] == ["Hello"]
        assert again.deltas[0].count == 2
        assert again.head is not None
        assert again.finishes == {0: "stop"}
        assert "1 kept" in repr(door)
    assert len(inner.calls) == 1


async def test_a_kept_answer_goes_when_its_time_is_over() -> None:
    """The next call with its key is made anew, and its memory is free."""
    inner = Scripted(hello())
    async with joining(inner, keep=0.01) as door:
        await text(door, call())
        await until(lambda: "[0 keys" in repr(door))
        await text(door, call())
    assert len(inner.calls) == 2


async def test_reading_a_kept_answer_does_not_renew_it() -> None:
    """It goes in the middle of being read, and who reads it notices nothing."""
    inner = Scripted(hello())
    async with joining(inner, keep=0.01) as door:
        await text(door, call())
        async with door.open(call()) as chunks:
            await until(lambda: "[0 keys" in repr(door))
            assert [chunk async for chunk in chunks][-1].finishes == {0: "stop"}
    assert len(inner.calls) == 1


async def test_kept_answers_have_a_bound_together() -> None:
    """The oldest goes first; none is kept that is larger than the bound."""
    inner = Scripted([opened("x" * 2000), ended()])
    async with joining(inner, max_bytes=12_000) as door:
        for key in "abc":
            await text(door, call(key=key))
        assert "2 kept" in repr(door)
        await text(door, call(key="c"))
        assert len(inner.calls) == 3
        await text(door, call(key="a"))
        assert len(inner.calls) == 4


async def test_nothing_is_kept_when_nothing_shall_be() -> None:
    """`keep` 0: a call that has ended has no name."""
    inner = Scripted(hello())
    async with joining(inner, keep=0) as door:
        await text(door, call())
        assert "[0 keys" in repr(door)


DIFFERENT = [
    call("Goodbye"),
    call(stream=False),
    call(extra={"top_k": 2}),
]


@pytest.mark.parametrize("other", DIFFERENT, ids=["body", "method", "extra"])
async def test_another_request_with_the_key_is_refused(other: Call) -> None:
    """Running or kept, the answer of one is not the answer of the other."""
    go = asyncio.Event()
    inner = Scripted([opened("Hello"), go, ended()])
    async with joining(inner) as door:
        first = reading(door, call())
        await inner.waiting.wait()
        with pytest.raises(errors.IdempotencyMismatch):
            await text(door, other)
        go.set()
        await first
        with pytest.raises(errors.IdempotencyMismatch):
            await text(door, other)
    assert len(inner.calls) == 1


async def test_what_is_no_part_of_the_body_may_differ() -> None:
    """How it waits, and what stands in the logs; extras in any order."""
    inner = Scripted(hello())
    async with joining(inner) as door:
        await text(door, call(extra={"a": 1, "b": 2}))
        loop = asyncio.get_running_loop()
        other = call(extra={"b": 2, "a": 1}, request_id="r2", priority=1, labels={"a": "b"})
        other.deadline = loop.time() + 9
        await text(door, other)
    assert len(inner.calls) == 1


async def test_schemas_are_compared_too() -> None:
    """Whatever goes upstream is in the comparison."""
    inner = Scripted(hello())

    def with_schema(text: str) -> Call:
        made = call()
        function = wire.FunctionSpec(name="f", parameters=msgspec.Raw(text.encode()))
        made.request.tools = [wire.Tool(function=function)]
        return made

    async with joining(inner) as door:
        await text(door, with_schema("{}"))
        await text(door, with_schema("{}"))
        with pytest.raises(errors.IdempotencyMismatch):
            await text(door, with_schema('{"type":"object"}'))
    assert len(inner.calls) == 1


async def test_callers_do_not_share() -> None:
    """The key is one caller's own; another's with the same one is another call."""
    inner = Scripted(hello())
    async with joining(inner) as door:
        await text(door, call(caller="ada"))
        await text(door, call(caller="bob"))
    assert [asked.caller for asked in inner.calls] == ["ada", "bob"]


async def test_one_that_leaves_ends_nobody_elses() -> None:
    """Not even the first one, whose call it was."""
    go = asyncio.Event()
    inner = Scripted([opened("Hel"), go, said("lo"), ended()])
    async with joining(inner) as door:
        first, second, third = (reading(door, call()) for _ in range(3))
        await inner.waiting.wait()
        first.cancel()
        third.cancel()
        await settled()
        go.set()
        assert await second == "Hello"
    assert len(inner.calls) == 1


@pytest.mark.parametrize("script", [[], [opened("Hel")]], ids=["before", "after"])
async def test_the_last_one_to_leave_ends_it(script: list[Any]) -> None:
    """Promise 6: the upstream's context is left, and the key is free."""
    inner = Scripted([*script, asyncio.Event()], hello())
    async with joining(inner) as door:
        readers = [reading(door, call()) for _ in range(3)]
        await inner.waiting.wait()
        for reader in readers:
            reader.cancel()
        await inner.left.acquire()
        assert "[0 keys" in repr(door)
        assert await text(door, call()) == "Hello"
    assert len(inner.calls) == 2


async def test_closing_before_the_work_has_begun() -> None:
    """A task that is cancelled before its first turn runs no code, yet nobody is left waiting."""
    inner = Scripted(hello())
    async with joining(inner) as door:
        reader = reading(door, call())
        await asyncio.sleep(0)
        await door.aclose()
        with pytest.raises(errors.Draining):
            await reader
    assert inner.calls == []


async def test_a_call_lingers_for_a_caller_that_comes_back() -> None:
    """It goes on without a reader, and who comes back gets all of it."""
    go = asyncio.Event()
    inner = Scripted([opened("Hel"), go, said("lo"), ended()])
    async with joining(inner, linger=60) as door:
        reader = reading(door, call())
        await inner.waiting.wait()
        reader.cancel()
        await settled()
        back = reading(door, call())
        await settled()
        go.set()
        assert await back == "Hello"
    assert len(inner.calls) == 1


async def test_a_call_that_finishes_while_it_lingers_is_kept() -> None:
    """The caller may be away longer than the answer takes."""
    go = asyncio.Event()
    inner = Scripted([opened("Hel"), go, said("lo"), ended()])
    async with joining(inner, linger=60) as door:
        reader = reading(door, call())
        await inner.waiting.wait()
        reader.cancel()
        go.set()
        await settled()
        assert "0 running, 1 kept" in repr(door)
        assert await text(door, call()) == "Hello"
    assert len(inner.calls) == 1


async def test_lingering_ends() -> None:
    """Nobody came back in time."""
    inner = Scripted([opened("Hel"), asyncio.Event()])
    async with joining(inner, linger=0.01) as door:
        reader = reading(door, call())
        await inner.waiting.wait()
        reader.cancel()
        await inner.left.acquire()
        assert "[0 keys" in repr(door)


async def test_a_lingering_call_ends_at_a_drain() -> None:
    """Promise 9 is for callers; one with readers goes on."""
    go = asyncio.Event()
    inner = Scripted([opened("a"), asyncio.Event()], [opened("b"), go, ended()])
    async with joining(inner, linger=60) as door:
        gone = reading(door, call(key="gone"))
        await inner.waiting.wait()
        gone.cancel()
        await settled()
        there = reading(door, call(key="there"))
        await inner.waiting.wait()
        door.drain()
        await inner.left.acquire()
        await settled()
        assert "[1 keys, 1 running" in repr(door)
        go.set()
        assert await there == "b"


async def test_a_twin_is_no_promise() -> None:
    """Joining looks where the call stands, but tells nobody, so a drain need not keep it."""
    turnstile = Turnstile(Throttle(MemoryStore(Pace(min_interval=60))))
    inner = ThrottleDoor(
        Scripted(hello()), turnstile, CallersSettings(), max_wait=600, backoff=Backoff()
    )
    ticket = turnstile.throttle.enqueue(time.monotonic(), "before")
    await turnstile.start(ticket)
    async with joining(inner) as door:
        first = reading(door, call())
        await settled()
        both = [first, reading(door, call())]
        await settled()
        turnstile.drain(300)
        ends = await asyncio.gather(*both, return_exceptions=True)
    assert [type(end) for end in ends] == [errors.Draining] * 2
