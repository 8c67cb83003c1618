"""Gateways that share a schedule, without sockets: real couriers and stores on a virtual clock."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from headgate.throttle.courier import Courier
from headgate.throttle.ledger import LedgerError, Standing
from headgate.throttle.remote_clock import RemoteClock
from headgate.throttle.schedule import LONG_AGO, MICRO, Schedule, Terms
from headgate.throttle.shared_store import SharedStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.throttle.pacer import Pace

TIMEOUT = 0.5
EPOCH = 1_700_000_000.0


class Keeper:
    """The schedule in a server that can stop, hang and set its clock.

    Attributes:
        up: whether it answers; while it does not, calls fail at once.
        awake: while it is not set, calls get no answer at all.
        ahead: seconds by which its clock is ahead of the true time.
    """

    def __init__(self, pace: Pace) -> None:
        self.up = True
        self.awake = asyncio.Event()
        self.awake.set()
        self.ahead = EPOCH
        self.members: dict[int, Link] = {}
        self._terms = Terms.of(pace)
        self.schedule = Schedule(self._terms)
        self.fresh = False

    def now(self) -> int:
        return int((asyncio.get_running_loop().time() + self.ahead) * MICRO)

    def tell_others(self, changed: Link) -> None:
        for member in self.members.values():
            if member is not changed:
                member.on_change()

    def forget(self) -> None:
        """It starts anew, with no data."""
        self.schedule = Schedule(self._terms)
        self.members.clear()
        self.fresh = True


class Link:
    """A `Ledger` to a Keeper, over a way that takes time and may lose what it carries.

    Attributes:
        there, back: seconds that requests and replies take.
        lose: how many of the next replies do not arrive.
        calls: how many calls arrived at the keeper.
    """

    name = "keeper"

    def __init__(self, keeper: Keeper, number: int, clock: Callable[[], float]) -> None:
        self.on_pause: Callable[[float], None] = lambda _: None
        self.on_change: Callable[[], None] = lambda: None
        self.there = self.back = 0.0002
        self.lose = 0
        self.calls = 0
        self._keeper = keeper
        self._number = number
        self._local = clock
        self._clock = RemoteClock()
        self._mine: dict[float, int] = {}

    async def join(self, *, latest: float, settle: float) -> Standing:
        await self._call(lambda _: [], joining=True)  # learns the time
        us = LONG_AGO if latest == -math.inf else self._theirs(latest)

        def enter(now: int) -> list[int]:
            fresh, self._keeper.fresh = self._keeper.fresh, False
            wait = max(settle, 2.0 if fresh else 0.0)
            self._keeper.members[self._number] = self
            self._keeper.tell_others(self)
            self._keeper.schedule.join(now, us, int(wait * MICRO))
            return []

        return await self._call(enter, joining=True)

    async def reserve(self, count: int, lead: float) -> Standing:
        doubt = self._clock.doubt(self._local())
        pad = int(doubt * MICRO) if doubt > 0.00125 else 0
        ahead = math.ceil(lead * MICRO)
        return await self._call(lambda now: self._keeper.schedule.reserve(now, count, ahead, pad))

    async def give_back(self, instants: Sequence[float]) -> None:
        theirs = [self._mine.pop(instant) for instant in instants]

        def return_them(now: int) -> list[int]:
            self._keeper.schedule.give_back(now, theirs)
            return []

        await self._call(return_them)

    async def pause(self, until: float) -> None:
        span = math.ceil(max(0.0, until - self._local()) * MICRO)

        def tell(now: int) -> list[int]:
            self._keeper.schedule.pause(now, now + span)
            for member in self._keeper.members.values():
                if member is not self:
                    member.hear(now + span)
            return []

        await self._call(tell)

    def change(self, pace: Pace) -> None:
        """The keeper has changed it before it said so, as a supervisor does."""

    async def aclose(self) -> None:
        self._keeper.members.pop(self._number, None)
        self._keeper.tell_others(self)

    def hear(self, pause: int) -> None:
        self.on_pause(self._clock.here(pause / MICRO, self._local()))

    async def _call(self, act: Callable[[int], list[int]], *, joining: bool = False) -> Standing:
        sent = self._local()
        await self._pass(self.there)
        self.calls += 1
        keeper = self._keeper
        if self._number not in keeper.members and not joining:
            raise LedgerError("the schedule is gone")
        now = keeper.now()
        instants = act(now)
        free_at, members = keeper.schedule.free_at(now), sorted(keeper.members) or [self._number]
        await self._pass(self.back)
        if self.lose:
            self.lose -= 1
            await asyncio.Event().wait()
        if not self._clock.exchange(sent, now / MICRO, self._local()):
            instants = []
        ours = {self._ours(instant): instant for instant in instants}
        self._mine |= ours
        rank = members.index(self._number) if self._number in members else 0
        return Standing(sorted(ours), self._ours(free_at), len(members), rank, self._ours(0))

    async def _pass(self, seconds: float) -> None:
        if not self._keeper.up:
            raise LedgerError("connection refused")
        await asyncio.sleep(seconds)
        await self._keeper.awake.wait()
        if not self._keeper.up:
            raise LedgerError("connection closed")

    def _ours(self, instant: int) -> float:
        return self._clock.here(instant / MICRO, self._local())

    def _theirs(self, instant: float) -> int:
        return math.ceil(self._clock.there(instant, self._local()) * MICRO)


class Member:
    """One gateway: calls wait for their slot in it, connect, and start.

    Attributes:
        starts: the true instants at which attempts were written.
        connect: seconds that a handshake takes.
    """

    def __init__(self, keeper: Keeper, number: int, pace: Pace, *, ahead: float = 0.0) -> None:
        self.starts: list[float] = []
        self.connect = 0.0003
        self.went_alone = False
        self._ahead = ahead
        self.store = SharedStore(pace)
        self.link = Link(keeper, number, self.clock)
        self.courier = Courier(self.link, self.store, timeout=TIMEOUT, clock=self.clock)
        self.turnstile = Turnstile(Throttle(self.store), self.clock)
        self._calls: set[asyncio.Task[None]] = set()

    def clock(self) -> float:
        return asyncio.get_running_loop().time() + self._ahead

    async def start(self, *, required: bool = True) -> None:
        await self.courier.start(self.turnstile.turn, required=required)

    def call(self, caller: str = "someone") -> asyncio.Task[None]:
        """One call, from the queue to its start."""
        task = asyncio.create_task(self._call(caller))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    def change(self, pace: Pace) -> None:
        """The news of another pace is here."""
        self.link.change(pace)
        self.turnstile.change(pace, max_in_flight=math.inf, max_queue=1000)

    async def kill(self) -> None:
        """Nothing is said to anybody; what it held is lost."""
        for task in list(self._calls):
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        self.link.aclose = _nothing  # type: ignore[method-assign]
        await self.courier.aclose()

    async def stop(self) -> None:
        for task in list(self._calls):
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self.courier.aclose()

    async def _call(self, caller: str) -> None:
        def enqueue(now: float) -> object:
            return self.turnstile.throttle.enqueue(now, caller)

        ticket = await self.turnstile.enter(enqueue, lambda _: None)  # type: ignore[arg-type]
        try:
            await asyncio.sleep(self.connect)
            await self.turnstile.start(ticket)
            self.starts.append(asyncio.get_running_loop().time())
            self.went_alone |= self.store.went_alone
        finally:
            self.turnstile.leave(ticket)


async def _nothing() -> None:
    pass
