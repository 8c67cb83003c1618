"""What a metered turnstile counts, in virtual time: exact waits, and what was foretold of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from headgate.errors import Refused
from headgate.telemetry.queue import MeteredTurnstile, QueueMeter, priority_label
from headgate.telemetry.samples import exposition, families_of
from headgate.throttle.ticket import FOREVER, Patience
from support.clockwork import HALF_SECOND, throttle
from support.scrape import Scrape
from support.virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headgate.throttle.ticket import Ticket


class Metered:
    """A turnstile at two slots a second, and what it counts."""

    def __init__(self, **limits: Any) -> None:
        self._registry = CollectorRegistry()
        self.throttle = throttle(HALF_SECOND, **limits)
        clock = asyncio.get_running_loop().time
        self.turnstile = MeteredTurnstile(self.throttle, QueueMeter(self._registry), clock)

    async def call(
        self,
        *,
        priority: int = 0,
        connect: float = 0.0,
        lasts: float = 0.0,
        patience: Patience = FOREVER,
    ) -> None:
        def enqueue(now: float) -> Ticket:
            return self.throttle.enqueue(now, "anna", priority=priority, patience=patience)

        ticket = await self.turnstile.enter(enqueue, lambda _: None)
        try:
            await asyncio.sleep(connect)
            await self.turnstile.start(ticket)
            await asyncio.sleep(lasts)
        finally:
            self.turnstile.leave(ticket)

    def scrape(self) -> Scrape:
        return Scrape.of(exposition(families_of(self._registry))[0].decode())


def virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run an async test in virtual time."""

    def run() -> None:
        run_virtually(test())

    run.__doc__, run.__name__ = test.__doc__, test.__name__
    return run


@virtually
async def test_waits_are_counted_by_priority() -> None:
    """Three calls at two a second wait 0, 0.5 and 1 s; the highest priority goes first."""
    metered = Metered()
    calls = [asyncio.create_task(metered.call(priority=priority)) for priority in (0, 0, 3)]
    await asyncio.sleep(0.1)
    depth = metered.scrape()
    assert depth.by("headgate_queue_depth", "priority") == {"0": 1, "3": 1}
    await asyncio.gather(*calls)
    said = metered.scrape()
    assert said.by("headgate_queue_depth", "priority") == {}
    assert said.by("headgate_queue_wait_seconds_count", "priority") == {"0": 2, "3": 1}
    waits = said.by("headgate_queue_wait_seconds_sum", "priority")
    assert waits == {"0": pytest.approx(1, abs=1e-3), "3": pytest.approx(0.5, abs=1e-3)}


@virtually
async def test_what_was_foretold_is_compared_with_what_came() -> None:
    """By the pace alone it is exact; a pause that nobody could foresee is an error of its length.

    Who starts at once was told nothing and counts as nothing.
    """
    metered = Metered()
    await asyncio.gather(metered.call(), metered.call())
    said = metered.scrape()
    assert said.total("headgate_predicted_wait_error_seconds_count") == 1
    assert said.total("headgate_predicted_wait_error_seconds_sum") == pytest.approx(0, abs=1e-3)
    waiting = asyncio.create_task(metered.call())
    await asyncio.sleep(0.1)
    metered.turnstile.cooldown(7)
    assert metered.turnstile.paused_until == pytest.approx(7.6, abs=1e-3)
    await waiting
    late = metered.scrape().total("headgate_predicted_wait_error_seconds_sum")
    assert late == pytest.approx(6.6, abs=1e-2)


@virtually
async def test_nobody_is_promised_anything_by_being_counted() -> None:
    """A drain refuses who waits untold, with metrics as without."""
    metered = Metered()
    first, second = (asyncio.create_task(metered.call(lasts=1)) for _ in range(2))
    await asyncio.sleep(0.1)
    metered.turnstile.drain(30)
    await first
    with pytest.raises(Refused):
        await second
    assert metered.scrape().total("headgate_queue_depth") == 0
    assert metered.scrape().total("headgate_queue_wait_seconds_count") == 1


@virtually
async def test_the_depth_falls_however_a_wait_ends() -> None:
    """Cancelled, or thrown out."""
    metered = Metered()
    first = asyncio.create_task(metered.call())
    left = asyncio.create_task(metered.call())
    out = asyncio.create_task(metered.call(patience=Patience(1.2, "the deadline")))
    await asyncio.sleep(0.1)
    assert metered.scrape().total("headgate_queue_depth") == 2
    left.cancel()
    metered.turnstile.cooldown(20)
    await asyncio.wait({first, left, out})
    assert isinstance(out.exception(), Refused)
    assert metered.scrape().total("headgate_queue_depth") == 0


@virtually
async def test_the_schedules_delay_is_from_the_slot_to_the_written_request() -> None:
    """A handshake of 0.2 s is a delay of 0.2 s; the wait for the slot is none."""
    metered = Metered()
    await asyncio.gather(metered.call(), metered.call(connect=0.2))
    said = metered.scrape()
    assert said.total("headgate_schedule_delay_seconds_count") == 2
    assert said.total("headgate_schedule_delay_seconds_sum") == pytest.approx(0.2, abs=1e-3)


@given(st.integers(-(2**31), 2**31 - 1))
def test_priorities_have_eleven_labels(priority: int) -> None:
    """Whatever callers send."""
    assert priority_label(priority) in {"low", *map(str, range(10))}


def test_close_priorities_are_told_apart() -> None:
    """From 0 to 9, where the configuration allows them at all."""
    assert list(map(priority_label, range(-1, 11))) == ["low", *"0123456789", "9"]
