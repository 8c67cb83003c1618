"""Where the schedule lives: in this process; `shared_store` has the one that others share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from headgate.throttle.pacer import Pacer

if TYPE_CHECKING:
    from headgate.throttle.pacer import Pace


@dataclass(slots=True, eq=False)
class Slot:
    """One attempt's turn: the instant it holds, and whether it still holds it."""

    at: float
    held: bool = False


class Store(Protocol):
    """The schedule as one gateway process sees it.

    All instants are this process's monotonic seconds, whatever clock the store keeps, and every
    answer is at once: nothing is awaited between a decision and its record.
    A store that shares the schedule with other processes answers from grants (future instants)
    that were fetched ahead, by a task that no cancelled call can take along, and says `inf` while
    it has none. A grant that is met too late is not used.

    Attributes:
        interval: seconds between two slots in the long run; 0: no pace.
        exact: whether `forecast` is arithmetic, or an estimate because others share the limit.
        moved: somebody else has moved the schedule on; whoever judges who waits sets it back.
    """

    interval: float
    exact: bool
    moved: bool

    def next_slot(self, now: float) -> float:
        """The instant, `now` or later, of the next slot that nobody holds; inf: not known yet."""

    def forecast(self, now: float, ahead: int) -> float:
        """The instant of the slot behind the next `ahead` ones, if nothing moves the schedule."""

    def soonest(self, now: float, ahead: int) -> float:
        """As `forecast`, but never too late: others who share the limit may want nothing."""

    def expect(self, now: float, waiting: int) -> None:
        """So many attempts would take a slot at once; a shared store fetches for them."""

    def take(self, now: float) -> Slot:
        """Holds the next slot, which `next_slot` said is due, for one attempt."""

    def start(self, slot: Slot, now: float) -> float:
        """Asks, with the connection up, whether to write the request now.

        `now` says yes, and the start is recorded; a later instant is held: come back then.
        """

    def started(self, slot: Slot, now: float) -> None:
        """The request really left at `now`, later than `start` recorded it."""

    def release(self, slot: Slot) -> None:
        """Gives back a slot that will not be used; after `start` said yes it does nothing."""

    def cooldown(self, until: float) -> None:
        """Nothing starts before this instant; an earlier one than is set changes nothing."""

    def change(self, pace: Pace, now: float) -> None:
        """Another pace; around attempts that were written before, the stricter of both is kept."""


class MemoryStore:
    """The schedule of a single process.

    The rule that keeps the promise is one line in `start`: nothing is written before what was
    really written allows it. All else is planning. An attempt that was granted a slot is planned
    at that slot while it connects; after one interval without a start its hold lapses, the slot
    goes to the next, and the attempt takes another as soon as its connection is up.
    So a slow handshake is never overtaken into too small a gap, and a connection that hangs
    costs the others one interval and no more.
    """

    exact = True
    moved = False

    def __init__(self, pace: Pace) -> None:
        self.interval = pace.interval
        self._pacer = Pacer(pace)
        self._cooldown = -math.inf
        self._held: list[Slot] = []

    def __repr__(self) -> str:
        return f"<MemoryStore [{len(self._held)} held]>"

    def next_slot(self, now: float) -> float:
        plan = self._plan(now) if self._held else self._pacer
        return max(now, self._cooldown, plan.earliest())

    def forecast(self, now: float, ahead: int) -> float:
        plan = self._plan(now)
        return plan.nth(max(now, self._cooldown, plan.earliest()), ahead)

    def soonest(self, now: float, ahead: int) -> float:
        return self.forecast(now, ahead)

    def expect(self, now: float, waiting: int) -> None:
        """Nothing is fetched: all slots are here."""

    def take(self, now: float) -> Slot:
        slot = Slot(now)
        self._hold(slot)
        return slot

    def start(self, slot: Slot, now: float) -> float:
        self._lapse(now)
        if not slot.held:
            slot.at = self.next_slot(now)
            self._hold(slot)
        due = max(slot.at, self._cooldown, self._plan(now, before=slot).earliest())
        if due > now:
            slot.at = due
            return due
        self.release(slot)
        slot.at = now
        self._pacer.record(now)
        return now

    def started(self, slot: Slot, now: float) -> None:
        self._pacer.correct(slot.at, now)
        slot.at = max(slot.at, now)

    def release(self, slot: Slot) -> None:
        if slot.held:
            slot.held = False
            self._held.remove(slot)

    def cooldown(self, until: float) -> None:
        self._cooldown = max(self._cooldown, until)

    def change(self, pace: Pace, now: float) -> None:
        self._lapse(now)
        self.interval = pace.interval
        self._pacer.change(pace)
        if not self.interval:
            for slot in self._held.copy():
                self.release(slot)

    def _hold(self, slot: Slot) -> None:
        if self.interval:
            slot.held = True
            self._held.append(slot)

    def _lapse(self, now: float) -> None:
        old = now - self.interval
        for slot in self._held.copy():
            if slot.at <= old:
                self.release(slot)

    def _plan(self, now: float, before: Slot | None = None) -> Pacer:
        """The pacer as it will be when everybody who holds a slot (before that one) starts."""
        self._lapse(now)
        if not self._held or self._held[0] is before:
            return self._pacer
        plan = self._pacer.copy()
        for slot in self._held:
            if slot is before:
                break
            plan.record(max(slot.at, self._cooldown, plan.earliest()))
        return plan
