"""The metrics port over a real gateway: what it counts is what callers and upstream saw."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest

from headgate.config import StartError
from headgate.gateway import Gateway
from support.gateway import Caller, ask, gateway, settings
from support.joined_streams import KEY
from support.raw_upstream import (
    DONE,
    RawUpstream,
    answers,
    chunked,
    delta,
    event,
    finish,
    says,
    stream_head,
    streams,
)
from support.scrape import OPEN_METRICS, Scrape, page, scrape, state
from support.traffic import SLOW, held, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.raw_upstream import Connection, Request

METRICS: dict[str, Any] = {"listen": "127.0.0.1:0"}
QUICK: dict[str, Any] = {"initial_backoff": 0.001, "max_backoff": 0.001}
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 3,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
FAILS = answers(b"{}", status="503 Service Unavailable")


def counting(*words: str) -> Callable[[Request, Connection], Any]:
    """A stream of these words, one read each, that ends with its usage."""
    usage = {"id": "c-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
    ends = event(finish()) + event(usage) + DONE
    return streams(*(event(delta(word)) for word in words), ends)


async def look(caller: Caller) -> Scrape:
    return await scrape(caller.gateway.metrics_address)


async def until(caller: Caller, condition: Callable[[Scrape], bool]) -> Scrape:
    """Scrape until it is so: a handler ends a moment after its caller has gone."""
    while not condition(said := await look(caller)):
        pass
    return said


async def test_counters_add_up_to_what_callers_saw() -> None:
    """Calls by code, attempts by status, deltas and tokens, after successes and failures."""
    scripts = [counting("a", "b", "c"), counting("d"), FAILS, counting("e"), FAILS]
    async with (
        RawUpstream(*scripts) as upstream,
        gateway(upstream.url, metrics=METRICS, retry=QUICK | {"max_attempts": 2}) as caller,
    ):
        positions = [
            [e.delta.position for e in await caller.events() if e.HasField("delta")][-1]
            for _ in range(3)
        ]
        errors = [await caller.refused() for _ in range(2)]
        said = await look(caller)
        asked = len(upstream.requests)

    assert {error.code() for error in errors} == {grpc.StatusCode.UNAVAILABLE}
    assert said.by("headgate_rpcs_total", "method", "code", "reason") == {
        ("StreamChat", "OK", "NONE"): 3,
        ("StreamChat", "UNAVAILABLE", "UPSTREAM_UNAVAILABLE"): 2,
    }
    assert said.by("headgate_attempts_total", "status", "outcome") == {
        ("200", "OK"): 3,
        ("503", "UPSTREAM_UNAVAILABLE"): 5,
    }
    assert said.total("headgate_attempts_total") == asked == 8
    assert said.total("headgate_retries_total") == 3
    assert said.total("headgate_deltas_total") == sum(positions) == 5
    assert said.by("headgate_tokens_total", "kind") == {
        "prompt": 33,
        "completion": 9,
        "cached": 12,
        "reasoning": 6,
    }
    assert said.total("headgate_rpc_duration_seconds_count") == 5
    assert said.total("headgate_time_to_first_delta_seconds_count") == 3
    for latency, times in (("response", 8), ("first_content", 3), ("duration", 8), ("connect", 8)):
        assert said.total(f"headgate_upstream_{latency}_seconds_count") == times
    assert said.total("headgate_queue_wait_seconds_count") == 8
    assert said.total("headgate_slots_total", event="started") == 8
    # The second and third words may come in the first one's read, and are then one write with it.
    assert said.total("headgate_delta_gap_seconds_count") <= 2


async def test_unary_calls_and_the_http_face_count_too() -> None:
    """HTTP by gRPC's words for its statuses; a streamed answer is a StreamChat there."""
    async with (
        RawUpstream(says("Hello", " you")) as upstream,
        gateway(upstream.url, metrics=METRICS, http_listen="127.0.0.1:0") as caller,
    ):
        await caller.chat()
        base = f"http://{caller.gateway.http_address}"
        messages = [{"role": "user", "content": "Hello"}]
        async with aiohttp.ClientSession(base) as client:
            for body in ({"stream": True}, {"stream": False}, {"temperature": 99}):
                answer = await client.post("/api", json={"messages": messages} | body)
                await answer.read()
            await client.post("/api", data={"form": "no"})
        said = await look(caller)

    assert said.by("headgate_rpcs_total", "face", "method", "code") == {
        ("grpc", "Chat", "OK"): 1,
        ("http", "StreamChat", "OK"): 1,
        ("http", "Chat", "OK"): 1,
        ("http", "unknown", "INVALID_ARGUMENT"): 2,
    }
    assert said.by("headgate_deltas_total", "face") == {"http": 2}
    assert said.by("headgate_tokens_total", "kind") == {"prompt": 6, "completion": 2}


async def test_what_never_reached_the_rules_is_counted_by_its_status() -> None:
    """A request that cannot be parsed, and one with a wrong field."""
    async with RawUpstream(says("x")) as upstream, gateway(upstream.url, metrics=METRICS) as caller:
        raw: Any = caller.channel.unary_unary("/headgate.v1.ChatService/Chat")
        with pytest.raises(grpc.aio.AioRpcError):
            await raw(b"\xff\xff")
        await caller.refused(temperature=99)
        said = await look(caller)

    assert said.by("headgate_rpcs_total", "method", "code", "reason") == {
        ("Chat", "INVALID_ARGUMENT", "INVALID_REQUEST"): 1,
        ("StreamChat", "INVALID_ARGUMENT", "INVALID_REQUEST"): 1,
    }
    assert said.total("headgate_attempts_total") == 0


async def test_a_refusal_is_a_refusal_and_no_attempt() -> None:
    """A deadline before the next slot: WAIT_TOO_LONG, and nothing at the upstream for it."""
    async with (
        RawUpstream(says("x")) as upstream,
        gateway(upstream.url, metrics=METRICS, throttle={"rate": 0.05}) as caller,
    ):
        await caller.chat()
        error = await caller.refused(timeout=5)
        said = await look(caller)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert said.by("headgate_refusals_total", "reason") == {"WAIT_TOO_LONG": 1}
    assert said.total("headgate_rpcs_total", code="RESOURCE_EXHAUSTED", reason="WAIT_TOO_LONG") == 1
    assert said.total("headgate_attempts_total") == 1


async def test_a_cancel_is_seen_in_every_count() -> None:
    """The call, its attempt, and the streams that are open, before and after."""

    async def begins(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("a"))))
        await connection.until_gone()

    async with RawUpstream(begins) as upstream, gateway(upstream.url, metrics=METRICS) as caller:
        stream = caller.stream()
        await stream.read()
        await stream.read()
        before = await look(caller)
        stream.cancel()
        after = await until(caller, lambda said: said.total("headgate_rpcs_total") == 1)
        after = await until(caller, lambda said: said.total("headgate_attempts_total") == 1)

    assert before.by("headgate_streams_open", "face") == {"grpc": 1}
    assert before.total("headgate_in_flight") == before.total("headgate_calls_running") == 1
    assert after.by("headgate_rpcs_total", "code", "reason") == {("CANCELLED", "NONE"): 1}
    assert after.by("headgate_attempts_total", "status", "outcome") == {("200", "CANCELLED"): 1}
    for gauge in ("streams_open", "calls_running", "in_flight"):
        assert after.total(f"headgate_{gauge}") == 0


async def test_a_stream_that_breaks_is_interrupted_here_and_there() -> None:
    """After its first delta: ABORTED for the caller, STREAM_INTERRUPTED for the attempt."""

    async def breaks(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(delta("a"))))
        connection.reset()

    async with RawUpstream(breaks) as upstream, gateway(upstream.url, metrics=METRICS) as caller:
        events, error = await caller.interrupted()
        said = await look(caller)

    assert (len(events), error.code()) == (2, grpc.StatusCode.ABORTED)
    ended = said.by("headgate_rpcs_total", "code", "reason")
    assert ended == {("ABORTED", "STREAM_INTERRUPTED"): 1}
    assert said.by("headgate_attempts_total", "outcome") == {"STREAM_INTERRUPTED": 1}


async def test_the_queue_is_seen_while_calls_wait() -> None:
    """By priority, as a gauge and on the page; a call's wait is counted when it is over."""
    limits = {"callers": {"max_priority": 5}, "metrics": METRICS}
    async with held(**limits) as (upstream, caller, release):
        ones = [await waiting(caller, f"{n}") for n in range(2)]
        urgent = await waiting(caller, "urgent", scheduling={"priority": 3})
        said, told = await look(caller), await state(caller.gateway.metrics_address)
        release.set()
        for waiter in (*ones, urgent):
            await waiter.rest()
        after = await look(caller)

    assert len(upstream.requests) == 4
    assert said.by("headgate_queue_depth", "priority") == {"0": 2, "3": 1}
    assert told["queue"] == {"waiting": 3, "limit": 1000, "by_priority": {"0": 2, "3": 1}}
    assert told["in_flight"] == {"now": 1, "limit": 1}
    assert told["calls"] == {"running": 4, "streams": 3}
    assert said.by("headgate_calls_waiting", "face") == {"grpc": 3}
    assert after.total("headgate_calls_waiting") == 0
    assert after.by("headgate_queue_wait_seconds_count", "priority") == {"0": 3, "3": 1}
    assert after.total("headgate_predicted_wait_error_seconds_count") == 3
    assert after.by("headgate_queue_depth", "priority") == {}


async def test_who_waits_for_its_own_allowance_is_seen_waiting() -> None:
    """And is not in the queue; one that leaves waits no more."""
    async with (
        RawUpstream(says("x")) as upstream,
        gateway(
            upstream.url, metrics=METRICS, callers={"rate": 0.1, "burst": 1, "max_wait": 60}
        ) as caller,
    ):
        await caller.chat()
        stream = caller.stream(stream_options={"queue_updates": True})
        await stream.read()
        said = await look(caller)
        stream.cancel()
        after = await until(caller, lambda said: said.total("headgate_calls_waiting") == 0)

    assert said.by("headgate_calls_waiting", "face") == {"grpc": 1}
    assert said.total("headgate_queue_depth") == 0
    assert after.total("headgate_rpcs_total", code="CANCELLED") == 1


async def test_joined_calls_are_told_from_those_that_were_made() -> None:
    """Three with one key: three calls, one of them made, one attempt."""
    async with RawUpstream(says("x")) as upstream, gateway(upstream.url, metrics=METRICS) as caller:
        await asyncio.gather(*(caller.events(idempotency_key=KEY) for _ in range(3)))
        said = await look(caller)

    assert said.total("headgate_keyed_calls_total") == 3
    assert said.total("headgate_shared_calls_total") == said.total("headgate_attempts_total") == 1
    assert said.total("headgate_rpcs_total", code="OK") == 3


async def test_retries_of_others_are_told_by_whom() -> None:
    """A client of gRPC's that comes again when told to, a mesh, and nobody else."""
    retries = {
        "maxAttempts": 5,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": retries}]})
    options = [("grpc.service_config", config)]
    limits = {"rate": 5, "max_wait": 0.001}
    async with (
        RawUpstream(says("x")) as upstream,
        gateway(upstream.url, metrics=METRICS, callers=limits, options=options) as caller,
    ):
        said = await look(caller)
        while not said.total("headgate_refusals_total"):
            await caller.chat()
            said = await look(caller)
        mesh = (("x-envoy-attempt-count", "2"), ("x-other", "2"))
        await caller.stub.Chat(ask(), metadata=mesh, timeout=20)
        said = await look(caller)

    refused = said.total("headgate_refusals_total", reason="CALLER_LIMIT")
    told = said.by("headgate_client_retries_total", "by")
    assert told["client"] >= 1
    assert sum(told.values()) - 1 == refused


async def test_the_page_of_state_tells_the_truth() -> None:
    """After one call at two a second: the next slot, whose store it is, and a pause of a 429."""
    limited = answers(b"{}", status="429 Too Many Requests", headers=["Retry-After: 20"])
    async with (
        RawUpstream(says("x"), limited) as upstream,
        gateway(upstream.url, metrics=METRICS, throttle=SLOW, retry={"max_attempts": 1}) as caller,
    ):
        await caller.chat()
        slot = (await state(caller.gateway.metrics_address))["schedule"]["next_slot"]
        assert 0 <= slot["in_seconds"] <= 0.505
        await caller.refused()
        told = await state(caller.gateway.metrics_address)
        said = await look(caller)

    assert told["phase"] == "serving"
    assert told["schedule"]["interval_seconds"] == pytest.approx(0.505)
    assert 15 < told["schedule"]["pause_seconds"] <= 20
    assert 15 < told["schedule"]["next_slot"]["in_seconds"] <= 20
    assert told["schedule"]["next_slot"]["at"] > told["time"]
    assert told["store"] == {
        "kind": "memory",
        "name": "the memory of this process",
        "status": "ok",
        "lost_since": None,
        "losses": 0,
        "members": 1,
        "rank": 0,
        "share": 1.0,
        "grants": {},
    }
    assert said.total("headgate_pauses_total") == 1
    assert 15 < said.total("headgate_pause_seconds") <= 20


async def test_the_port_goes_on_during_a_drain_and_says_so() -> None:
    """`/readyz` is 503 and the phase draining, until the last call is done; it lives all along."""
    async with held(metrics=METRICS) as (_, caller, release):
        address = caller.gateway.metrics_address
        assert await page(address, "/readyz") == await page(address, "/healthz") == "ok\n"
        stop = asyncio.create_task(caller.gateway.stop(15))
        said = await until(caller, lambda said: said.total("headgate_draining") == 1)
        told = await state(address)
        async with aiohttp.ClientSession() as client:
            ready = (await client.get(f"http://{address}/readyz")).status
        alive = await page(address, "/healthz")
        release.set()
        await stop

    assert said.total("headgate_calls_running") == 1
    assert (told["phase"], ready, alive) == ("draining", 503, "ok\n")


async def test_open_metrics_for_who_asks() -> None:
    """The same numbers in both formats, each read by its own strict parser."""
    async with RawUpstream(says("x")) as upstream, gateway(upstream.url, metrics=METRICS) as caller:
        await caller.events()
        plain = await look(caller)
        opened = await scrape(caller.gateway.metrics_address, OPEN_METRICS)

    # What the process and its collector do goes on between the two.
    ours = {series for series in plain.series if series[0].startswith("headgate_")}
    assert {series for series in opened.series if series[0].startswith("headgate_")} == ours
    assert opened.by("headgate_rpcs_total", "code") == {"OK": 1}
    [build] = opened.find("headgate_build_info")
    assert set(build.labels) == {"version", "python", "grpcio"}


async def test_without_the_setting_there_is_no_port() -> None:
    """And nothing is counted."""
    async with RawUpstream(says("x")) as upstream, gateway(upstream.url) as caller:
        await caller.events()
        assert caller.gateway.metrics_address is None
        assert caller.gateway.telemetry.families() == []


async def test_a_taken_port_is_one_line() -> None:
    """As for all other addresses; nothing is left listening."""
    async with RawUpstream(says("x")) as upstream, gateway(upstream.url, metrics=METRICS) as caller:
        taken = caller.gateway.metrics_address
        second = Gateway(settings(upstream.url, metrics={"listen": taken}))
        with pytest.raises(StartError, match=f"cannot listen on {taken}: address already in use"):
            await second.start()


async def test_requests_to_elsewhere_are_not_found() -> None:
    """The port has three pages."""
    async with (
        RawUpstream(says("x")) as upstream,
        gateway(upstream.url, metrics=METRICS) as caller,
        aiohttp.ClientSession(f"http://{caller.gateway.metrics_address}") as client,
    ):
        assert (await client.get("/")).status == 404
        assert (await client.post("/metrics")).status == 405
