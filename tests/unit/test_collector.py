"""A process with few calls is tidied up; one with many is left in peace."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING
from weakref import ref

import pytest

from headgate import collector
from support.virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize(("running", "left"), [(collector.FEW, 0), (collector.FEW + 1, 1)])
def test_garbage_goes_while_few_calls_run(running: int, left: int) -> None:
    """By the second look at the latest."""

    async def main() -> None:
        tidying = asyncio.create_task(collector.tidy(lambda: running))
        await asyncio.sleep(0)
        garbage = ref(Cycle())
        kept = [[] for _ in range(2 * collector.WORTH)]  # type: ignore[var-annotated]
        await asyncio.sleep(2.5 * collector.EVERY)
        assert (garbage() is not None) == bool(left)
        tidying.cancel()
        del kept

    gc.disable()
    try:
        run_virtually(main())
    finally:
        gc.enable()


def test_nothing_new_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle process stays idle."""
    collected = []

    async def main() -> None:
        tidying = asyncio.create_task(collector.tidy(lambda: 0))
        await asyncio.sleep(0)
        monkeypatch.setattr(gc, "collect", lambda: collected.append(1))
        await asyncio.sleep(10.5 * collector.EVERY)
        tidying.cancel()

    gc.collect()
    gc.disable()
    try:
        run_virtually(main())
    finally:
        gc.enable()
    assert collected == []


@pytest.mark.parametrize(
    ("running", "memory", "returns"),
    [
        (collector.FEW, [100, *([106] * 20)], 12),  # a process with few calls needs what it did
        (collector.FEW + 1, [100, *([106] * 20)], 1),  # one with many may need more from now on
        (collector.FEW + 1, list(range(100, 300, 3)), 3),
        (collector.FEW + 1, [100] * 30, 0),
    ],
)
def test_memory_that_has_grown_goes_back(
    running: int, memory: list[int], returns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In three minutes, by what is resident when it is looked at."""
    given: list[float] = []
    resident = iter(memory)

    async def main() -> None:
        tidying = asyncio.create_task(collector.tidy(lambda: running))
        await asyncio.sleep(181)
        tidying.cancel()

    async def at_once(give: Callable[[], None]) -> None:
        give()

    monkeypatch.setattr(collector, "_resident", lambda: next(resident, memory[-1]))
    monkeypatch.setattr(collector, "_give_back", lambda: given.append(1))
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    monkeypatch.setattr(gc, "get_count", lambda: (collector.WORTH, 0, 0))
    monkeypatch.setattr(gc, "collect", lambda: 0)
    run_virtually(main())
    assert len(given) == returns
