"""The store of a process that shares the schedule with others: it holds grants, future instants.

Synchronous: a `Courier` fetches what `wanted` says, and tells what came of it.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from headgate.throttle.share import Share
from headgate.throttle.store import Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.throttle.ledger import Standing
    from headgate.throttle.pacer import Pace

SHORTEST_LEAD = 0.002
LONGEST_LEAD = 0.5
MOST_AHEAD = 512
"""Grants that are held at once, at most."""


class Grant(NamedTuple):
    """An instant that is ours: from the schedule, or from our own share of the rate."""

    at: float
    own: bool = False


@dataclass(slots=True, eq=False)
class SharedSlot(Slot):
    """A slot that remembers when its attempt began to connect, and whose word it stands on.

    Attributes:
        taken: when it began to connect.
        pace: which of all paces so far the instant that it holds is of.
        own: that instant is from our own share of the rate.
        met: it has asked to start.
    """

    taken: float = math.nan
    pace: int = 0
    own: bool = False
    met: bool = False


class SharedStore:
    """A `Store` over grants.

    A grant may be started within `window` of its instant; one that is met later is not used, and
    its attempt takes the next. So that a handshake does not cost a grant, attempts are let in to
    connect somewhat before: as long as the last ones took.

    While the schedule cannot be reached, grants come from this member's `Share` of the rate.

    Args:
        pace: what all members keep together.
        least_members: how many share the schedule at least, for a share before any was heard of.

    Attributes:
        on_need: called when there may be something for the courier to do.
        counts: grants used (and how many of our own share), missed, met late, and returned.
        members: how many share the schedule, as far as is known.
        went_alone: something was started on our own share since the schedule was lost.
    """

    exact = False

    def __init__(self, pace: Pace, *, least_members: int = 1) -> None:
        self.interval = pace.interval
        self.on_need: Callable[[], None] = lambda: None
        self.counts = {"used": 0, "missed": 0, "late": 0, "returned": 0, "own": 0}
        self.members = max(1, least_members)
        self.went_alone = False
        self.moved = False
        self._least_members = max(1, least_members)
        self._current = pace
        self._burst = pace.burst
        self._window = max(pace.margin, 0.001)
        self._rank = 0
        self._origin = 0.0
        self._grants: list[Grant] = []
        self._asked = 0
        self._stranded: list[SharedSlot] = []  # connected, and their grant has passed
        self._waiting = 0
        self._cooldown = -math.inf
        self._untold: float | None = None
        self._free_at = -math.inf
        self._contention = 0.0  # slots of others between two of ours
        self._lead = SHORTEST_LEAD
        self._trip = 0.0
        self._share: Share | None = None
        self._gap = pace.gap
        self._last = -math.inf  # the latest instant of ours
        self._last_start = -math.inf
        self._last_own = -math.inf
        self._pace = 0  # counts paces: a slot of another one is none
        self._outdated = False  # what is under way was asked for under another pace

    def __repr__(self) -> str:
        mode = "alone" if self.alone else f"one of {self.members}"
        return f"<SharedStore [{mode} | {len(self._grants)} grants]>"

    @property
    def alone(self) -> bool:
        """The schedule cannot be reached: grants are from our own share."""
        return self._share is not None

    @property
    def rank(self) -> int:
        return self._rank

    # What the throttle asks.

    def next_slot(self, now: float) -> float:
        self._refresh(now)
        if len(self._grants) <= len(self._stranded):
            return math.inf
        return max(now, self._grants[len(self._stranded)].at - self._lead)

    def forecast(self, now: float, ahead: int) -> float:
        self._refresh(now)
        if ahead < len(self._grants):
            return max(now, self._grants[ahead].at)
        further = ahead - len(self._grants)
        if self._share is not None:
            latest = max([self._last_own, *(grant.at for grant in self._grants)])
            return self._share.after(now, latest) + further * self._share.stride
        lead = self.lead if not self._asked else 0.0
        first = max(now + lead, self._cooldown, self._free_at)
        return first + (self._contention + further * (1 + self._contention)) * self.interval

    def soonest(self, now: float, ahead: int) -> float:
        beyond = max(0, ahead - self._burst + 1)
        return max(now, self._cooldown) + beyond * self.interval

    def expect(self, now: float, waiting: int) -> None:
        self._waiting = waiting
        self._refresh(now)
        if self._untold is not None or self.wanted(now) or self._surplus(now):
            self.on_need()

    def take(self, now: float) -> Slot:
        grant = self._grants.pop(len(self._stranded))
        self._last = max(self._last, grant.at)
        return SharedSlot(grant.at, held=True, taken=now, pace=self._pace, own=grant.own)

    def start(self, slot: Slot, now: float) -> float:
        slot = cast("SharedSlot", slot)
        self._learn_lead(slot, now)
        if slot.held and (now > slot.at + self._window or not self._still_holds(slot)):
            slot.held = False
            self.counts["missed"] += 1
        if not slot.held and not self._give_next(slot, now):
            return now + max(0.001, self._trip)
        if slot.at > now:
            return slot.at
        slot.held = False
        self._last, self._last_start = max(self._last, now), now
        self.counts["used"] += 1
        if slot.own:
            self.went_alone = True
            self.counts["own"] += 1
        return now

    def started(self, slot: Slot, now: float) -> None:
        if now > slot.at + self._window:
            self.counts["late"] += 1
        self._last, self._last_start = max(self._last, now), max(self._last_start, now)

    def release(self, slot: Slot) -> None:
        slot = cast("SharedSlot", slot)
        if slot in self._stranded:
            self._stranded.remove(slot)
        held, slot.held = slot.held, False
        if held and slot.pace == self._pace:  # one of another pace may be too near to others
            insort(self._grants, Grant(slot.at, slot.own))
            self.on_need()

    def cooldown(self, until: float) -> None:
        if until > self._cooldown:
            self.hear_pause(until)
            self._untold = until
            self.on_need()

    def change(self, pace: Pace, now: float) -> None:
        """All grants are given up: they may be too near to others. What has none takes the next."""
        if pace == self._current:
            return
        self._current = pace
        if self._share is not None:
            latest = max([self._last, *(grant.at for grant in self._grants)])
            first = max(now, latest) + self._share.members * max(self.interval, pace.interval)
            self._share = self._share._replace(interval=pace.interval, first=first)
        self.interval = pace.interval
        self._burst, self._gap = pace.burst, pace.gap
        self._window = max(pace.margin, 0.001)
        self._grants = []
        self._pace += 1
        self._outdated = self._asked > 0
        self.on_need()

    # What the courier asks and tells.

    @property
    def lead(self) -> float:
        """How far away a slot must be to be of use: a reply's way, and a handshake."""
        return 1.5 * self._trip + self._lead

    @property
    def latest(self) -> float:
        """The latest instant that we know to be taken; -inf: none."""
        return max([self._last, *(grant.at for grant in self._grants if not grant.own)])

    def wanted(self, now: float) -> int:
        """How many more grants would be of use, those under way counted."""
        self._drop_passed(now)
        ahead = 1 + int((self._trip + self._lead) / self.interval)
        need = min(self._waiting, ahead, MOST_AHEAD) + len(self._stranded)
        return max(0, need - len(self._grants) - self._asked)

    def ask(self, now: float) -> int:
        """As `wanted`; they count as under way from now on."""
        self._asked = self.wanted(now)
        return self._asked

    @property
    def untold(self) -> float | None:
        """Until when a pause is that the other members have to hear of."""
        return self._untold

    def told(self, until: float) -> None:
        """They have heard of this one; a later one may have come meanwhile."""
        if self._untold == until:
            self._untold = None

    def take_surplus(self, now: float) -> list[float]:
        """Grants that nobody here needs and that somebody else may still use."""
        surplus = self._surplus(now)
        self._grants = [grant for grant in self._grants if grant not in surplus]
        self.counts["returned"] += len(surplus)
        return [grant.at for grant in surplus]

    def hear(self, standing: Standing, now: float, trip: float) -> None:
        """A reply came, after a trip of so many seconds."""
        self._trip = max(trip, 0.8 * self._trip + 0.2 * trip)
        self._asked = 0
        instants = [] if self._outdated else standing.instants
        self._outdated = False
        self._learn_contention(standing, now)
        self.members, self._rank = standing.members, standing.rank
        self._origin, self._free_at = standing.origin, standing.free_at
        for instant in instants:
            if instant >= self._cooldown - self._window:
                insort(self._grants, Grant(instant))
        self._drop_passed(now)

    def hear_pause(self, until: float) -> None:
        """Nothing may start before this instant."""
        self.moved = self.moved or until > self._cooldown
        self._cooldown = max(self._cooldown, until)
        self._grants = [g for g in self._grants if g.at >= self._cooldown - self._window]

    def lose(self, now: float) -> None:
        """The schedule is out of reach: from now on, our share. What is granted stays granted."""
        self._asked = 0
        self._outdated = False
        if self._share is not None:
            return
        members = max(self.members, self._least_members)
        taken = max(now, self._free_at, self.latest) + (members - 1) * self.interval
        self._share = Share(self.interval, members, self._rank, self._origin, taken)

    def find(self) -> None:
        """The schedule is back."""
        self._share = None
        self.went_alone = False
        self._grants = [grant for grant in self._grants if not grant.own]

    def _refresh(self, now: float) -> None:
        self._drop_passed(now)
        if self._share is not None:
            for _ in range(self.wanted(now)):
                self._last_own = self._share.after(
                    max(now + self._lead, self._cooldown), self._last_own
                )
                insort(self._grants, Grant(self._last_own, own=True))

    def _drop_passed(self, now: float) -> None:
        oldest = now - self._window / 2
        while self._grants and self._grants[0].at < oldest:
            self._grants.pop(0)
            self.counts["missed"] += 1

    def _still_holds(self, slot: SharedSlot) -> bool:
        """Not if a pause or another pace came, the schedule came back, or our last is too near."""
        earliest = max(self._cooldown, self._last_start + self._gap) - self._window
        if slot.pace != self._pace or slot.at < earliest:
            return False
        return self.alone or not slot.own

    def _give_next(self, slot: SharedSlot, now: float) -> bool:
        if slot not in self._stranded:
            self._stranded.append(slot)
        self._refresh(now)
        place = self._stranded.index(slot)
        if place >= len(self._grants):
            self.on_need()
            return False
        self._stranded.pop(place)
        grant = self._grants.pop(place)
        slot.at, slot.own, slot.held, slot.pace = grant.at, grant.own, True, self._pace
        self._last = max(self._last, slot.at)
        return True

    def _surplus(self, now: float) -> list[Grant]:
        needed = len(self._stranded) + self._waiting
        rest = self._grants[needed:]
        return [grant for grant in rest if not grant.own and grant.at > now + self.lead]

    def _learn_lead(self, slot: SharedSlot, now: float) -> None:
        if slot.met:
            return
        slot.met = True
        took = 1.2 * (now - slot.taken) + SHORTEST_LEAD
        self._lead = min(max(took, 0.95 * self._lead + 0.05 * took), LONGEST_LEAD)

    def _learn_contention(self, standing: Standing, now: float) -> None:
        if not standing.instants or not self.interval:
            return
        expected = max(now, self._free_at)
        others = max(0.0, (standing.instants[0] - expected) / self.interval)
        self._contention += 0.3 * (min(others, 4.0 * self.members) - self._contention)
