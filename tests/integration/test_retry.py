"""Attempts: how many, when, and never after the first content."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from support.gateway import Caller, ask, gateway, kinds, text, trailer
from support.raw_upstream import (
    Connection,
    RawUpstream,
    Request,
    answers,
    chunked,
    delta,
    event,
    says,
    stream_head,
    streams,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Script = Callable[[Request, Connection], Awaitable[None]]

FAST = {"initial_backoff": 0.01, "max_backoff": 0.01}


async def reset(_: Request, connection: Connection) -> None:
    connection.reset()


async def close(_: Request, connection: Connection) -> None:
    connection.writer.close()


async def silent(_: Request, connection: Connection) -> None:
    await connection.send(stream_head())
    await connection.until_gone()


def status(code: int) -> Script:
    return answers(b"{}", status=f"{code} Whatever")


FAULTS: dict[str, Script] = {
    "429": status(429),
    "500": status(500),
    "502": status(502),
    "503": status(503),
    "504": status(504),
    "reset": reset,
    "closed": close,
    "timeout": silent,
    "a web page": answers(b"<html>waking up</html>", media="text/html"),
    "error in a 200": streams(event(delta(role="assistant")), event({"error": "busy"})),
    "no choice": streams(b"data: [DONE]\n\n"),
}


def settings(**more: Any) -> dict[str, Any]:
    return {"retry": FAST, "upstream": {"first_token_timeout": 0.5, "total_timeout": 20}} | more


@pytest.mark.parametrize("fault", FAULTS)
async def test_two_faults_and_then_an_answer(fault: str) -> None:
    """OK after exactly three attempts, and the caller sees one clean stream."""
    script = FAULTS[fault]
    async with (
        RawUpstream(script, script, says("Hello")) as upstream,
        gateway(upstream.url, **settings()) as caller,
    ):
        events = await caller.events()

    assert kinds(events) == ["started", "delta", "finished"]
    assert text(events) == "Hello"
    assert events[-1].finished.gateway.attempts == 3
    assert len(upstream.requests) == 3


async def test_two_refused_connections_and_then_an_answer() -> None:
    """An upstream that is just starting is waited for."""
    async with RawUpstream(says("Hello")) as upstream:
        port = upstream.port
    late = RawUpstream(says("Hello"))
    slow = {"initial_backoff": 0.3, "max_backoff": 0.3, "max_attempts": 50}
    async with gateway(f"http://127.0.0.1:{port}/api", retry=slow) as caller:
        call = asyncio.create_task(caller.chat())
        await asyncio.sleep(0)
        late._server = await asyncio.start_server(late._serve, "127.0.0.1", port)
        answer = await call
        await late.__aexit__()

    assert answer.choices[0].message.content == "Hello"
    assert len(late.requests) == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_more_fault_is_the_status(fault: str) -> None:
    """Three faults are the end: three attempts, the last one's status, and pushback -1."""
    async with (
        RawUpstream(FAULTS[fault]) as upstream,
        gateway(upstream.url, **settings()) as caller,
    ):
        events, error = await caller.interrupted()

    assert events == []
    assert len(upstream.requests) == 3
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.code() is (exhausted if fault == "429" else grpc.StatusCode.UNAVAILABLE)
    assert trailer(error, "grpc-retry-pushback-ms") == "-1"


@pytest.mark.parametrize("code", [400, 401, 404, 405, 422])
async def test_what_will_not_get_better_is_not_tried_again(code: int) -> None:
    """One attempt, one answer."""
    async with (
        RawUpstream(status(code)) as upstream,
        gateway(upstream.url, **settings()) as caller,
    ):
        await caller.interrupted()

    assert len(upstream.requests) == 1


@pytest.mark.parametrize("how", [reset, close], ids=["reset", "closed"])
async def test_a_delta_that_was_sent_is_never_sent_again(how: Script) -> None:
    """Promise 1: after the first delta a fault is the end, with the position that was sent."""

    async def cut(request: Request, connection: Connection) -> None:
        pieces = [event(delta("one ")), event(delta("two "))]
        await connection.send(stream_head())
        for number, piece in enumerate(pieces, 1):
            await connection.send(chunked(piece))
            await upstream.until(partial(_has, seen, number))
        await how(request, connection)

    seen: list[str] = []
    async with RawUpstream(cut) as upstream, gateway(upstream.url, **settings()) as caller:
        error = await _read_into(seen, caller, upstream)

    assert seen == ["one ", "two "]
    assert error.code() is grpc.StatusCode.ABORTED
    assert trailer(error, "headgate-reason") == "STREAM_INTERRUPTED"
    assert len(upstream.requests) == 1


def _has(seen: list[str], number: int) -> bool:
    return len(seen) >= number


async def _read_into(
    seen: list[str], caller: Caller, upstream: RawUpstream
) -> grpc.aio.AioRpcError:
    try:
        async for received in caller.stub.StreamChat(ask(), timeout=20):
            if received.WhichOneof("event") == "delta":
                seen.append(received.delta.content)
                await upstream._notify()
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the stream ended OK")


async def test_the_latest_retry_after_wins() -> None:
    """An earlier reply's wish is of no interest."""
    early = answers(b"{}", status="503 Busy", headers=["Retry-After: 3600"])
    async with RawUpstream(early) as upstream, gateway(upstream.url, **settings()) as caller:
        _, error = await caller.interrupted()

    assert len(upstream.requests) == 1, "nobody waits an hour for one call"
    assert trailer(error, "headgate-retry-after-ms") == "3600000"


async def test_no_attempt_starts_that_cannot_finish_its_backoff_in_time() -> None:
    """A deadline before the next attempt means: the status now, and not at the deadline."""
    late = answers(b"{}", status="503 Busy", headers=["Retry-After: 30"])
    async with RawUpstream(late) as upstream, gateway(upstream.url, **settings()) as caller:
        _, error = await caller.interrupted()  # its deadline is 20 s away

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert len(upstream.requests) == 1


async def test_a_refusal_met_by_a_retry_is_not_what_the_caller_hears() -> None:
    """The next slot lies behind the deadline: the status says why another was needed."""
    async with (
        RawUpstream(status(503), says("Hello")) as upstream,
        gateway(upstream.url, retry=FAST, throttle={"rate": 0.1}) as caller,
    ):
        error = await caller.refused(timeout=5)

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert trailer(error, "headgate-reason") == "UPSTREAM_UNAVAILABLE"
    assert trailer(error, "grpc-retry-pushback-ms") == "-1"
    assert len(upstream.requests) == 1


async def test_the_budget_ends_a_storm() -> None:
    """With nothing but faults, retries stay a share of the calls plus the floor."""
    storm = FAST | {"budget": 0.2, "budget_floor": 1}
    async with (
        RawUpstream(status(500)) as upstream,
        gateway(upstream.url, retry=storm) as caller,
    ):
        for _ in range(10):
            calls = [caller.interrupted() for _ in range(10)]
            await asyncio.gather(*calls)

    # 100 calls, a fifth of them again, one floor to begin with and one per second of the run.
    assert 100 <= len(upstream.requests) <= 100 + 20 + 10


async def test_retries_by_others_of_what_failed_here_need_the_budget() -> None:
    """A mesh that retries on its own does not multiply our attempts (promise 11)."""
    none_left = FAST | {"budget": 0.0, "budget_floor": 0}
    async with (
        RawUpstream(status(500)) as upstream,
        gateway(upstream.url, retry=none_left) as caller,
    ):
        for count in ("1", "2", "3"):
            metadata = (("x-envoy-attempt-count", count),)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await caller.stub.Chat(ask(), metadata=metadata, timeout=20)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    assert len(upstream.requests) == 1


async def test_total_timeout_is_never_retried() -> None:
    """It spans all attempts of a call."""
    async with (
        RawUpstream(silent) as upstream,
        gateway(upstream.url, retry=FAST, upstream={"total_timeout": 0.2}) as caller,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.chat()

    assert len(upstream.requests) == 1
    assert trailer(caught.value, "headgate-reason") == "UPSTREAM_TIMEOUT"
    assert "total" in (caught.value.details() or "")


async def test_a_unary_call_obeys_no_first_token_timer() -> None:
    """Promise 10: a unary upstream says nothing until it has generated everything."""
    answered = asyncio.Event()

    async def slow(_: Request, connection: Connection) -> None:
        await asyncio.wait({asyncio.create_task(answered.wait())}, timeout=0.3)
        body = {"choices": [{"message": {"content": "late"}, "finish_reason": "stop"}]}
        await answers(json.dumps(body).encode())(_, connection)

    timers = {"first_token_timeout": 0.05, "idle_timeout": 0.05}
    async with RawUpstream(slow) as upstream, gateway(upstream.url, upstream=timers) as caller:
        answer = await caller.chat()

    assert answer.choices[0].message.content == "late"
    assert answer.gateway.attempts == 1
