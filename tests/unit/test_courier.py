"""Between store and ledger: one call at a time, losses outlived, nobody left waiting."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from headgate.throttle.courier import BEAT
from headgate.throttle.ledger import LedgerError, Standing
from headgate.throttle.pacer import Pace
from support.members import TIMEOUT, Keeper, Member
from support.virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PACE = Pace(rate=2, min_interval=0.5)


def scene(play: Callable[[Keeper, Member, Member], Awaitable[None]]) -> None:
    """Two members of one schedule; they know each other when the play begins."""

    async def main() -> None:
        keeper = Keeper(PACE)
        one, other = Member(keeper, 0, PACE), Member(keeper, 1, PACE, ahead=30.0)
        await one.start()
        await other.start()
        await asyncio.sleep(0.1)
        await play(keeper, one, other)
        keeper.up = True
        keeper.awake.set()
        await one.stop()
        await other.stop()

    run_virtually(main())


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_pause_stops_the_other_members_even_in_slots_that_they_hold() -> None:
    """A 429 at one replica is everybody's; what was granted within the pause is not used."""

    async def play(_: Keeper, one: Member, other: Member) -> None:
        calls = [other.call() for _ in range(3)]
        await calls[0]
        until = now() + 3
        one.turnstile.cooldown(3)
        await asyncio.gather(*calls)
        assert min(other.starts[1:]) >= until - PACE.margin

    scene(play)


def test_a_pause_is_known_to_who_comes_later() -> None:
    """It is written down where all ask, not only called out."""

    async def play(keeper: Keeper, one: Member, _: Member) -> None:
        until = now() + 3
        one.turnstile.cooldown(3)
        await asyncio.sleep(0.1)
        newcomer = Member(keeper, 2, PACE)
        await newcomer.start()
        await newcomer.call()
        await newcomer.stop()
        assert newcomer.starts[0] >= until - PACE.margin

    scene(play)


def test_a_pause_that_could_not_be_told_is_told_later() -> None:
    """Else the others would go on while the upstream asks for a rest."""

    async def play(_: Keeper, one: Member, other: Member) -> None:
        pause = one.link.pause

        async def broken(_: float) -> None:
            one.link.pause = pause  # type: ignore[method-assign]
            raise LedgerError("connection closed")

        one.link.pause = broken  # type: ignore[assignment, method-assign]
        until = now() + 3
        one.turnstile.cooldown(3)
        await asyncio.sleep(0.1)
        assert one.store.untold is None
        await other.call()
        assert other.starts[0] >= until - PACE.margin

    scene(play)


def test_who_comes_back_first_waits_until_all_had_their_try() -> None:
    """Others may still be on their shares of the rate."""

    async def play(keeper: Keeper, one: Member, _: Member) -> None:
        keeper.up = False
        calls = [one.call() for _ in range(12)]
        await asyncio.wait(calls, timeout=5)
        assert one.store.went_alone
        keeper.up = True
        back = now()
        while one.store.alone:  # noqa: ASYNC110 - on a virtual clock
            await asyncio.sleep(0.01)
        count = len(one.starts)
        await asyncio.wait(calls, timeout=4)
        assert min(one.starts[count:]) >= back + 3 * TIMEOUT - PACE.margin

    scene(play)


def test_a_single_lost_reply_costs_a_timeout_and_no_settling() -> None:
    """Who noticed at once and started nothing on its own is no reason for all to wait."""

    async def play(_: Keeper, one: Member, other: Member) -> None:
        one.link.lose = 1
        asked = now()
        await one.call()
        assert one.starts[0] < asked + TIMEOUT + 3 * PACE.interval
        assert not one.store.alone
        await other.call()
        assert other.starts[0] < asked + TIMEOUT + 5 * PACE.interval

    scene(play)


def test_what_is_held_is_told_at_the_return() -> None:
    """A schedule that has lost its data must not give the same instants away."""

    async def play(keeper: Keeper, one: Member, _: Member) -> None:
        told: list[float] = []
        join = one.link.join

        async def listen(*, latest: float, settle: float) -> Standing:
            told.append(latest)
            return await join(latest=latest, settle=settle)

        one.link.join = listen  # type: ignore[method-assign]
        calls = [one.call() for _ in range(4)]
        await calls[0]
        keeper.forget()
        await asyncio.gather(*calls)
        assert told[0] >= one.starts[0]
        assert told[0] != -math.inf

    scene(play)


def test_a_member_without_calls_says_now_and_then_that_it_lives() -> None:
    """It counts, so that the shares of all are right; and it costs next to nothing."""

    async def play(_: Keeper, one: Member, __: Member) -> None:
        before = one.link.calls
        await asyncio.sleep(10 * BEAT)
        assert 9 <= one.link.calls - before <= 11

    scene(play)


def test_a_required_store_that_is_away_refuses_the_start() -> None:
    """Else the member starts on its share, and comes to the others by itself."""

    async def play(keeper: Keeper, _: Member, __: Member) -> None:
        keeper.up = False
        with pytest.raises(LedgerError):
            await Member(keeper, 2, PACE).start()
        late = Member(keeper, 3, PACE)
        await late.start(required=False)
        await late.call()
        assert late.store.alone
        keeper.up = True
        while late.store.alone:  # noqa: ASYNC110 - on a virtual clock
            await asyncio.sleep(0.1)
        await late.stop()

    scene(play)


def test_a_fault_of_the_ledger_is_a_loss_and_not_the_end() -> None:
    """Without its courier a gateway would never start another attempt."""

    async def play(_: Keeper, one: Member, __: Member) -> None:
        reserve = one.link.reserve

        async def broken(*_: object) -> Standing:
            one.link.reserve = reserve  # type: ignore[method-assign]
            raise ZeroDivisionError

        one.link.reserve = broken  # type: ignore[assignment, method-assign]
        await asyncio.gather(one.call(), one.call())
        assert len(one.starts) == 2

    scene(play)


def test_a_fault_of_the_throttle_is_not_the_courier_s_end() -> None:
    """It is the throttle's turn after every errand, and may fail once."""

    async def play(_: Keeper, one: Member, __: Member) -> None:
        def broken() -> None:
            one.courier._turn = one.turnstile.turn
            raise ZeroDivisionError

        one.courier._turn = broken
        await asyncio.gather(one.call(), one.call())
        assert len(one.starts) == 2

    scene(play)
