"""`queued` events: who gets them, when, and what they say."""

from __future__ import annotations

import asyncio

import grpc
from google.protobuf.duration_pb2 import Duration

from headgate.v1 import chat_pb2 as pb
from support.gateway import TRUSTING, gateway, kinds, trailer
from support.raw_upstream import RawUpstream, answers, says
from support.traffic import PACE, SLOT, SLOW, held, texts, waiting

UPDATES = pb.StreamOptions(queue_updates=True)


async def test_nobody_is_told_who_did_not_ask() -> None:
    """A first message ends a gRPC client's own retries, so none is sent unasked."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=PACE) as caller,
    ):
        streams = await asyncio.gather(*(caller.events() for _ in range(5)))

    assert [kinds(events) for events in streams] == [["started", "delta", "finished"]] * 5
    assert max(e[-1].finished.gateway.queue_wait.ToNanoseconds() for e in streams) > 0


async def test_a_call_that_starts_at_once_is_not_told() -> None:
    """Asking changes nothing for a call that need not wait."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=PACE) as caller,
    ):
        events = await caller.events(stream_options=UPDATES)

    assert kinds(events) == ["started", "delta", "finished"]


async def test_a_waiting_call_is_told_before_it_starts() -> None:
    """Position, estimate, and that it is exact with a pace alone; then the answer as ever."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=SLOW) as caller,
    ):
        await caller.chat()
        events = await caller.events(stream_options=UPDATES)

    place = events[0].queued
    assert kinds(events)[:1] == ["queued"]
    assert [kind for kind in kinds(events) if kind != "queued"] == ["started", "delta", "finished"]
    assert (place.position, place.exact) == (1, True)
    assert 0 < place.estimated_wait.ToNanoseconds() <= SLOT * 1e9


async def test_places_follow_the_line() -> None:
    """The n-th in line is told n, and an estimate of at most n slots."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle={"rate": 0.1}) as caller,
    ):
        await caller.chat()
        waiters = [await waiting(caller, timeout=500) for _ in range(5)]
        for waiter in waiters:
            waiter.cancel()

    places = [waiter.place for waiter in waiters]
    slots = [place.estimated_wait.ToNanoseconds() / 10.05e9 for place in places]
    assert [place.position for place in places] == [1, 2, 3, 4, 5]
    assert all(n - 1 < slot <= n for n, slot in enumerate(slots, 1))
    assert all(place.exact for place in places)


async def test_with_a_cap_in_flight_an_estimate_is_no_arithmetic() -> None:
    """Nobody knows how long an attempt takes, and the event says so."""
    async with held(throttle={"max_in_flight": 1} | PACE) as (_, caller, release):
        waiter = await waiting(caller)
        release.set()
        await waiter.rest()

    assert (waiter.place.position, waiter.place.exact) == (1, False)


async def test_a_change_is_told() -> None:
    """Whoever moves up hears of it; whoever is overtaken does too."""
    async with held(callers={"vip": {"max_priority": 1}}) as (upstream, caller, release):
        vip = caller.named("vip")
        first, second = await waiting(vip, "first"), await waiting(vip, "second")
        urgent = await waiting(vip, "urgent", scheduling=pb.Scheduling(priority=1))
        overtaken = await second.told()
        first.cancel()
        moved_up = await second.told()
        release.set()
        await asyncio.gather(second.rest(), urgent.rest())

    assert (second.place.position, overtaken.position, moved_up.position) == (2, 3, 2)
    assert texts(upstream) == ["holder", "urgent", "second"]


async def test_a_retry_that_waits_is_told_again() -> None:
    """After a failed attempt the call is queued anew, and says so before it starts."""
    broken = answers(b"{}", status="503 Busy")
    async with (
        RawUpstream(says("Hello"), broken, says("Hello")) as upstream,
        gateway(
            upstream.url,
            throttle=SLOW,
            retry={"initial_backoff": 0.001, "max_backoff": 0.001},
        ) as caller,
    ):
        await caller.chat()
        waiter = await waiting(caller)
        rest = await waiter.rest()

    assert "queued" in kinds(rest)
    assert [kind for kind in kinds(rest) if kind != "queued"] == ["started", "delta", "finished"]
    assert kinds(rest).index("started") > kinds(rest).index("queued")
    assert rest[-1].finished.gateway.attempts == 2


async def test_a_told_call_can_still_be_refused() -> None:
    """A status that is not OK is the end, with the reason and the pushback of any refusal."""
    async with held(throttle={"max_queue": 2}) as (_, caller, release):
        first = await waiting(caller.named("long"))
        newest = await waiting(caller.named("long"))
        other = await waiting(caller.named("other"))
        error = await newest.status()
        release.set()
        await asyncio.gather(first.rest(), other.rest())

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailer(error, "headgate-reason") == "QUEUE_FULL"
    assert int(trailer(error, "grpc-retry-pushback-ms") or "0") >= 50


async def test_heartbeats_are_no_queue_updates() -> None:
    """Who asks for heartbeats alone is not told where it stands."""
    beat = Duration(nanos=100_000_000)
    async with held() as (_, caller, release):
        stream = caller.stream(stream_options=pb.StreamOptions(heartbeat_interval=beat))
        first = await stream.read()
        release.set()
        rest = []
        while isinstance(event := await stream.read(), pb.StreamChatResponse):
            rest.append(event)

    assert isinstance(first, pb.StreamChatResponse)
    assert first.WhichOneof("event") == "heartbeat"
    assert [k for k in kinds(rest) if k != "heartbeat"] == ["started", "delta", "finished"]


async def test_two_callers_are_told_of_one_line_over_all() -> None:
    """Positions count over all callers: the first of another line stands behind the first."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle={"rate": 0.1}, callers=TRUSTING) as caller,
    ):
        await caller.named("a").chat()
        line = [await waiting(caller.named("a"), timeout=500) for _ in range(3)]
        other = await waiting(caller.named("b"), timeout=500)
        for waiter in (*line, other):
            waiter.cancel()

    assert [waiter.place.position for waiter in line] == [1, 2, 3]
    assert other.place.position == 2
