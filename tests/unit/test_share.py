"""One member's share of the rate while the schedule is out of reach: turns that never meet."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headgate.throttle.share import FINEST_GRID, Share

# As far away as the origin of a server's clock is from a monotonic one.
FAR = -1_795_400_130.434452


def turns(share: Share, count: int, start: float) -> list[float]:
    made, last = [], float("-inf")
    for _ in range(count):
        last = share.after(start, last)
        made.append(last)
    return made


@given(
    members=st.integers(1, 7),
    interval=st.floats(0.05, 2),
    origin=st.sampled_from([0.0, FAR]),
    start=st.floats(0, 1e6),
)
def test_the_turns_of_all_members_keep_the_pace_together(
    members: int, interval: float, origin: float, start: float
) -> None:
    """While they agree on how many they are, all together keep the gap and use every slot."""
    shares = [Share(interval, members, rank, origin, start) for rank in range(members)]
    together = sorted(turn for share in shares for turn in turns(share, 4, start))
    assert all(b - a >= interval * 0.999 - 1e-5 for a, b in pairwise(together))
    assert together[-1] - together[0] <= interval * 1.001 * (4 * members - 1) + 1e-5


@given(members=st.integers(1, 5), rank=st.integers(0, 4), start=st.floats(0, 1e6))
def test_turns_too_fine_for_timers_keep_the_share_all_the_same(
    members: int, rank: int, start: float
) -> None:
    """At thousands a second each member just keeps its distance."""
    share = Share(FINEST_GRID / 10, members, rank, 0.0, start)
    made = turns(share, 10, start)
    assert made[0] == start
    assert all(b - a >= share.stride - 1e-9 for a, b in pairwise(made))


def test_nothing_before_what_others_may_still_hold() -> None:
    """The first turn waits for the grants that were out when the schedule was lost."""
    share = Share(0.5, 2, 1, 0.0, 10.2)
    assert share.after(7.0, float("-inf")) == 10.5
