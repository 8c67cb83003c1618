"""A process with few calls is tidied up; one with many is left in peace."""

from __future__ import annotations

import asyncio
import gc
from weakref import ref

import pytest

from headgate import collector
from support.virtual_time import run_virtually


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
