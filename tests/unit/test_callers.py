"""The callers door, without sockets: whom it remembers."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from headgate import callers, wire
from headgate.callers import CallersDoor
from headgate.config import CallersSettings
from headgate.upstream import Call, Chunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


class Inner:
    """What stands behind the door."""

    @asynccontextmanager
    async def open(self, _: Call) -> AsyncIterator[AsyncIterator[Chunk]]:
        async def nothing() -> AsyncIterator[Chunk]:
            yield Chunk()

        yield nothing()


def call(caller: str) -> Call:
    return Call(request=wire.ChatRequest(messages=[]), caller=caller)


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
