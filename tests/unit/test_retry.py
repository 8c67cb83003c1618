"""The retry door: how long it waits before which attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate import wire
from headgate.backoff import Backoff
from headgate.budget import RetryBudget
from headgate.errors import UpstreamUnavailable
from headgate.retry import RetryDoor
from headgate.upstream import Call
from support.scripted_upstream import Scripted, ended, opened

if TYPE_CHECKING:
    from support.scripted_upstream import Step


async def test_the_latest_retry_after_wins() -> None:
    """Each wait is what the reply before it asked for, or the backoff where it said nothing."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    busy: list[list[Step]] = [
        [UpstreamUnavailable("503", retry_after=seconds)] for seconds in (0.05, 0.6, None)
    ]
    upstream = Scripted(*busy, [opened("a"), ended()])
    door = RetryDoor(
        upstream,
        max_attempts=4,
        backoff=Backoff(initial=1, maximum=60, multiplier=2),
        budget=RetryBudget(share=1, floor=10),
        max_wait=60,
        clock=lambda: 0.0,
        sleep=sleep,
        draw=lambda: 0.5,
    )
    call = Call(request=wire.ChatRequest(messages=[], stream=True))
    async with door.open(call) as chunks:
        said = [delta.content async for chunk in chunks for delta in chunk.deltas]

    assert said == ["a"]
    assert waits == [0.05, 0.6, 2.0]
    assert call.attempt == len(upstream.calls) == 4
