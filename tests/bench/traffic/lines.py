"""Rows about fairness: a long line, a full queue, and somebody else's single call."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from scene import UPDATES, as_caller, ask, ending, in_line, scene
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONG = ("--throttle.max_queue", "1200", "--throttle.max_wait", "900")


async def thousand(runs: int) -> AsyncIterator[Row]:
    """One caller with 1,000 calls queued, another sends one."""
    slots = [await _slot_of_a_single_call() for _ in range(runs)]
    yield Row(
        "1,000 calls of one caller queued, another sends one",
        "it starts within 2 slots",
        f"in slot {', '.join(map(str, slots))}",
        max(slots) <= 2,
    )


async def _slot_of_a_single_call() -> int:
    """1 when it is the next of all to arrive at the upstream."""
    async with scene(*LONG) as stage:
        stubs = [stage.stub() for _ in range(4)]
        await stubs[0].Chat(ask())
        calls = [
            stubs[n % 4].StreamChat(ask(stream_options=UPDATES), metadata=as_caller("many"))
            for n in range(1000)
        ]
        places = await asyncio.gather(*(in_line(call) for call in calls))
        if max(place.position for place in places) < 990:
            raise RuntimeError("the line is not as long as it should be")
        await stage.report()
        sent = time.monotonic()
        await stage.stub().Chat(ask(user="single"), metadata=as_caller("single"), timeout=60)
        arrivals = (await stage.report()).arrivals
        for call in calls:
            call.cancel()
    return [user for at, user in arrivals if at > sent].index("single") + 1


async def full_queue() -> AsyncIterator[Row]:
    """A full queue of one caller, another sends one."""
    async with scene("--throttle.max_queue", "10") as stage:
        stub = stage.stub()
        await stub.Chat(ask(), metadata=as_caller("many"))
        calls = []
        for _ in range(10):
            call = stub.StreamChat(ask(stream_options=UPDATES), metadata=as_caller("many"))
            await in_line(call)
            calls.append(call)
        single = stub.StreamChat(ask(), metadata=as_caller("single"), timeout=30)
        ends, admitted = await asyncio.gather(
            asyncio.gather(*(ending(call) for call in calls)), ending(single)
        )
    refused = {number: end for number, end in enumerate(ends, 1) if end != "OK"}
    words = ", ".join(f"call {number} of 10 {end}" for number, end in refused.items())
    yield Row(
        "a full queue of one caller, another sends one",
        "admitted; the newest of the long line gets QUEUE_FULL",
        f"{admitted}; {words}",
        admitted == "OK" and refused == {10: "QUEUE_FULL"},
    )
