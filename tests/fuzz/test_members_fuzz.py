"""Several gateways on one schedule: interleavings, kills, lost and slow replies, losses, clocks."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.throttle.courier import SETTLE
from headgate.throttle.pacer import Pace
from support.members import TIMEOUT, Keeper, Member
from support.virtual_time import run_virtually

PACE = Pace(rate=2, min_interval=0.5)
SLACK = PACE.margin + 0.001  # a start may be so late, and the one behind it on time
LENGTH = 10.0
KNOWN = 0.5  # by then all know of each other
MORE = 40


class Event(NamedTuple):
    at: float
    what: str
    member: int
    amount: float


def events(*what: str) -> st.SearchStrategy[list[Event]]:
    event = st.builds(
        Event,
        at=st.floats(KNOWN, LENGTH),
        what=st.sampled_from(what),
        member=st.integers(0, 2),
        amount=st.floats(0, 1),
    )
    return st.lists(event, max_size=25)


class World:
    """Three members that have calls all the time, and what happens to them."""

    def __init__(self, offsets: list[float]) -> None:
        self.keeper = Keeper(PACE)
        self.members = [Member(self.keeper, n, PACE, ahead=a) for n, a in enumerate(offsets)]
        self.dead: set[int] = set()
        self._up_at = 0.0
        self.calls: list[asyncio.Task[None]] = []

    async def run(self, happenings: list[Event]) -> None:
        for member in self.members:
            await member.start()
            for _ in range(25):
                self.calls.append(member.call())
        loop = asyncio.get_running_loop()
        for event in sorted(happenings):
            await asyncio.sleep(max(0.0, event.at - loop.time()))
            await self._happen(event)
        await asyncio.sleep(max(0.0, LENGTH - loop.time()))
        self.keeper.awake.set()
        for number, member in enumerate(self.members):
            if number not in self.dead:
                await member.stop()

    async def _happen(self, event: Event) -> None:
        member = self.members[event.member]
        if event.what == "kill":
            await self._kill(event.member)
        elif event.what in {"slow", "connect", "lose", "pause"}:
            self._disturb(member, event)
        elif event.what == "call" and event.member not in self.dead:
            self.calls.append(member.call())
        elif event.what == "cancel":
            self.calls[int(event.amount * (len(self.calls) - 1))].cancel()
        else:
            self._happen_to_keeper(event)

    async def _kill(self, number: int) -> None:
        if number not in self.dead and len(self.dead) < 2:
            self.dead.add(number)
            await self.members[number].kill()

    def _disturb(self, member: Member, event: Event) -> None:
        match event.what:
            case "slow":
                member.link.back = member.link.there = 0.24 * event.amount
            case "connect":
                member.connect = 0.4 * event.amount
            case "lose":
                member.link.lose += 1
            case "pause":
                member.turnstile.cooldown(event.amount)

    def _happen_to_keeper(self, event: Event) -> None:
        match event.what:
            case "step back":
                self.keeper.ahead -= 60 * event.amount
            case "down" if self._all_are_back():
                self.keeper.up = False
            case "hang" if self._all_are_back():
                self.keeper.awake.clear()
            case "up" if not self._is_up():
                self._come_up()
            case "up anew" if not self._is_up():
                self.keeper.forget()
                self._come_up()

    def _is_up(self) -> bool:
        return self.keeper.up and self.keeper.awake.is_set()

    def _come_up(self) -> None:
        self.keeper.up = True
        self.keeper.awake.set()
        self._up_at = asyncio.get_running_loop().time()

    def _all_are_back(self) -> bool:
        """A store that goes again before all have seen it may leave somebody behind on a share."""
        return asyncio.get_running_loop().time() >= self._up_at + SETTLE * TIMEOUT

    def starts(self) -> list[float]:
        return sorted(start for member in self.members for start in member.starts)


offsets = st.lists(st.sampled_from([0.0, 30.0, -5.0, 1e6]), min_size=3, max_size=3)


@settings(max_examples=MORE)
@given(
    offsets=offsets,
    happenings=events("kill", "slow", "connect", "cancel", "call", "pause", "step back"),
)
def test_the_gap_holds_over_all_members(offsets: list[float], happenings: list[Event]) -> None:
    """While the schedule is within reach, no two starts of anybody are closer than the gap."""
    world = World(offsets)
    run_virtually(world.run(happenings))
    assert not any(member.went_alone for member in world.members)
    starts = world.starts()
    assert all(b - a >= PACE.gap - SLACK for a, b in pairwise(starts))


@settings(max_examples=MORE)
@given(offsets=offsets, happenings=events("down", "hang", "up", "up anew", "cancel", "call"))
def test_the_rate_holds_over_all_members_while_the_schedule_is_lost(
    offsets: list[float], happenings: list[Event]
) -> None:
    """Whenever it goes and comes back, with its data or without: never above the rate."""
    world = World(offsets)
    run_virtually(world.run(happenings))
    starts = world.starts()
    for i, first in enumerate(starts):
        for j in range(i + 1, len(starts)):
            assert starts[j] - first >= (j - i) * PACE.gap - SLACK


@settings(max_examples=MORE)
@given(offsets=offsets, happenings=events("lose", "slow", "cancel", "kill", "connect"))
def test_lost_replies_cost_slots_and_never_the_gap_of_a_member(
    offsets: list[float], happenings: list[Event]
) -> None:
    """A member that misses a reply goes on alone and comes back; its own starts keep the gap."""
    world = World(offsets)
    run_virtually(world.run(happenings))
    for member in world.members:
        assert all(b - a >= PACE.gap - SLACK for a, b in pairwise(sorted(member.starts)))
    allowed = LENGTH / PACE.interval * (1 + 2 / 3) + 3
    assert len(world.starts()) <= allowed


def test_nothing_is_wasted_while_nothing_happens() -> None:
    """Three members with calls at hand use every slot, each its third, at one call a slot."""
    world = World([0.0, 30.0, -5.0])
    run_virtually(world.run([]))
    counts = [len(member.starts) for member in world.members]
    assert sum(counts) >= int(LENGTH / PACE.interval)
    assert max(counts) - min(counts) <= 1
    assert sum(member.link.calls for member in world.members) <= sum(counts) + 4 * 3
