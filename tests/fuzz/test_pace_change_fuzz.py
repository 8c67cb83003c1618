"""Members of one schedule whose pace changes under way, each hearing of it at its own moment."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headgate.throttle.pacer import PAST, Pace
from headgate.throttle.schedule import Terms
from support.members import Keeper, Member
from support.virtual_time import run_virtually

SLACK = 0.006  # the margin, and what a timer is late
NEWS = 0.05
"""Seconds within which all have heard of a change."""

paces = st.builds(Pace, rate=st.floats(0.5, 8), min_interval=st.sampled_from([0.0, 0.2, 0.5]))
delays = st.lists(st.floats(0, NEWS), min_size=3, max_size=3)
handshakes = st.lists(st.floats(0, 0.3), min_size=3, max_size=3)


async def _attempts(
    old: Pace, new: Pace, at: float, *, delay: list[float], shake: list[float], starts: list[float]
) -> None:
    keeper, loop = Keeper(old), asyncio.get_running_loop()
    members = [Member(keeper, number, old) for number in range(3)]
    for member, seconds in zip(members, shake, strict=True):
        member.connect = seconds
        await member.start()
        for _ in range(20):
            member.call()
    await asyncio.sleep(at)
    keeper.schedule.change(keeper.now(), Terms.of(new))
    for member, seconds in zip(members, delay, strict=True):
        loop.call_later(seconds, member.change, new)
    await asyncio.sleep(1.0 + 8 * (old.interval + new.interval))
    for member in members:
        await member.stop()
        starts += member.starts
    starts.sort()


@settings(max_examples=40)
@given(paces, paces, st.floats(0.5, 3), delays, handshakes)
def test_no_gap_is_below_the_stricter_of_both(
    old: Pace, new: Pace, at: float, delay: list[float], shake: list[float]
) -> None:
    """From when all have heard of it; and within a second of what was written before, of both."""
    assume(old != new)
    starts: list[float] = []
    run_virtually(_attempts(old, new, at, delay=delay, shake=shake, starts=starts))
    known = at + NEWS
    before = [start for start in starts if start < known]
    both = max(old.interval, new.interval)
    over = max(before, default=0.0) + max(PAST, both)
    for earlier, later in pairwise(starts):
        if later <= at:
            assert later - earlier >= old.interval - SLACK
        elif later >= known:
            assert later >= min(earlier + both, over) - SLACK
            assert later - earlier >= new.interval - SLACK
    assert len(starts) > len(before), "nobody starts any more"
