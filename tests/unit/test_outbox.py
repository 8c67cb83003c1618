"""Writes of many streams that leave one right behind the other."""

from __future__ import annotations

import asyncio
from functools import partial

from headgate.outbox import Outbox
from support.virtual_time import run_virtually

BEAT = 1.0


def test_what_a_turn_adds_leaves_in_the_next() -> None:
    """In its order, and not from within `add`."""

    async def scene() -> None:
        begun: list[str] = []
        outbox = Outbox(BEAT)
        for word in "abc":
            outbox.add(partial(begun.append, word))
        assert begun == []
        await asyncio.sleep(0)
        assert begun == ["a", "b", "c"]

    run_virtually(scene())


def test_departures_are_a_beat_apart_while_there_are_many() -> None:
    """What comes meanwhile leaves together, and waits no longer than a beat."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        left: list[tuple[str, float]] = []
        outbox = Outbox(BEAT)

        def begin(word: str) -> None:
            left.append((word, round(loop.time(), 1)))

        for word in "abcdef":
            outbox.add(partial(begin, word))
            await asyncio.sleep(0.4)
        await asyncio.sleep(BEAT)
        assert left == [("a", 0.0), ("b", 1.4), ("c", 1.4), ("d", 1.4), ("e", 2.6), ("f", 2.6)]

    run_virtually(scene())


def test_a_lone_one_does_not_wait_for_the_beat() -> None:
    """A beat after the last departure, the next is at once."""

    async def scene() -> None:
        begun: list[str] = []
        outbox = Outbox(BEAT)
        for word in "abc":
            outbox.add(partial(begun.append, word))
            await asyncio.sleep(0)
            assert begun[-1] == word
            await asyncio.sleep(1.5 * BEAT)

    run_virtually(scene())


def test_what_is_added_at_the_departure_leaves_with_the_next() -> None:
    """A stream whose write is through at once may have the next delta already."""

    async def scene() -> None:
        begun: list[str] = []
        outbox = Outbox(BEAT)

        def again() -> None:
            begun.append("a")
            outbox.add(partial(begun.append, "b"))

        outbox.add(again)
        await asyncio.sleep(0)
        assert begun == ["a"]
        await asyncio.sleep(1.5 * BEAT)
        assert begun == ["a", "b"]

    run_virtually(scene())
