"""Between a SharedStore and its Ledger: fetches grants, passes pauses on, and outlives losses."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from headgate.throttle.ledger import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headgate.throttle.ledger import Ledger
    from headgate.throttle.shared_store import SharedStore

T = TypeVar("T")

BEAT = 5.0
"""Seconds without a call after which a member says that it lives."""

REST = 0.5
SETTLE = 3.0
"""In timeouts: the rest between two attempts to come back, and how long all others need for it,
which is a hung attempt, a rest and another attempt."""

log = structlog.get_logger()


class Courier:
    """One task that makes one call at a time, so that no RPC can cancel a call of the store's.

    Args:
        ledger: where the schedule is.
        store: what the throttle asks.
        timeout: seconds that a call may take before the schedule counts as lost.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: SharedStore,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.losses = 0
        self._ledger = ledger
        self._store = store
        self._turn: Callable[[], None] = lambda: None
        self._timeout = timeout
        self._clock = clock
        self._need = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lost_at: float | None = None
        self._beat_at = -math.inf
        store.on_need = self._need.set
        ledger.on_pause = self._hear_pause
        ledger.on_change = self._ask_who_is_there

    @property
    def name(self) -> str:
        """Of the ledger, without secrets."""
        return self._ledger.name

    async def start(self, turn: Callable[[], None], *, required: bool = True) -> None:
        """Enter, and go on from there in a task of its own.

        Args:
            turn: lets the throttle do what has become due.
            required: whether the schedule must be within reach.

        Raises:
            LedgerError: the schedule is out of reach, and `required`.
        """
        self._turn = turn
        try:
            await self._join()
        except LedgerError as error:
            if required:
                await self._ledger.aclose()
                raise
            self._lose(error)
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Leave the schedule to the others."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        with suppress(LedgerError):
            await self._in_time(self._ledger.aclose())

    async def _run(self) -> None:
        while True:
            try:
                self._turn()
                if self._store.alone:
                    await self._come_back()
                else:
                    await self._wait_for_need()
                    await self._run_errands()
            except LedgerError as error:
                self._lose(error)
            except Exception as error:  # without this task no slot would ever come again
                log.exception("the store's courier failed")
                self._lose(LedgerError(type(error).__name__))
                await asyncio.sleep(self._timeout)

    async def _wait_for_need(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._beat_at - self._clock())):
                await self._need.wait()
        self._need.clear()

    async def _run_errands(self) -> None:
        store, now = self._store, self._clock()
        if (until := store.untold) is not None:
            if until > now:
                await self._in_time(self._ledger.pause(until))
            store.told(until)
        if surplus := store.take_surplus(now):
            await self._in_time(self._ledger.give_back(surplus))
        count = store.ask(self._clock())
        if count or now >= self._beat_at:
            self._beat_at = now + BEAT
            sent = self._clock()
            standing = await self._in_time(self._ledger.reserve(count, store.lead))
            arrived = self._clock()
            store.hear(standing, arrived, arrived - sent)

    async def _come_back(self) -> None:
        try:
            await self._join()
        except LedgerError:
            await asyncio.sleep(self._timeout * REST)

    async def _join(self) -> None:
        store, sent = self._store, self._clock()
        lost_at, self._lost_at = self._lost_at, None
        away = lost_at is not None and (store.went_alone or sent - lost_at > self._timeout)
        try:
            # Whoever is back first waits until all others had their try, too.
            settle = SETTLE * self._timeout if away else 0.0
            standing = await self._in_time(self._ledger.join(latest=store.latest, settle=settle))
        except LedgerError:
            self._lost_at = lost_at
            raise
        arrived = self._clock()
        store.find()
        store.hear(standing, arrived, arrived - sent)
        if lost_at is not None:
            log.info("store_found", store=self.name, lost_for=round(arrived - lost_at, 3))

    async def _in_time(self, call: Coroutine[Any, Any, T]) -> T:
        """The call is a task of its own: a library may lose a cancellation, and with it our time.

        Raises:
            LedgerError: the call's own, or no answer in time; what still comes is not heard.
        """
        task = asyncio.create_task(call)
        try:
            await asyncio.wait({task}, timeout=self._timeout)
            if not task.done():
                raise LedgerError(f"no answer within {self._timeout:g} s")
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_forget)
        return task.result()

    def _lose(self, error: LedgerError) -> None:
        now = self._clock()
        self._store.lose(now)
        self.losses += 1
        self._lost_at = now
        log.warning(
            "store_lost", store=self.name, error=str(error), share=f"1/{self._store.members}"
        )

    def _ask_who_is_there(self) -> None:
        self._beat_at = -math.inf
        self._need.set()

    def _hear_pause(self, until: float) -> None:
        self._store.hear_pause(until)
        self._turn()


def _forget(task: asyncio.Task[Any]) -> None:
    """Whatever came of it: nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
