"""A worker's access to the schedule that the supervisor keeps."""

from __future__ import annotations

import asyncio
import itertools
import math
from typing import TYPE_CHECKING

from headgate.throttle.ledger import LedgerError, Standing
from headgate.throttle.schedule import LONG_AGO, MICRO, micro
from headgate.workers.messages import Changed, Give, Granted, Join, Leave, Pause, Reserve, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.throttle.pacer import Pace
    from headgate.workers.messages import LedgerCall, LedgerNews


class SupervisorLedger:
    """A `Ledger` over messages; the clock of supervisor and workers is the same.

    Args:
        send: takes what goes to the supervisor; its answers come by `hear`.
    """

    def __init__(self, send: Callable[[LedgerCall], None]) -> None:
        self.name = "the supervisor"
        self.on_pause: Callable[[float], None] = lambda _: None
        self.on_change: Callable[[], None] = lambda: None
        self._send = send
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Granted]] = {}
        self._joined = False
        self._lost = False

    def __repr__(self) -> str:
        state = "lost" if self._lost else "joined" if self._joined else "outside"
        return f"<SupervisorLedger {state}>"

    async def join(self, *, latest: float, settle: float) -> Standing:
        number = next(self._numbers)
        taken = LONG_AGO if latest == -math.inf else micro(latest)
        granted = await self._ask(Join(number, taken, micro(settle)), number)
        self._joined = True
        return _standing(granted)

    async def reserve(self, count: int, lead: float) -> Standing:
        self._check_joined()
        number = next(self._numbers)
        return _standing(await self._ask(Reserve(number, count, micro(lead)), number))

    async def give_back(self, instants: Sequence[float]) -> None:
        self._check_joined()
        self._send(Give([round(instant * MICRO) for instant in instants]))

    async def pause(self, until: float) -> None:
        self._check_joined()
        self._send(Stop(micro(until)))

    def change(self, pace: Pace) -> None:
        """The supervisor has changed it before it said so."""

    async def aclose(self) -> None:
        if self._joined and not self._lost:
            self._send(Leave())
        self._joined = False

    def hear(self, news: LedgerNews) -> None:
        """The supervisor says something."""
        match news:
            case Pause(until):
                self.on_pause(_seconds(until))
            case Changed():
                self.on_change()
            case Granted(number):
                future = self._asked.get(number)
                if future is not None and not future.done():
                    future.set_result(news)
                else:
                    self._decline(news)

    def lose(self) -> None:
        """The supervisor is gone, for good."""
        self._lost = True
        for future in self._asked.values():
            if not future.done():
                future.set_exception(LedgerError("the supervisor is gone"))

    async def _ask(self, call: Join | Reserve, number: int) -> Granted:
        self._check_supervisor()
        future: asyncio.Future[Granted] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            self._send(call)
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and not future.exception():
                self._decline(future.result())
            raise
        finally:
            del self._asked[number]

    def _decline(self, granted: Granted) -> None:
        """An answer that came too late for who asked: its slots are for others."""
        if granted.instants and self._joined:
            self._send(Give(granted.instants))

    def _check_joined(self) -> None:
        self._check_supervisor()
        if not self._joined:
            raise LedgerError("this worker has not joined the schedule")

    def _check_supervisor(self) -> None:
        if self._lost:
            raise LedgerError("the supervisor is gone")


def _standing(granted: Granted) -> Standing:
    instants = [_seconds(instant) for instant in granted.instants]
    free_at = _seconds(granted.free_at)
    return Standing(instants, free_at, granted.members, granted.rank, 0.0)


def _seconds(instant: int) -> float:
    """Never earlier: the nearest float may be."""
    return math.nextafter(instant / MICRO, math.inf)
