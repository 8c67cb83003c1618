"""The bounded queue: who may wait, who has to make room, whose time is up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headgate.errors import CallerLimit, QueueFull
from headgate.throttle.fair_queue import FairQueue
from headgate.throttle.sorted_keys import SortedKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.errors import Refused
    from headgate.throttle.ticket import Patience, Ticket

End = tuple[float, int, "Ticket"]


class WaitingRoom:
    """A fair queue with a bound, and all who wait in the order in which their patience ends."""

    __slots__ = ("_ends", "_queue", "max_queue")

    def __init__(self, max_queue: float) -> None:
        if not max_queue >= 0:
            raise ValueError(f"throttle.max_queue is {max_queue:g}; it must be 0 or more (or inf)")
        self.max_queue = max_queue
        self._queue = FairQueue()
        self._ends: SortedKeys[End] = SortedKeys()

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[Ticket]:
        return (ticket for _, _, ticket in self._ends)

    @property
    def queue(self) -> FairQueue:
        return self._queue

    @property
    def first_end(self) -> float:
        """The instant at which the first of them gives up; inf: nobody waits."""
        return self._ends.first()[0] if self._ends else math.inf

    def make_place(self, ticket: Ticket, max_line: float) -> Ticket | None:
        """Who has to go so that this call may wait; None: there is room.

        Raises:
            CallerLimit: its caller's line is at `max_line`.
            QueueFull: the queue is at `max_queue`, and there is nobody to displace.
        """
        own = self._queue.length(ticket.caller)
        if own >= max_line:
            refusal: Refused = CallerLimit(
                f"this caller has {own} calls waiting already (callers.max_queue)"
            )
        elif len(self._queue) < self.max_queue:
            return None
        elif own + 1 < self._queue.longest:
            # Shorter even with the newcomer in it: else two callers would trade places for ever.
            return self._queue.newest_of_longest()
        else:
            refusal = QueueFull(f"all {self.max_queue:g} places are taken (throttle.max_queue)")
        victim = self._own_newest(ticket, own)
        if victim is None:
            raise refusal
        return victim

    def add(self, ticket: Ticket, weight: float) -> None:
        self._queue.add(ticket, weight)
        self._ends.add(ticket.end)

    def remove(self, ticket: Ticket) -> None:
        self._queue.remove(ticket)
        self._ends.remove(ticket.end)

    def hasten(self, ticket: Ticket, patience: Patience) -> None:
        """Shortens the patience of one who waits; a longer one changes nothing."""
        self._ends.remove(ticket.end)
        ticket.patience = min(ticket.patience, patience)
        self._ends.add(ticket.end)

    def pop(self) -> Ticket:
        """Takes out the call whose turn it is."""
        ticket = self._queue.pop()
        self._ends.remove(ticket.end)
        return ticket

    def pop_ended(self, now: float, *, inclusive: bool) -> list[Ticket]:
        """Takes out those whose patience ended before now (or, inclusive, ends now)."""
        ended = []
        while self._ends:
            until, _, ticket = self._ends.first()
            if until > now or (until == now and not inclusive):
                break
            self.remove(ticket)
            ended.append(ticket)
        return ended

    def _own_newest(self, ticket: Ticket, own: int) -> Ticket | None:
        """A retry has cost slots already: it goes before the newest first attempt of its line."""
        if not (ticket.head and own):
            return None
        newest = self._queue.newest_of(ticket.caller)
        return None if newest.head else newest
