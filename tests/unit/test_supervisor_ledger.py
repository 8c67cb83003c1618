"""A worker's ledger: instants there and back, answers that come too late, a dead supervisor."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.throttle.ledger import LedgerError
from headgate.throttle.pacer import Pace
from headgate.throttle.schedule import micro
from headgate.workers import messages
from headgate.workers.ledger import SupervisorLedger, _seconds
from headgate.workers.messages import Granted, Pause, Stop
from support.kept_schedule import KeptSchedule

NOW = 1000.0
GAP = 0.5
PACE = Pace(rate=2, min_interval=GAP, margin=0)


def kept() -> KeptSchedule:
    """A schedule at an instant that does not pass."""
    return KeptSchedule(PACE, lambda: NOW)


async def joined(schedule: KeptSchedule, worker: int = 0) -> SupervisorLedger:
    ledger = schedule.ledger(worker)
    await ledger.join(latest=-math.inf, settle=0)
    return ledger


@given(st.integers(0, 2**45))
def test_an_instant_is_never_earlier_here_and_comes_back_as_it_was(instant: int) -> None:
    """Between whole microseconds and seconds, up to a year of uptime."""
    seconds = _seconds(instant)
    assert seconds * 1_000_000 >= instant
    assert seconds - instant / 1_000_000 < 1e-8
    assert round(seconds * 1_000_000) == instant
    assert micro(seconds) in {instant, instant + 1}


async def test_join_and_reserve() -> None:
    """The clock is one for all, so instants are this process's own."""
    schedule = kept()
    first = await joined(schedule)
    standing = await first.reserve(2, 0.0)
    assert standing.instants == pytest.approx([NOW, NOW + GAP])
    assert standing.free_at == pytest.approx(NOW + 2 * GAP)
    assert (standing.members, standing.rank, standing.origin) == (1, 0, 0.0)
    second = await joined(schedule, 1)
    assert (await second.reserve(1, 3.0)).instants == pytest.approx([NOW + 3.0])
    alive = await second.reserve(0, 0.0)
    assert (alive.instants, alive.members, alive.rank) == ([], 2, 1)


async def test_what_is_given_back_is_others() -> None:
    """By the very instants that were told."""
    schedule = kept()
    first, second = await joined(schedule), await joined(schedule, 1)
    told = (await first.reserve(3, 0.0)).instants
    await first.give_back(told[1:2])
    assert (await second.reserve(2, 0.0)).instants == pytest.approx([NOW + GAP, NOW + 3 * GAP])


async def test_a_pause_is_heard() -> None:
    """By the others, in their own time, never too early."""
    schedule = kept()
    first, second = await joined(schedule), await joined(schedule, 1)
    heard: list[float] = []
    second.on_pause = heard.append
    first.on_pause = lambda _: pytest.fail("who says it hears it")
    await first.pause(NOW + 7.0)
    assert heard == pytest.approx([NOW + 7.0])
    assert heard[0] >= NOW + 7.0


async def test_members_hear_of_each_other() -> None:
    """By a call that says nothing more; what it means is asked for."""
    schedule = kept()
    first = await joined(schedule)
    changes: list[int] = []
    first.on_change = lambda: changes.append(1)
    await joined(schedule, 1)
    schedule.kill(1)
    assert len(changes) == 2


@pytest.mark.parametrize("again", [False, True])
async def test_slots_that_come_too_late_go_back(*, again: bool) -> None:
    """Nobody waits for them any more, whether the caller came back meanwhile or not."""
    schedule = kept()
    ledger = await joined(schedule)
    schedule.held_back = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await ledger.reserve(2, 0.0)
    if again:
        held, schedule.held_back = schedule.held_back, None
        await ledger.join(latest=-math.inf, settle=0)
        schedule.held_back = held
    schedule.release()
    assert (await ledger.reserve(1, 0.0)).instants == pytest.approx([NOW])


async def test_an_answer_that_comes_with_the_cancellation_is_not_lost() -> None:
    """In one turn of the loop both may happen, and the slots are nobody's then."""
    schedule = kept()
    ledger = await joined(schedule)
    schedule.held_back = []
    asking = asyncio.create_task(ledger.reserve(2, 0.0))
    await asyncio.sleep(0)
    schedule.release()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await ledger.reserve(1, 0.0)).instants == pytest.approx([NOW])


async def test_a_dead_supervisor() -> None:
    """Who waits for it and who comes later hear of it, and leaving raises nothing."""
    schedule = kept()
    ledger = await joined(schedule)
    schedule.held_back = []
    asking = asyncio.create_task(ledger.reserve(1, 0.0))
    await asyncio.sleep(0)
    ledger.lose()
    for call in (asking, ledger.join(latest=0, settle=0), ledger.pause(1), ledger.give_back([1])):
        with pytest.raises(LedgerError, match="the supervisor is gone"):
            await call
    await ledger.aclose()
    assert repr(ledger) == "<SupervisorLedger lost>"


async def test_who_has_not_joined_gets_nothing() -> None:
    """Nor does who has left; what it had is others'."""
    schedule = kept()
    ledger = schedule.ledger(0)
    with pytest.raises(LedgerError, match="has not joined"):
        await ledger.reserve(1, 0.0)
    await ledger.join(latest=-math.inf, settle=0)
    await ledger.reserve(1, 0.0)
    await ledger.aclose()
    assert schedule.keeper.members == []
    with pytest.raises(LedgerError, match="has not joined"):
        await ledger.give_back([NOW])
    await ledger.aclose()


def test_messages_are_short_lines() -> None:
    """One array each; both ways, and nothing else can be read."""
    assert messages.line(Stop(5)) == b'["Stop",5]\n'
    assert messages.to_supervisor.decode(b'["Reserve",1,2,3]') == messages.Reserve(1, 2, 3)
    granted = Granted(1, [2, 3], 4, 5, 0)
    assert messages.to_worker.decode(messages.line(granted)) == granted
    assert messages.to_worker.decode(messages.line(Pause(1))) == Pause(1)
