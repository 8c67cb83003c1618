"""The throttle's decisions: pace, fair queue, cap in flight. Synchronous; time is an argument.

A ticket's way: `enqueue` grants it a slot at once, lets it wait, or refuses it. `step` is called
at `next_wakeup` and after every other call that changes something; it hands out the tickets whose
wait is over. A granted attempt connects, then asks `start` until the answer is now, writes its
request, and ends with `leave`, which is right at any moment and is what a `finally` calls.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from headgate.errors import DeadlineExceeded, Draining, QueueFull, Refused, WaitTooLong
from headgate.throttle.advice import AdviceBook
from headgate.throttle.flight import Flight
from headgate.throttle.ticket import FOREVER, Estimate, Patience, Phase, Ticket
from headgate.throttle.waiting_room import WaitingRoom

if TYPE_CHECKING:
    from headgate.throttle.pacer import Pace
    from headgate.throttle.store import Store

DISPLACED = "the queue is full, and a caller with a shorter line came (throttle.max_queue)"

REJUDGE_EVERY = 0.25
"""Seconds between two judgements of everybody while newcomers push waiters back."""

REJUDGE_SHARE = 1e-4
"""Seconds added per waiter, so that judging a long queue stays a small part of the work."""

UNKNOWN_SERVICE_TIME = 1.0
"""Seconds that advice supposes an attempt to last before the first has ended."""


class Throttle:
    """One upstream's limit, shared by all callers of this process.

    Time that steps back stands still here until it has caught up.

    Args:
        store: the schedule.
        max_in_flight: attempts at once, 1 or more; inf: no cap.
        max_queue: waiting calls in all, 0 or more; a call that starts at once does not wait.
        max_cooldown: the longest pause that one upstream reply can cause, seconds.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_in_flight: float = math.inf,
        max_queue: float = 1000,
        max_cooldown: float = 60.0,
    ) -> None:
        self.max_cooldown = max_cooldown
        self.counts: Counter[str] = Counter()
        self._store = store
        self._flight = Flight(max_in_flight)
        self._room = WaitingRoom(max_queue)
        self._advice = AdviceBook()
        self._over: list[Ticket] = []  # thrown out, and not yet handed out by `step`
        self._drain_until: float | None = None
        self._slack = math.inf  # seconds by which the tightest waiter can still be pushed back
        self._judged = -math.inf
        self._numbers = 0
        self._now = -math.inf

    def __repr__(self) -> str:
        cooling = max(0.0, self._store.next_slot(self._now) - self._now)
        return (
            f"<Throttle [{len(self._room)} waiting in {self._room.queue.lines} lines"
            f" | {self._flight.aloft} in flight | next slot in {cooling:.3f} s]>"
        )

    @property
    def fetches(self) -> bool:
        """Slots come from a schedule that others share: even a free one takes a moment."""
        return not self._store.exact

    @property
    def idle(self) -> bool:
        """Nobody waits, for a slot or to be handed out, and no slot has to be fetched."""
        return self._store.exact and not self._room and not self._over

    @property
    def waiting(self) -> int:
        return len(self._room)

    @property
    def in_flight(self) -> int:
        return self._flight.aloft

    def enqueue(
        self,
        now: float,
        caller: str,
        *,
        patience: Patience = FOREVER,
        priority: int = 0,
        weight: float = 1.0,
        max_line: float = math.inf,
        head: bool = False,
        promised: bool = False,
    ) -> Ticket:
        """Asks for a slot: the ticket is GRANTED when it starts at once, else WAITING.

        Args:
            now: monotonic seconds.
            caller: the identity whose line it joins.
            patience: until when a start is of use.
            priority: within the caller's own line; higher is served first.
            weight: turns of the caller's line against those of others.
            max_line: the longest line this caller may have (callers.max_queue).
            head: a retry, which re-enters before all first attempts of its line.
            promised: let in while draining, too, as a retry is.

        Raises:
            CallerLimit: the caller's line is at `max_line`.
            QueueFull: no place, and no longer line to take one from.
            WaitTooLong: the slot would come after `patience.until`.
            DeadlineExceeded: `patience` is over already, and the slot would come at once.
            Draining: after `drain`.
        """
        now = self._tick(now)
        if self._drain_until is not None:
            if not (head or promised):
                self.counts[Draining.reason.value] += 1
                raise Draining
            patience = min(patience, Patience(self._drain_until, "the shutdown"))
        self._numbers += 1
        ticket = Ticket(caller, patience, priority, head, self._numbers, told=promised)
        if not self._room and patience.until >= now and self._is_due(now):
            self._grant(ticket, now)
            return ticket
        try:
            displaced = self._room.make_place(ticket, max_line)
        except Refused as error:
            raise self._advised(ticket, error, now) from None
        estimate = self._estimate(now, self._room.queue.would_stand(ticket, weight, displaced))
        if estimate.at > patience.until:
            if estimate.at <= now and not head:  # a slot is not what it lacks
                raise DeadlineExceeded("checking")
            raise self._too_late(ticket, estimate, now)
        self._admit(ticket, weight, estimate)
        if displaced is not None:
            self._room.remove(displaced)
            self._throw_out(displaced, QueueFull(DISPLACED), now)
        return ticket

    def step(self, now: float) -> list[Ticket]:
        """Does what is due; returns the tickets whose wait is over, GRANTED or REFUSED."""
        now = self._tick(now)
        if self._room.first_end < now:
            self._give_up(self._room.pop_ended(now, inclusive=False), now)
        if self._store.moved or now >= self._rejudge_at():
            self._judge(now)
        granted = []
        while self._room and self._is_due(now):
            ticket = self._room.pop()
            self._grant(ticket, now)
            granted.append(ticket)
        if self._room.first_end <= now:
            self._give_up(self._room.pop_ended(now, inclusive=True), now)
        over, self._over = self._over, []
        return over + granted

    def next_wakeup(self, now: float) -> float | None:
        """The instant at which `step` has something to do, if nothing else happens; or None."""
        now = self._tick(now)
        # With the cap reached a slot would pass unused.
        self._store.expect(now, int(min(len(self._room), max(0, self._flight.free))))
        if self._over:
            return now
        if not self._room:
            return None
        due = min(self._room.first_end, self._rejudge_at())
        if self._flight.free > 0:
            due = min(due, self._store.next_slot(now))
        return max(now, due) if due < math.inf else None

    def start(self, ticket: Ticket, now: float) -> float:
        """Asks, with the connection up, whether to write: `now` says yes, later: come back then.

        The next slot counts from here. Whoever was granted a slot and took too long to connect,
        or was overtaken by a cooldown, gets another one, before all who wait.

        Raises:
            WaitTooLong: the slot that is left for it comes too late; `leave` must follow.
            Draining: likewise, after `drain`.
        """
        asked_at, now = now, self._tick(now)
        if ticket.phase is not Phase.GRANTED or ticket.slot is None:
            raise RuntimeError(f"only a granted ticket can start; this one is {ticket.phase.name}")
        planned = ticket.slot.at
        due = self._store.start(ticket.slot, now)
        self._slack -= max(0.0, due - planned)
        if due <= now:
            ticket.phase = Phase.STARTED
            self.counts["started"] += 1
            return asked_at
        if due > ticket.patience.until:
            raise self._too_late(ticket, Estimate(1, due, exact=self._store.exact), now)
        return due

    def started(self, ticket: Ticket, now: float) -> None:
        """The request really left only now: the next slot counts from here."""
        now = self._tick(now)
        if ticket.phase is Phase.STARTED and ticket.slot is not None:
            self._slack -= max(0.0, now - ticket.slot.at)
            self._store.started(ticket.slot, now)

    def leave(self, ticket: Ticket, now: float) -> None:
        """The attempt is over, for whatever reason and in any phase; frees all that it holds."""
        now = self._tick(now)
        phase, ticket.phase = ticket.phase, Phase.LEFT
        if phase is Phase.WAITING:
            self._room.remove(ticket)
            self.counts["left"] += 1
        elif phase is Phase.GRANTED and ticket.slot is not None:
            self._store.release(ticket.slot)
            self._land(None)
        elif phase is Phase.STARTED:
            self._land(now - ticket.granted_at)
        elif phase is Phase.REFUSED and ticket in self._over:
            self._over.remove(ticket)

    def cooldown(self, now: float, seconds: float) -> None:
        """The upstream asked for a pause: nothing starts within it, and all are judged again."""
        now = self._tick(now)
        self._store.cooldown(now + min(seconds, self.max_cooldown))
        self.counts["cooldowns"] += 1
        self._judge(now)

    def change(
        self,
        now: float,
        pace: Pace,
        *,
        max_in_flight: float,
        max_queue: float,
        max_cooldown: float = 60.0,
    ) -> None:
        """Other limits from now on; who waits stays in line, and all are judged again."""
        now = self._tick(now)
        self._store.change(pace, now)
        self._flight.cap = max_in_flight
        self._room.max_queue = max_queue
        self.max_cooldown = max_cooldown
        self._judge(now)

    def drain(self, now: float, until: float) -> None:
        """Refuses all who wait, but for those who were told so and start by `until`.

        From now on only retries are let in, whose calls are running calls, and who was promised.
        """
        now = self._tick(now)
        self._drain_until = until
        for ticket in list(self._room):
            if ticket.told or ticket.head:
                self._room.hasten(ticket, Patience(until, "the shutdown"))
            else:
                self._room.remove(ticket)
                self._throw_out(ticket, Draining(), now)
        self._judge(now)

    def outlook(self, ticket: Ticket, now: float) -> Estimate:
        """Where a ticket stands, and when it would start; one that has a slot is the next."""
        now = self._tick(now)
        if ticket.phase is not Phase.WAITING:
            return Estimate(1, max(now, ticket.slot.at if ticket.slot else now), exact=True)
        return self._estimate(now, self._room.queue.ahead(ticket))

    def predict(
        self, now: float, caller: str, *, priority: int = 0, weight: float = 1.0, head: bool = False
    ) -> Estimate:
        """When a call would start that came in now; nothing changes."""
        ticket = Ticket(caller, priority=priority, head=head, number=self._numbers + 1)
        return self._estimate(self._tick(now), self._room.queue.would_stand(ticket, weight))

    def _tick(self, now: float) -> float:
        self._now = max(self._now, now)
        return self._now

    def _is_due(self, now: float) -> bool:
        return self._flight.free > 0 and self._store.next_slot(now) <= now

    def _estimate(self, now: float, ahead: int, *, unknown: float = 0.0) -> Estimate:
        slot = self._store.forecast(now, ahead)
        wait = self._flight.wait(ahead, unknown=unknown)
        exact = self._store.exact and ahead < self._flight.free
        return Estimate(ahead + 1, max(slot, now + wait), exact)

    def _grant(self, ticket: Ticket, now: float) -> None:
        ticket.phase = Phase.GRANTED
        ticket.granted_at = now
        ticket.slot = self._store.take(now)
        self._flight.aloft += 1
        self.counts["granted"] += 1

    def _land(self, seconds: float | None) -> None:
        if self._flight.free <= 0 and self._store.interval:
            self._slack = -math.inf  # slots went by unused while the cap was reached
        self._flight.land(seconds)

    def _admit(self, ticket: Ticket, weight: float, estimate: Estimate) -> None:
        if not self._room:
            self._slack = math.inf
        elif estimate.position <= len(self._room):
            self._slack -= self._store.interval
        self._slack = min(self._slack, ticket.patience.until - estimate.at)
        self._room.add(ticket, weight)

    def _rejudge_at(self) -> float:
        if self._slack >= 0 or not self._room:
            return math.inf
        return self._judged + REJUDGE_EVERY + REJUDGE_SHARE * len(self._room)

    def _judge(self, now: float) -> None:
        """Throws out all whose slot would come too late.

        By the pace alone: an estimate may refuse at the door, but it throws nobody out.
        """
        self._judged = now
        self._store.moved = False
        self._slack = math.inf

        def fits(ticket: Ticket, ahead: int) -> bool:
            slack = ticket.patience.until - self._store.soonest(now, ahead)
            if slack < 0:
                return False
            self._slack = min(self._slack, slack)
            return True

        unfit = self._room.queue.unfit(fits)
        for ticket in unfit:
            self._room.remove(ticket)
        self._give_up(unfit, now)

    def _give_up(self, tickets: list[Ticket], now: float) -> None:
        for ticket in tickets:
            limit = ticket.patience.limit
            self._throw_out(
                ticket, WaitTooLong(f"no slot is left for this call within {limit}"), now
            )

    def _throw_out(self, ticket: Ticket, error: Refused, now: float) -> None:
        """Ends the wait of a ticket that the room has already let go."""
        ticket.phase = Phase.REFUSED
        ticket.error = self._advised(ticket, error, now)
        self._over.append(ticket)

    def _too_late(self, ticket: Ticket, estimate: Estimate, now: float) -> Refused:
        about = "" if estimate.exact else "about "
        return self._advised(
            ticket,
            WaitTooLong(
                f"this call could start in {about}{estimate.at - now:.2f} s;"
                f" that is not within {ticket.patience.limit}"
            ),
            now,
        )

    def _advised(self, ticket: Ticket, error: Refused, now: float) -> Refused:
        """Names the slot behind all who wait and all who were advised before; counts the error."""
        if self._drain_until is not None:
            error = Draining()
        else:
            slot = self._estimate(now, len(self._room), unknown=UNKNOWN_SERVICE_TIME).at
            step = max(self._store.interval, self._flight.interval(unknown=UNKNOWN_SERVICE_TIME))
            error.retry_after = self._advice.name(now, ticket.caller, slot, step) - now
        self.counts[error.reason.value] += 1
        return error
