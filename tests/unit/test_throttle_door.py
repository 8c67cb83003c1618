"""Which answers close the throttle for everybody, and for how long (promise 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from headgate import wire
from headgate.backoff import Backoff
from headgate.config import CallersSettings
from headgate.errors import (
    HeadgateError,
    StreamInterrupted,
    UpstreamError,
    UpstreamLimit,
    UpstreamUnavailable,
)
from headgate.throttle.door import ThrottleDoor
from headgate.throttle.turnstile import Turnstile
from headgate.upstream import Call
from headgate.upstream_status import error_in_body
from support.clockwork import NO_PACE, throttle
from support.scripted_upstream import Scripted, opened

if TYPE_CHECKING:
    from headgate.upstream import Upstream
    from support.scripted_upstream import Step

# Half of the longest wait: 2 s after the first attempt, 4 s after the second.
BACKOFF = Backoff(initial=4, maximum=60, multiplier=2)


class Told(Turnstile):
    """Remembers for how many seconds it was closed."""

    def __init__(self) -> None:
        super().__init__(throttle(NO_PACE))
        self.pauses: list[float] = []

    def cooldown(self, seconds: float) -> None:
        self.pauses.append(seconds)


def door(inner: Upstream, turnstile: Turnstile) -> ThrottleDoor:
    return ThrottleDoor(
        inner, turnstile, CallersSettings(), max_wait=60, backoff=BACKOFF, draw=lambda: 0.5
    )


def call(attempt: int = 1) -> Call:
    return Call(request=wire.ChatRequest(messages=[], stream=True), attempt=attempt)


async def pauses(*steps: Step, attempt: int = 1) -> list[float]:
    """For how long an attempt closes the door whose answer goes through these steps."""
    turnstile = Told()
    with pytest.raises(HeadgateError):
        await _read(door(Scripted(list(steps)), turnstile), call(attempt))
    assert turnstile.throttle.in_flight == 0
    return turnstile.pauses


async def _read(way: ThrottleDoor, call: Call) -> None:
    async with way.open(call) as chunks:
        async for _ in chunks:
            pass


def interrupted_by(fault: UpstreamError) -> StreamInterrupted:
    """As an attempt makes it of a fault behind the first delta."""
    return StreamInterrupted("interrupted", cause="error_event", failure=fault)


async def test_a_429_closes_for_as_long_as_it_says() -> None:
    """Its Retry-After, whatever the backoff would be."""
    assert await pauses(UpstreamLimit("429", retry_after=7.0), attempt=2) == [7.0]


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2.0), (2, 4.0)])
async def test_a_429_without_a_header_closes_by_the_attempts_backoff(
    attempt: int, seconds: float
) -> None:
    """And the caller is told the same."""
    error = UpstreamLimit("429")
    assert await pauses(error, attempt=attempt) == [seconds]
    assert error.retry_after == seconds


async def test_a_429_as_an_error_event_closes_too() -> None:
    """A 200 with an error object in it is as its code says."""
    assert await pauses(error_in_body({"code": 429, "message": "busy"})) == [2.0]


async def test_a_429_behind_the_first_delta_closes_too() -> None:
    """What is over for this call is the word of the upstream to all others."""
    limit = error_in_body({"code": 429, "message": "busy"})
    assert await pauses(opened("a"), interrupted_by(limit)) == [2.0]


@pytest.mark.parametrize("begun", [False, True])
async def test_other_faults_close_nothing(begun: bool) -> None:
    """One sick backend must not stop everybody."""
    fault = UpstreamUnavailable("503", retry_after=7.0)
    steps: list[Step] = [opened("a"), interrupted_by(fault)] if begun else [fault]
    assert await pauses(*steps) == []


async def test_a_429_of_somebody_elses_is_no_word_of_this_upstream() -> None:
    """What fails inside the body is not this attempt, whatever it is called."""
    turnstile = Told()

    async def work() -> None:
        async with door(Scripted([opened("a")]), turnstile).open(call()):
            raise UpstreamLimit("another upstream's", retry_after=7.0)

    with pytest.raises(UpstreamLimit):
        await work()
    assert turnstile.pauses == []
    assert turnstile.throttle.in_flight == 0


async def test_an_upstream_that_cannot_even_be_asked_keeps_no_slot() -> None:
    """As one whose opening fails later."""

    class Broken:
        def open(self, call: Call) -> NoReturn:  # noqa: ARG002 - a door's
            raise RuntimeError("no")

    turnstile = Told()
    with pytest.raises(RuntimeError):
        await _read(door(Broken(), turnstile), call())
    assert turnstile.throttle.in_flight == 0
