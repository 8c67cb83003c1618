"""The callers door, without sockets: why it refuses, and whom it remembers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from headgate import callers, wire
from headgate.callers import CallersDoor
from headgate.config import CallersSettings
from headgate.errors import CallerLimit, Draining, Refused, WaitTooLong
from headgate.upstream import Call, Chunk, Silent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headgate.upstream import Place


class Inner:
    """What stands behind the door, and may refuse the next call."""

    def __init__(self) -> None:
        self.refusal: Refused | None = None

    @asynccontextmanager
    async def open(self, _: Call) -> AsyncIterator[AsyncIterator[Chunk]]:
        if self.refusal is not None:
            raise self.refusal

        async def nothing() -> AsyncIterator[Chunk]:
            yield Chunk()

        yield nothing()


class Waits(Silent):
    """Hears that a call waits."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    def queued(self, _: Callable[[], Place]) -> None:
        self.begun.set()


def call(caller: str, **fields: Any) -> Call:
    return Call(request=wire.ChatRequest(messages=[]), caller=caller, **fields)


async def refused(door: CallersDoor, asked: Call) -> Refused:
    with pytest.raises(Refused) as refusal:
        async with door.open(asked):
            pass
    return refusal.value


async def test_strangers_are_forgotten_behind_callers_that_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Long streams that came first stop no forgetting, and are not forgotten themselves."""
    monkeypatch.setattr(callers, "MAX_REMEMBERED", 10)
    door = CallersDoor(Inner(), CallersSettings(max_in_flight=5))
    async with AsyncExitStack() as streams:
        for number in range(4):
            await streams.enter_async_context(door.open(call(f"long-{number}")))
        for number in range(200):
            async with door.open(call(f"stranger-{number}")):
                pass
            assert len(door._turnstiles) <= 10 + 2  # two looks at busy ones in a row, at most
        assert {f"long-{number}" for number in range(4)} < set(door._turnstiles)


async def test_a_crowd_is_forgotten_before_it_has_its_allowance_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a slow rate that takes long, and somebody may have any number of addresses."""
    monkeypatch.setattr(callers, "MAX_REMEMBERED", 10)
    monkeypatch.setattr(callers, "CROWD", 20)
    door = CallersDoor(Inner(), CallersSettings(rate=0.01))
    async with door.open(call("long")):
        for number in range(200):
            async with door.open(call(f"stranger-{number}")):
                pass
            assert len(door._turnstiles) <= 20 + 1
        assert "long" in door._turnstiles


@pytest.mark.parametrize("queue_wait", [None, 0.01])
async def test_a_wait_that_ends_in_line_is_for_ones_own_allowance(queue_wait: float | None) -> None:
    """As one that is too long at the door, whether our limit or the call's own ends it."""
    door = CallersDoor(Inner(), CallersSettings(max_in_flight=1, max_wait=0.02))
    async with door.open(call("busy")):
        error = await refused(door, call("busy", max_queue_wait=queue_wait))

    assert isinstance(error, CallerLimit)
    assert isinstance(error.__cause__, WaitTooLong)
    assert "1 at once" in error.message
    assert error.retry_after == error.__cause__.retry_after


async def test_a_drain_is_no_limit_of_the_caller() -> None:
    """Who waits in line hears that the server goes away, and goes to another."""
    door = CallersDoor(Inner(), CallersSettings(max_in_flight=1))
    async with door.open(call("busy")):
        waits = Waits()
        waiting = asyncio.create_task(refused(door, call("busy", observer=waits)))
        await waits.begun.wait()
        door.drain(0)
        assert isinstance(await waiting, Draining)


async def test_a_refusal_of_the_doors_within_stays_as_it_is() -> None:
    """Those wait for what all callers share."""
    inner = Inner()
    inner.refusal = WaitTooLong("no slot")
    door = CallersDoor(inner, CallersSettings(max_in_flight=1))

    assert await refused(door, call("somebody")) is inner.refusal
