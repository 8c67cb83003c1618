"""One handle for thousands of awaits: it expires, restarts, cancels as asyncio.timeout does."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
import uvloop

from headgate.timer import Timer


async def test_it_expires() -> None:
    """An await that takes too long raises TimeoutError, and the task is not cancelled."""
    timer = Timer()
    with pytest.raises(TimeoutError), timer.limit(0.001):
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    timer.close()


async def test_it_can_be_used_again_after_it_expired() -> None:
    """The next use has its own time."""
    timer = Timer()
    for _ in range(3):
        with pytest.raises(TimeoutError), timer.limit(0.001):
            await asyncio.Event().wait()
        with timer.limit(60):
            await asyncio.sleep(0)
    timer.close()


async def test_outside_of_the_block_nothing_expires() -> None:
    """A handle that fires between two uses does not touch the task."""
    timer = Timer()
    with timer.limit(0.001):
        pass
    await asyncio.sleep(0.01)
    timer.close()


async def test_a_shorter_limit_moves_the_handle() -> None:
    """After a use with an hour, one with a millisecond still expires."""
    timer = Timer()
    with timer.limit(3600):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), timer.limit(0.001):
        await asyncio.Event().wait()
    timer.close()


async def test_a_longer_limit_is_not_cut_short() -> None:
    """A handle that was set for less looks again and waits on."""
    timer = Timer()
    with timer.limit(0.001):
        pass
    with timer.limit(60):
        await asyncio.sleep(0.01)
    timer.close()


async def test_limit_within_the_block_starts_anew() -> None:
    """As when a wait at a gate is over; inf stops the clock."""
    timer = Timer()
    with timer.limit(0.001):
        timer.limit(float("inf"))
        await asyncio.sleep(0.01)
        timer.limit(60)
        await asyncio.sleep(0)
    timer.close()


async def test_no_limit_can_become_one_within_the_block() -> None:
    """The clock starts when it is asked to, not when the block began."""
    timer = Timer()

    async def wait() -> None:
        timer.limit(0.001)
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError), timer.limit(float("inf")):
        await wait()
    timer.close()


async def test_many_uses_keep_one_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The point of it: a thousand reads arm the loop once."""
    loop = asyncio.get_running_loop()
    timer = Timer()
    armed: list[float] = []
    call_at = loop.call_at

    def count(when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        armed.append(when)
        return call_at(when, *args, **kwargs)

    monkeypatch.setattr(loop, "call_at", count)
    for _ in range(1000):
        with timer.limit(30):
            await asyncio.sleep(0)
    assert len(armed) == 1
    timer.close()


async def test_a_cancellation_from_outside_stays_one() -> None:
    """The caller left: that is no timeout, whatever the clock says."""

    async def work() -> None:
        timer = Timer()
        with timer.limit(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_at_the_same_moment_wins() -> None:
    """Both in one turn of the loop: the call is over, not late."""
    timer = Timer()

    async def work() -> None:
        with timer.limit(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    timer._until = 0.0
    timer._fire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_other_errors_pass() -> None:
    """What the work raises itself comes out as it is."""
    timer = Timer()
    with pytest.raises(KeyError), timer.limit(60):
        raise KeyError
    timer.close()


async def test_closed_nothing_fires() -> None:
    """No handle keeps the loop or the task alive."""
    timer = Timer()
    with timer.limit(3600):
        pass
    handle = timer._handle
    assert handle is not None
    timer.close()
    assert handle.cancelled()


async def test_an_instant_may_be_given_in_place_of_seconds() -> None:
    """By the event loop's clock; one that has passed ends the first await."""
    timer = Timer()
    now = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError), timer.until(now - 1):
        await asyncio.Event().wait()
    timer.close()


def test_uvloops_handles_cannot_say_when_they_fire() -> None:
    """A delay that it rounds to nothing has one without an instant."""

    async def main() -> None:
        timer = Timer()
        with timer.limit(0.0003):
            timer.limit(math.inf)
            timer.limit(60)
            await asyncio.sleep(0.005)
        timer.close()

    uvloop.run(main())


def test_the_loop_does_not_spin_until_its_clock_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It rounds what is left, and comes too early by less than it can tell."""
    armed = 0
    arm = Timer._arm

    def counted(timer: Timer) -> None:
        nonlocal armed
        armed += 1
        arm(timer)

    monkeypatch.setattr(Timer, "_arm", counted)

    async def expire(seconds: float) -> None:
        timer = Timer()
        with pytest.raises(TimeoutError), timer.limit(seconds):
            await asyncio.Event().wait()
        timer.close()

    async def main() -> None:
        for number in range(20):
            await expire(0.002 + number * 0.00005)

    uvloop.run(main())
    assert armed <= 40


async def test_a_cut_ends_the_block_that_runs_and_no_other() -> None:
    """Whatever time it had left."""
    timer = Timer()

    async def work() -> None:
        with timer.limit(3600):
            timer.cut()
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await work()
    with timer.limit(3600):
        await asyncio.sleep(0.005)
    timer.close()


async def test_a_cut_without_a_block_is_none() -> None:
    """The next block has its own time."""
    timer = Timer()
    timer.cut()
    with timer:
        await asyncio.sleep(0.005)
    timer.close()


async def test_a_cut_behind_the_end_of_the_time_cancels_no_second_time() -> None:
    """Who cleans up is left in peace, and the task is not cancelled for good."""
    timer = Timer()

    async def work() -> None:
        with timer.limit(0.001):
            try:
                await asyncio.Event().wait()
            finally:
                timer.cut()
                await asyncio.sleep(0.005)

    with pytest.raises(TimeoutError):
        await work()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    timer.close()
