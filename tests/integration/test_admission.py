"""Promise 4: a call whose slot comes too late is refused at once, and told when to come again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from headgate.v1 import chat_pb2 as pb
from support.gateway import TRUSTING, gateway, trailer
from support.raw_upstream import RawUpstream, says
from support.traffic import PACE, SLOW, detail, held, pushback, retry_delay, waiting

UNARY_AND_STREAM = pytest.mark.parametrize("how", ["refused", "refused_chat"])


def wait_at_most(seconds: float) -> pb.Scheduling:
    wait = Duration()
    wait.FromNanoseconds(round(seconds * 1e9))
    return pb.Scheduling(max_queue_wait=wait)


@UNARY_AND_STREAM
async def test_a_deadline_before_the_slot(how: str) -> None:
    """Refused with the slot's time, and nothing goes upstream."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle={"rate": 0.1, "min_interval": 10}) as caller,
    ):
        await caller.chat()
        error = await getattr(caller, how)(timeout=5)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailer(error, "headgate-reason") == "WAIT_TOO_LONG"
    assert 5 < retry_delay(error) <= 10.06
    assert pushback(error) >= retry_delay(error) * 1000 + 50
    assert "the deadline" in (error.details() or "")
    assert detail(error, error_details_pb2.QuotaFailure).violations
    assert len(upstream.requests) == 1


@UNARY_AND_STREAM
@pytest.mark.parametrize("callers", [{}, {"rate": 5}])
async def test_a_deadline_that_even_a_free_slot_cannot_meet(how: str, callers: Any) -> None:
    """It is the deadline that is short, and to come again with the same one is of no use."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=callers, server={"max_deadline": 0.03}) as caller,
    ):
        error = await getattr(caller, how)()

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert trailer(error, "headgate-reason") == "DEADLINE"
    assert pushback(error) == -1
    assert upstream.requests == []


@UNARY_AND_STREAM
async def test_a_wait_that_the_caller_does_not_want(how: str) -> None:
    """`max_queue_wait` decides as the deadline does, and is named."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle={"rate": 0.1}) as caller,
    ):
        await caller.chat()
        error = await getattr(caller, how)(scheduling=wait_at_most(1))

    assert trailer(error, "headgate-reason") == "WAIT_TOO_LONG"
    assert "max_queue_wait" in (error.details() or "")
    assert len(upstream.requests) == 1


@UNARY_AND_STREAM
async def test_a_wait_that_the_operator_does_not_want(how: str) -> None:
    """`throttle.max_wait` is a limit for everybody, and is named."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle={"rate": 0.1, "max_wait": 1}) as caller,
    ):
        await caller.chat()
        error = await getattr(caller, how)()

    assert trailer(error, "headgate-reason") == "WAIT_TOO_LONG"
    assert "throttle.max_wait" in (error.details() or "")
    assert pushback(error) >= 50


async def test_over_http_it_is_a_429() -> None:
    """With Retry-After in whole seconds and in milliseconds, and the reason."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(
            upstream.url,
            throttle={"rate": 0.1, "max_wait": 1},
            http_listen="127.0.0.1:0",
        ) as caller,
        aiohttp.ClientSession(f"http://{caller.gateway.http_address}") as client,
    ):
        await caller.chat()
        replies = []
        for stream in (False, True):
            body = {"messages": [{"role": "user", "content": "Hi"}], "stream": stream}
            async with client.post("/api", json=body) as reply:
                replies.append((reply.status, reply.headers, await reply.text()))

    for status, headers, text in replies:
        assert status == 429
        assert headers["x-headgate-reason"] == "WAIT_TOO_LONG"
        assert int(headers["retry-after"]) * 1000 >= int(headers["retry-after-ms"]) > 5000
        assert "x-should-retry" not in headers
        assert json.loads(text)["error"]["code"] == "WAIT_TOO_LONG"
    assert len(upstream.requests) == 1


async def test_advice_names_a_slot_of_its_own_to_each() -> None:
    """No two refused callers are sent to the same slot."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(
            upstream.url, throttle={"rate": 0.1, "min_interval": 10}, callers=TRUSTING
        ) as caller,
    ):
        await caller.chat()
        delays = [
            retry_delay(await caller.named(name).refused_chat(timeout=3)) for name in ("a", "b")
        ]

    assert delays[1] - delays[0] > 9


async def test_who_comes_again_when_told_is_served() -> None:
    """A stock gRPC client that obeys pushback needs two tries, and the upstream sees one call."""
    policy = {
        "maxAttempts": 2,
        "initialBackoff": "20s",
        "maxBackoff": "20s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
    }
    service = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
    options = [("grpc.service_config", json.dumps(service))]
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=SLOW, options=options) as caller,
    ):
        await caller.chat("first")
        answer = await caller.chat("second", scheduling=wait_at_most(0))

    assert answer.gateway.attempts == 1
    assert len(upstream.requests) == 2
    assert upstream.requests[1].at - upstream.requests[0].at >= 0.5


async def test_a_refusal_at_the_gate_is_no_upstream_failure() -> None:
    """It is not tried again here, and spends nothing of the retry budget."""
    async with held(throttle={"max_queue": 0}, retry={"budget": 0, "budget_floor": 1}) as (
        upstream,
        caller,
        release,
    ):
        errors = [await caller.refused() for _ in range(20)]
        release.set()
        await upstream.until(lambda: True)

    assert {trailer(error, "headgate-reason") for error in errors} == {"QUEUE_FULL"}
    assert all(pushback(error) >= 50 for error in errors)
    assert len(upstream.requests) == 1


async def test_a_full_queue_refuses_the_same_caller() -> None:
    """Nobody displaces a call of its own: the newcomer is refused, and the others stay."""
    async with held(throttle={"max_queue": 2}) as (upstream, caller, release):
        long = caller.named("long")
        waiters = [await waiting(long, f"long-{number}") for number in (1, 2)]
        error = await long.refused("long-3")
        release.set()
        for waiter in waiters:
            await waiter.rest()

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailer(error, "headgate-reason") == "QUEUE_FULL"
    assert retry_delay(error) > 0
    assert len(upstream.requests) == 3


@UNARY_AND_STREAM
async def test_a_shorter_line_displaces_the_newest_of_the_longest(how: str) -> None:
    """Promise 5: the newcomer is admitted, and the longest line loses its newest call."""
    async with held(throttle={"max_queue": 3}) as (upstream, caller, release):
        long, other = caller.named("long"), caller.named("other")
        early = [await waiting(long, f"long-{number}") for number in (1, 2)]
        newest = asyncio.create_task(getattr(long, how)("long-3"))
        # The queue is full, and this is seen, once a call of the same caller gets no place.
        while trailer(await _probe(long), "headgate-reason") != "QUEUE_FULL":
            pass
        admitted = await waiting(other, "other")
        error = await newest
        release.set()
        for waiter in (*early, admitted):
            await waiter.rest()

    assert admitted.place.position == 2
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailer(error, "headgate-reason") == "QUEUE_FULL"
    assert pushback(error) >= 50
    said = [request.json["messages"][-1]["content"] for request in upstream.requests]
    assert said == ["holder", "long-1", "other", "long-2"]


async def test_a_slot_is_not_kept_for_who_was_refused() -> None:
    """The wait of those who come after is not a slot longer."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle={"rate": 0.1}) as caller,
    ):
        await caller.chat()
        for _ in range(5):
            await caller.refused(timeout=2)
        waiter = await waiting(caller)
        waiter.cancel()

    assert waiter.place.position == 1
    assert waiter.place.estimated_wait.ToNanoseconds() <= 10.05 * 1e9
    assert len(upstream.requests) == 1


async def test_the_pace_refuses_nobody_who_can_wait() -> None:
    """Twenty calls that have the time are all served, without a single refusal."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=PACE) as caller,
    ):
        answers = await asyncio.gather(*(caller.chat() for _ in range(20)))

    assert [answer.gateway.attempts for answer in answers] == [1] * 20
    assert len(upstream.requests) == 20


async def _probe(caller: Any) -> grpc.aio.AioRpcError:
    """A call that would have to wait, and will not."""
    error: grpc.aio.AioRpcError = await caller.refused_chat("probe", scheduling=wait_at_most(0))
    return error
