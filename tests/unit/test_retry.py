"""The retry door: how long it waits before which attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headgate import wire
from headgate.backoff import Backoff
from headgate.budget import RetryBudget
from headgate.errors import UpstreamUnavailable, WaitTooLong
from headgate.retry import RetryDoor
from headgate.upstream import Call
from support.scripted_upstream import Scripted, ended, opened

if TYPE_CHECKING:
    from headgate.upstream import Upstream
    from support.scripted_upstream import Step


def door_to(
    upstream: Upstream, budget: RetryBudget | None = None, waits: list[float] | None = None
) -> RetryDoor:
    """Four attempts, at time 0; what it waits for in between is only noted."""

    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    return RetryDoor(
        upstream,
        max_attempts=4,
        backoff=Backoff(initial=1, maximum=60, multiplier=2),
        budget=budget or RetryBudget(share=1, floor=10),
        max_wait=60,
        clock=lambda: 0.0,
        sleep=sleep,
        draw=lambda: 0.5,
    )


async def test_the_latest_retry_after_wins() -> None:
    """Each wait is what the reply before it asked for, or the backoff where it said nothing."""
    waits: list[float] = []
    busy: list[list[Step]] = [
        [UpstreamUnavailable("503", retry_after=seconds)] for seconds in (0.05, 0.6, None)
    ]
    upstream = Scripted(*busy, [opened("a"), ended()])
    call = Call(request=wire.ChatRequest(messages=[], stream=True))
    async with door_to(upstream, waits=waits).open(call) as chunks:
        said = [delta.content async for chunk in chunks for delta in chunk.deltas]

    assert said == ["a"]
    assert waits == [0.05, 0.6, 2.0]
    assert call.attempt == len(upstream.calls) == 4


async def test_a_failure_whose_retry_got_no_slot_counts_as_one() -> None:
    """A mesh may want to repeat it, as any other that a caller hears of."""
    budget = RetryBudget(share=0, floor=1)
    upstream = Scripted([UpstreamUnavailable("503")], [WaitTooLong("no slot")])
    call = Call(request=wire.ChatRequest(messages=[], stream=True))
    with pytest.raises(UpstreamUnavailable):
        async with door_to(upstream, budget).open(call):
            pass
    assert not budget.foreign(0.0, heeds_pushback=False)
