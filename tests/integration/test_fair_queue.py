"""Promise 5: one caller cannot starve another; the order at the upstream is the order promised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from headgate.v1 import chat_pb2 as pb
from support.gateway import TRUSTING, gateway
from support.raw_upstream import RawUpstream, answers, says
from support.traffic import held, texts, waiting

if TYPE_CHECKING:
    from support.gateway import Caller
    from support.raw_upstream import Connection, Request
    from support.traffic import Waiter


def priority(number: int) -> pb.Scheduling:
    return pb.Scheduling(priority=number)


async def line_up(caller: Caller, *names: str, **fields: Any) -> list[Waiter]:
    """These calls wait, in this order."""
    return [await waiting(caller, name, **fields) for name in names]


async def finish(release: asyncio.Event, *lines: list[Waiter]) -> None:
    release.set()
    await asyncio.gather(*(waiter.rest() for line in lines for waiter in line))


async def test_first_in_first_out_within_a_line() -> None:
    """One caller's calls are served in the order in which they came."""
    names = [f"call-{number}" for number in range(10)]
    async with held() as (upstream, caller, release):
        await finish(release, await line_up(caller, *names))

    assert texts(upstream)[1:] == names


async def test_a_single_call_waits_for_one_turn_of_a_long_line() -> None:
    """Promise 5: with a long line of one caller, another's call starts within two slots."""
    async with held() as (upstream, caller, release):
        long = await line_up(caller.named("long"), *(f"long-{n}" for n in range(30)))
        single = await line_up(caller.named("single"), "single")
        await finish(release, long, single)

    assert texts(upstream)[1:].index("single") <= 1


async def test_lines_are_served_in_turn() -> None:
    """Three callers of the same weight get every third slot each."""
    async with held() as (upstream, caller, release):
        lines = [await line_up(caller.named(name), *[name] * 4) for name in ("a", "b", "c")]
        await finish(release, *lines)

    served = texts(upstream)[1:]
    assert [sorted(served[i : i + 3]) for i in range(0, 12, 3)] == [["a", "b", "c"]] * 4


async def test_turns_follow_the_weights() -> None:
    """A caller of weight 3 gets three slots for each one of a caller of weight 1."""
    async with held(callers={"heavy": {"weight": 3}}) as (upstream, caller, release):
        heavy = await line_up(caller.named("heavy"), *["heavy"] * 9)
        light = await line_up(caller.named("light"), *["light"] * 9)
        await finish(release, heavy, light)

    assert texts(upstream)[1:].count("heavy") == 9
    assert [texts(upstream)[i : i + 4].count("heavy") for i in (1, 5, 9)] == [3, 3, 3]


async def test_priorities_rank_within_a_line() -> None:
    """A caller that may use priorities orders its own calls by them."""
    async with held(callers={"vip": {"max_priority": 5}}) as (upstream, caller, release):
        vip = caller.named("vip")
        lines = [
            await line_up(vip, "low-1", "low-2"),
            await line_up(vip, "high-1", "high-2", scheduling=priority(5)),
            await line_up(vip, "middle", scheduling=priority(3)),
        ]
        await finish(release, *lines)

    assert texts(upstream)[1:] == ["high-1", "high-2", "middle", "low-1", "low-2"]


async def test_nobody_ranks_itself_above_others() -> None:
    """A priority moves no other caller's calls, and without leave it moves nothing at all."""
    async with held(callers={"vip": {"max_priority": 5}}) as (upstream, caller, release):
        lines = [
            await line_up(caller.named("plain"), "plain-1", "plain-2"),
            await line_up(caller.named("plain"), "plain-3", scheduling=priority(9)),
            await line_up(caller.named("vip"), "vip-1", "vip-2", scheduling=priority(9)),
        ]
        await finish(release, *lines)

    assert texts(upstream)[1:] == ["plain-1", "vip-1", "plain-2", "vip-2", "plain-3"]


async def test_max_priority_bounds_what_a_caller_asks_for() -> None:
    """Above `callers.NAME.max_priority` all priorities are the same."""
    async with held(callers={"vip": {"max_priority": 2}}) as (upstream, caller, release):
        vip = caller.named("vip")
        lines = [
            await line_up(vip, "zero"),
            await line_up(vip, "two", scheduling=priority(2)),
            await line_up(vip, "nine", scheduling=priority(9)),
        ]
        await finish(release, *lines)

    assert texts(upstream)[1:] == ["two", "nine", "zero"]


async def test_a_cancelled_waiter_gives_its_place_to_the_next() -> None:
    """Those behind move up, hear of it, and the upstream never sees who has gone."""
    async with held() as (upstream, caller, release):
        first, gone, last = await line_up(caller, "first", "gone", "last")
        gone.cancel()
        moved = await last.told()
        await finish(release, [first, last])

    assert (last.place.position, moved.position) == (3, 2)
    assert texts(upstream) == ["holder", "first", "last"]


async def test_a_cancelled_waiter_gives_its_slot_to_the_next() -> None:
    """With a pace the slot itself moves: the estimate of the next is a slot shorter."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle={"rate": 1, "min_interval": 1}) as caller,
    ):
        await caller.chat("running")
        first, gone, last = await line_up(caller, "first", "gone", "last")
        gone.cancel()
        moved = await last.told()
        await asyncio.gather(first.rest(), last.rest())

    assert moved.position <= 2
    assert moved.estimated_wait.ToNanoseconds() <= 2 * 1.005 * 1e9
    assert texts(upstream) == ["running", "first", "last"]


async def test_a_waiter_whose_deadline_passes_leaves_the_line() -> None:
    """With a cap nobody can say when: who is out of time goes, and the next moves up."""
    async with held() as (upstream, caller, release):
        late = await waiting(caller, "late", timeout=2)
        last = await waiting(caller, "last")
        await late.status()
        # What it was told before that was another estimate.
        while (moved := await last.told()).position == last.place.position:
            pass
        await finish(release, [last])

    assert (last.place.position, moved.position) == (2, 1)
    assert texts(upstream) == ["holder", "last"]


async def test_a_retry_re_enters_at_the_head_of_its_line() -> None:
    """A call that has cost a slot already goes before the first attempts of its caller."""
    fail, go = asyncio.Event(), asyncio.Event()

    async def script(request: Request, connection: Connection) -> None:
        name = request.json["messages"][-1]["content"]
        if name == "unlucky" and not go.is_set():
            await fail.wait()
            await answers(b"{}", status="503 Busy")(request, connection)
            return
        if name == "next":
            await go.wait()
        await says("Hello")(request, connection)

    fast = {"initial_backoff": 0.01, "max_backoff": 0.01}
    async with (
        RawUpstream(script) as upstream,
        gateway(upstream.url, throttle={"max_in_flight": 1}, callers=TRUSTING, retry=fast) as one,
    ):
        options = pb.StreamOptions(queue_updates=True)
        unlucky = one.stream("unlucky", stream_options=options)
        await upstream.until(lambda: len(upstream.requests) == 1)
        line = await line_up(one, "next", "third", "fourth")
        fail.set()
        again = await unlucky.read()
        assert isinstance(again, pb.StreamChatResponse)
        assert (again.WhichOneof("event"), again.queued.position) == ("queued", 1)
        await finish(go, line)
        while isinstance(await unlucky.read(), pb.StreamChatResponse):
            pass

    assert texts(upstream) == ["unlucky", "next", "unlucky", "third", "fourth"]
