"""Calls end at their deadline, or when the server cannot wait for them any longer."""

from __future__ import annotations

import asyncio
import math

import pytest
import uvloop

from headgate.running_calls import OutOfTime, RunningCalls


async def call(calls: RunningCalls, deadline: float = math.inf, work: float = math.inf) -> str:
    """Works for so many seconds; says how it went."""
    calls.follow()
    try:
        with calls.running(), calls.in_time(deadline):
            await (asyncio.Event().wait() if work == math.inf else asyncio.sleep(work))
    except OutOfTime as error:
        return "cut" if error.cut else "deadline"
    return "done"


async def test_a_call_ends_at_its_deadline() -> None:
    """And one that has none goes on."""
    calls, now = RunningCalls(), asyncio.get_running_loop().time()
    assert await call(calls, now + 0.001) == "deadline"
    assert await call(calls, work=0.01) == "done"
    assert len(calls) == 0


async def test_a_stop_cuts_who_is_not_done_and_takes_no_more() -> None:
    """Who would have had a deadline hears of the stop, which came first."""
    calls, now = RunningCalls(), asyncio.get_running_loop().time()
    tasks = [asyncio.create_task(call(calls, deadline)) for deadline in (math.inf, now + 3600)]
    tasks.append(asyncio.create_task(call(calls, work=0.0)))
    await asyncio.sleep(0)
    assert len(calls) == 3
    await calls.finish(0.01)
    assert [await task for task in tasks] == ["cut", "cut", "done"]
    assert calls.closed
    assert len(calls) == 0


async def test_who_is_let_in_behind_the_cut_is_cut_too() -> None:
    """It came in time, and was still being asked who it is."""
    calls, known = RunningCalls(), asyncio.Event()

    async def late() -> str:
        with calls.running():
            await known.wait()
            return await call(calls)

    task = asyncio.create_task(late())
    await asyncio.sleep(0)
    stop = asyncio.create_task(calls.finish(0))
    while not calls._cut:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    known.set()
    assert await task == "cut"
    await stop


async def test_what_fails_within_is_no_end_of_the_time() -> None:
    """A TimeoutError of the work's own comes through as it is."""
    calls = RunningCalls()
    with pytest.raises(TimeoutError, match="my own"), calls.in_time(math.inf):
        raise TimeoutError("my own")


async def test_a_stop_waits_until_the_statuses_are_written() -> None:
    """A handler that has returned is not over for gRPC, whose task goes on until then."""
    calls, written = RunningCalls(), asyncio.Event()

    async def rpc() -> None:
        await call(calls, work=0.0)
        await written.wait()

    task = asyncio.create_task(rpc())
    stop = asyncio.create_task(calls.finish(60))
    await asyncio.sleep(0.005)
    assert len(calls) == 0
    assert not stop.done()
    written.set()
    await asyncio.wait_for(stop, 1)
    await task


async def test_who_cleans_up_too_slowly_behind_the_deadline_met_the_deadline() -> None:
    """Whatever timer of its own ended that."""
    calls, loop = RunningCalls(), asyncio.get_running_loop()

    async def work() -> None:
        with calls.in_time(loop.time() + 0.001):
            try:
                await asyncio.Event().wait()
            finally:
                async with asyncio.timeout(0.001):
                    await asyncio.Event().wait()

    with pytest.raises(OutOfTime):
        await work()


def test_a_stop_at_the_instant_of_a_deadline_cuts_the_others_all_the_same() -> None:
    """On uvloop, whose clock knows milliseconds, that instant takes one."""

    async def stop() -> list[str]:
        calls, now = RunningCalls(), asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(call(calls, at)) for at in (math.inf, now + 0.0104, math.inf)]
        await asyncio.sleep(0)
        await calls.finish(0.010)
        return [await task for task in tasks]

    async def main() -> None:
        for _ in range(20):
            assert {*(await stop())} <= {"cut", "deadline"}

    uvloop.run(main())
