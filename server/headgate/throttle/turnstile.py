"""The waiting side of a Throttle: the one place where its decisions meet the event loop."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from headgate.throttle.ticket import Phase
from headgate.upstream import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.throttle.pacer import Pace
    from headgate.throttle.throttle import Throttle
    from headgate.throttle.ticket import Ticket

FETCH = 0.02
"""Seconds within which a free slot is usually fetched from a shared schedule."""


class Turnstile:
    """Lets tickets of one Throttle wait, and wakes them when the Throttle says so.

    Nothing polls: one timer stands at the Throttle's next wake-up, and every change moves it.

    Args:
        throttle: the decisions.
        clock: monotonic seconds; the event loop's, but finer than uvloop's milliseconds.
    """

    def __init__(self, throttle: Throttle, clock: Callable[[], float] = time.monotonic) -> None:
        self.throttle = throttle
        self._clock = clock
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Turnstile {self.throttle!r}>"

    @property
    def busy(self) -> bool:
        """Somebody waits, or is inside."""
        return bool(self.throttle.waiting or self.throttle.in_flight)

    @property
    def rested(self) -> bool:
        """Not busy, and whoever came now would start at once."""
        now = self._clock()
        return not self.busy and self.throttle.predict(now, "").at <= now

    async def enter(
        self,
        enqueue: Callable[[float], Ticket],
        on_queued: Callable[[Callable[[], Place]], None],
    ) -> Ticket:
        """Wait for a slot, and hold it until `leave`.

        Args:
            enqueue: asks the Throttle for a ticket, given the time.
            on_queued: called when the ticket has to wait, with a function that tells its place.

        Raises:
            Refused: as the Throttle decides, at once or later.
        """
        ticket = enqueue(self._clock())
        try:
            if ticket.phase is Phase.WAITING:
                await self._wait(ticket, on_queued)
            self.turn()
        except BaseException:  # a cancellation, too, must give the place back
            self.leave(ticket)
            raise
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The attempt is over, or does not start."""
        self.throttle.leave(ticket, self._clock())
        self.turn()

    async def start(self, ticket: Ticket) -> None:
        """Wait until a granted ticket may write its request; the next slot counts from here.

        Raises:
            WaitTooLong: the slot that is left for it comes too late.
        """
        while not await self.may_start(ticket):
            pass

    async def may_start(self, ticket: Ticket) -> bool:
        """Whether a granted ticket may write its request now; yes: the next slot counts from here.

        False: it was too early, and has waited; to be asked again.

        Raises:
            WaitTooLong: the slot that is left for it comes too late.
        """
        due = self.throttle.start(ticket, now := self._clock())
        self.turn()
        if due <= now:
            return True
        await asyncio.sleep(due - now)
        return False

    def started(self, ticket: Ticket) -> None:
        """The request has left only now."""
        self.throttle.started(ticket, self._clock())
        self.turn()

    def cooldown(self, seconds: float) -> None:
        """Nothing starts for so long."""
        self.throttle.cooldown(self._clock(), seconds)
        self.turn()

    def change(
        self, pace: Pace, *, max_in_flight: float, max_queue: float, max_cooldown: float = 60.0
    ) -> None:
        """Other limits from now on."""
        self.throttle.change(
            self._clock(),
            pace,
            max_in_flight=max_in_flight,
            max_queue=max_queue,
            max_cooldown=max_cooldown,
        )
        self.turn()

    def drain(self, seconds: float) -> None:
        """Refuse all who wait, but for those who were told so and start within `seconds`."""
        now = self._clock()
        self.throttle.drain(now, now + seconds)
        self.turn()

    def turn(self) -> None:
        """Do what is due, and stand the timer at what is due next."""
        if self._timer is None and self.throttle.idle:
            return
        now = self._clock()
        for ticket in self.throttle.step(now):
            future = self._waiting.pop(ticket, None)
            if future is not None and not future.done():
                future.set_result(None)
        self._stand_timer(self.throttle.next_wakeup(now), now)

    def _stand_timer(self, wakeup: float | None, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wakeup is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, wakeup - now), self.turn)

    async def _wait(self, ticket: Ticket, on_queued: Callable[[Callable[[], Place]], None]) -> None:
        future = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        self.turn()
        try:
            if not await self._is_over_soon(ticket, future):
                on_queued(_PlaceOf(self, ticket))
                await future
        finally:
            self._waiting.pop(ticket, None)
        if ticket.phase is Phase.REFUSED and ticket.error is not None:
            raise ticket.error

    async def _is_over_soon(self, ticket: Ticket, future: asyncio.Future[None]) -> bool:
        """A slot that only has to be fetched is no wait that a caller should hear of."""
        if not self.throttle.fetches or self.throttle.outlook(ticket, self._clock()).position > 1:
            return future.done()
        await asyncio.wait({future}, timeout=FETCH)
        return future.done()

    def place(self, ticket: Ticket) -> Place:
        """Where a ticket stands now."""
        now = self._clock()
        outlook = self.throttle.outlook(ticket, now)
        return Place(outlook.position, max(0.0, outlook.at - now), outlook.exact)


class _PlaceOf:
    """Tells where a ticket stands; see `headgate.upstream.Peekable`."""

    __slots__ = ("_ticket", "_turnstile")

    def __init__(self, turnstile: Turnstile, ticket: Ticket) -> None:
        self._turnstile = turnstile
        self._ticket = ticket

    def __call__(self) -> Place:
        """Told to a caller, so a drain keeps the promise that this is."""
        self._ticket.told = True
        return self.peek()

    def peek(self) -> Place:
        return self._turnstile.place(self._ticket)
