"""Spans in a real OTLP receiver: one trace from the caller through the gateway to the upstream."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from headgate.tracing import pipeline
from support.gateway import Caller, ask, gateway
from support.heard import heard_of
from support.joined_streams import KEY
from support.otlp import Receiver, receiving
from support.raw_upstream import DONE, RawUpstream, answers, delta, event, finish, says, streams
from support.traffic import SLOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.otlp import ReceivedSpan
    from support.raw_upstream import Connection, Request

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
QUICK: dict[str, Any] = {"initial_backoff": 0.001, "max_backoff": 0.001}
FAILS = answers(b"{}", status="503 Service Unavailable")
STREAM, CHAT = "headgate.v1.ChatService/StreamChat", "headgate.v1.ChatService/Chat"
USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}


@asynccontextmanager
async def traced(
    *scripts: Callable[[Request, Connection], Awaitable[None]],
    telemetry: dict[str, Any] | None = None,
    **sections: Any,
) -> AsyncIterator[tuple[Receiver, RawUpstream, Caller]]:
    """A gateway between a receiver and an upstream; all spans are there when it has stopped."""
    async with receiving() as receiver, RawUpstream(*scripts) as upstream:
        sections["telemetry"] = {"otlp_endpoint": receiver.url} | (telemetry or {})
        async with gateway(upstream.url, **sections) as caller:
            yield receiver, upstream, caller


def from_caller(caller: Caller, **headers: str) -> Caller:
    caller.metadata = tuple(headers.items())
    return caller


def children(receiver: Receiver, parent: ReceivedSpan) -> list[str]:
    return [span.name for span in receiver.spans if span.parent_id == parent.span_id]


async def test_one_trace_from_the_caller_to_the_upstream() -> None:
    """With a queue, a retry and a stream; every span has its place, and the right parent."""
    usage = {"id": "c-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
    ends = event(finish()) + event(usage) + DONE
    stream = streams(event(delta("Hel")), event(delta("lo")), ends)
    scripts = (says("first"), FAILS, stream)
    async with traced(*scripts, retry=QUICK, throttle=SLOW) as (receiver, upstream, caller):
        await caller.events()
        sent = {"traceparent": SAMPLED, "tracestate": "a=1,b=2", "baggage": "team=red"}
        await from_caller(caller, **sent, **{"x-request-id": "r-1"}).events(
            model="m-1", temperature=0.5, labels={"job": "nightly"}
        )
    root = next(span for span in receiver.spans if span.trace_id == TRACE)
    assert (root.name, root.kind, root.parent_id, root.failed) == (STREAM, "SERVER", PARENT, False)
    assert children(receiver, root) == ["queue", "chat m-1", "queue", "chat m-1", "stream"]
    assert root.events == ["first_delta"]
    assert {
        "rpc.system.name": "grpc",
        "rpc.system": "grpc",
        "rpc.service": "headgate.v1.ChatService",
        "rpc.method": STREAM,
        "rpc.response.status_code": "OK",
        "rpc.grpc.status_code": 0,
        "headgate.request_id": "r-1",
        "headgate.attempts": 2,
        "headgate.deltas": 2,
        "headgate.caller": "loopback",
        "headgate.label.job": "nightly",
    }.items() <= root.attributes.items()

    failed, answered = receiver.named("chat m-1")
    assert (failed.failed, failed.status, failed.kind) == (True, "UPSTREAM_UNAVAILABLE", "CLIENT")
    assert failed.attributes["error.type"] == "UPSTREAM_UNAVAILABLE"
    assert failed.attributes["http.response.status_code"] == 503
    assert not answered.failed
    assert answered.events == ["first_delta"]
    assert {
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "m-1",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "scripted",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 3,
        "headgate.attempt": 2,
    }.items() <= answered.attributes.items()

    # Each attempt carried its own span's id, and the rest as it came.
    arrived = [request.headers for request in upstream.requests[1:]]
    assert [headers["traceparent"] for headers in arrived] == [
        f"00-{TRACE}-{span.span_id}-01" for span in (failed, answered)
    ]
    assert {headers["tracestate"] for headers in arrived} == {"a=1,b=2"}
    assert {headers["baggage"] for headers in arrived} == {"team=red"}
    # A call without a trace of its own began one.
    other = next(span for span in receiver.named(STREAM) if span.trace_id != TRACE)
    assert other.parent_id == ""
    assert upstream.requests[0].headers["traceparent"].split("-")[1] == other.trace_id
    assert "tracestate" not in upstream.requests[0].headers


async def test_both_faces_and_both_methods() -> None:
    """HTTP has its own conventions; a unary answer has no stream; lines name the trace."""
    with capture_logs(processors=[merge_contextvars]) as logs:
        async with traced(says("Hello"), http_listen="127.0.0.1:0") as (receiver, _, caller):
            await caller.chat()
            url = f"http://{caller.gateway.http_address}/v1/chat/completions"
            body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
            async with aiohttp.ClientSession() as client:
                reply = await client.post(url, json=body, headers={"traceparent": SAMPLED})
                await reply.read()
                wrong = await client.post(url, json={"messages": []})
                await wrong.read()
    unary = receiver.one(CHAT)
    assert children(receiver, unary) == ["chat"]
    streamed, refused = receiver.named("POST /v1/chat/completions")
    assert (streamed.trace_id, streamed.parent_id) == (TRACE, PARENT)
    assert children(receiver, streamed) == ["chat", "stream"]
    assert streamed.attributes["http.response.status_code"] == 200
    assert streamed.attributes["http.route"] == "/v1/chat/completions"
    assert children(receiver, refused) == []
    assert refused.attributes["http.response.status_code"] == 400
    assert refused.attributes["headgate.reason"] == "INVALID_REQUEST"
    # The caller's fault is none of the server's.
    assert (refused.failed, "error.type" in refused.attributes) == (False, False)
    ids = [log["trace_id"] for log in logs if log["event"] == "call"]
    assert ids == [unary.trace_id, TRACE, refused.trace_id]


async def test_a_call_that_fails_says_why_without_words() -> None:
    """The reason is there, on the call and on what it was at; the upstream's words are not."""
    told = answers(b'{"error": {"message": "SECRET WORDS"}}', status="400 Bad Request")
    cut = streams(event(delta("Hel")), end=False)
    async with traced(told, cut) as (receiver, _, caller):
        assert (await caller.refused()).code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await caller.interrupted())[1].code() is grpc.StatusCode.ABORTED
        refused = await caller.refused(temperature=9)
        assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    rejected, interrupted, invalid = receiver.named(STREAM)
    assert rejected.attributes["headgate.reason"] == "UPSTREAM_REJECTED"
    assert interrupted.attributes["headgate.reason"] == "STREAM_INTERRUPTED"
    assert interrupted.attributes["rpc.response.status_code"] == "ABORTED"
    assert children(receiver, interrupted) == ["chat", "stream"]
    attempt = receiver.named("chat")[1]
    assert attempt.attributes["headgate.cause"] == "cut"
    assert (attempt.failed, receiver.one("stream").failed) == (True, True)
    assert invalid.attributes["headgate.reason"] == "INVALID_REQUEST"
    assert children(receiver, invalid) == []
    assert b"SECRET" not in receiver.raw


async def test_a_fault_of_the_servers_is_an_error() -> None:
    """UNAVAILABLE is one by the RPC conventions; the type of the error is its reason."""
    async with traced(FAILS, retry={"max_attempts": 1}) as (receiver, _, caller):
        await caller.refused_chat()
    span = receiver.one(CHAT)
    assert (span.failed, span.status) == (True, "UPSTREAM_UNAVAILABLE")
    assert span.attributes["error.type"] == "UPSTREAM_UNAVAILABLE"
    assert span.attributes["rpc.response.status_code"] == "UNAVAILABLE"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_spans_of_a_process_are_sent_before_it_ends(workers: str) -> None:
    """On SIGTERM, long before the SDK would send them by itself; with the time to do so."""
    async with receiving() as receiver, RawUpstream(says("Hello")) as upstream:
        heard = await heard_of(
            *("serve", "--upstream", upstream.url, "--profile", "unlimited", "--workers", workers),
            *("--listen", "127.0.0.1:0", "--telemetry.otlp_endpoint", receiver.url),
            environment={"OTEL_BSP_SCHEDULE_DELAY": "3600000"},
        )
        await heard.until(lambda text: "limits" in text)
        async with grpc.aio.insecure_channel(heard.address("grpc listening")) as channel:
            call: Any = channel.unary_unary(f"/{CHAT}")
            for _ in range(3):
                await call(ask().SerializeToString(), timeout=10)
        assert receiver.spans == []
        heard.process.send_signal(signal.SIGTERM)
        assert await heard.end() == 0
    assert [len(receiver.named(name)) for name in (CHAT, "chat")] == [3, 3]


async def test_a_caller_that_leaves_ends_its_spans() -> None:
    """While it waits for the first token: the call is cancelled, and so is the attempt."""

    async def silent(_: Request, connection: Connection) -> None:
        await connection.until_gone()

    async with traced(silent) as (receiver, upstream, caller):
        stream = caller.stream()
        await upstream.until(lambda: len(upstream.requests) == 1)
        stream.cancel()
        await upstream.until(lambda: upstream.open == 0)
    root = receiver.one(STREAM)
    assert root.attributes["rpc.response.status_code"] == "CANCELLED"
    assert (root.failed, "error.type" in root.attributes) == (False, False)
    assert receiver.one("chat").parent_id == receiver.one(STREAM).span_id


async def test_what_is_not_sampled_leaves_nothing() -> None:
    """Neither by the caller's word nor by chance; the upstream hears that it is not sampled."""
    async with traced(says("Hello"), telemetry={"sample_ratio": 0}) as (receiver, up, caller):
        await caller.chat()
        await from_caller(caller, traceparent=NOT_SAMPLED).events()
        await from_caller(caller, traceparent=SAMPLED).chat()
    ids = [request.headers["traceparent"].split("-") for request in up.requests]
    sampled = [(i[1] == TRACE, int(i[3]) & 1) for i in ids]
    assert sampled == [(False, 0), (True, 0), (True, 1)]
    assert [span.name for span in receiver.spans] == [CHAT, "chat"]  # the last: its caller decides


async def test_joined_calls_have_a_trace_each() -> None:
    """The upstream's request belongs to the first; each sees the attempt that it waited for."""
    async with traced(says("Hel", "lo")) as (receiver, upstream, caller):
        for number in (1, 2):
            from_caller(caller, traceparent=f"00-{number:032x}-{PARENT}-01")
            await caller.events(idempotency_key=KEY)
    (request,) = upstream.requests
    first, second = receiver.named(STREAM)
    assert (int(first.trace_id, 16), int(second.trace_id, 16)) == (1, 2)
    assert children(receiver, first) == children(receiver, second) == ["chat", "stream"]
    attempt = next(span for span in receiver.named("chat") if span.parent_id == first.span_id)
    assert request.headers["traceparent"] == f"00-{first.trace_id}-{attempt.span_id}-01"


async def test_the_resource_and_the_headers() -> None:
    """As configured; the headers are the receiver's business and nobody else's."""
    telemetry = {
        "otlp_headers": {"x-key": "planted-key"},
        "service_name": "front-door",
        "attributes": {"deployment.environment.name": "test"},
    }
    async with traced(says("Hello"), telemetry=telemetry) as (receiver, _, caller):
        await caller.chat()
    (resource,) = receiver.resources
    assert resource["service.name"] == "front-door"
    assert resource["deployment.environment.name"] == "test"
    assert {"service.version", "service.instance.id", "process.pid"} <= resource.keys()
    assert receiver.headers[0]["x-key"] == "planted-key"
    assert b"planted-key" not in receiver.raw


async def test_prompts_are_in_spans_only_when_asked_for() -> None:
    """log.prompts is the one switch."""
    for prompts in (False, True):
        async with traced(says("an ANSWER"), log={"prompts": prompts}) as (receiver, _, caller):
            await caller.chat("a PROMPT")
        assert (b"PROMPT" in receiver.raw, b"ANSWER" in receiver.raw) == (prompts, prompts)


@pytest.mark.parametrize("receiver_is", ["refusing", "silent"])
async def test_a_receiver_that_is_down_stops_nothing(
    receiver_is: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls go on as without it, and a stop does not wait for it."""
    monkeypatch.setattr(pipeline, "LAST_FLUSH", 0.2)
    async with receiving() as receiver, RawUpstream(says("Hello")) as upstream:
        receiver.answers.clear()
        with socket.socket() as taken:  # bound and not listening: connections are refused
            taken.bind(("127.0.0.1", 0))
            down = f"http://127.0.0.1:{taken.getsockname()[1]}"
            url = down if receiver_is == "refusing" else receiver.url
            with capture_logs() as logs:
                async with gateway(upstream.url, telemetry={"otlp_endpoint": url}) as caller:
                    answered = await asyncio.gather(*(caller.chat() for _ in range(50)))
        # The gateway has stopped, and the receiver has answered nothing.
        assert receiver.asked.is_set() == (receiver_is == "silent")
    assert len(answered) == 50
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["spans given up"]


async def test_without_an_endpoint_the_callers_trace_is_passed_on_as_it_came() -> None:
    """And nothing that is no trace context; OpenTelemetry's SDK has no part in it."""
    sent = {"traceparent": SAMPLED, "tracestate": "a=1", "baggage": "team=red"}
    async with RawUpstream(says("Hello")) as upstream:
        async with gateway(upstream.url) as caller:
            await from_caller(caller, **sent).chat()
            await from_caller(caller, traceparent="00-broken", tracestate="a=1").chat()
        async with gateway(upstream.url, telemetry={"propagators": ["tracecontext"]}) as caller:
            await from_caller(caller, **sent).chat()
        async with gateway(upstream.url, telemetry={"propagators": []}) as caller:
            await from_caller(caller, **sent).chat()
        got = [{n: r.headers[n] for n in sent if n in r.headers} for r in upstream.requests]
    without_baggage = {name: text for name, text in sent.items() if name != "baggage"}
    assert got == [sent, {}, without_baggage, {}]


async def test_a_request_that_is_none_has_a_span_too() -> None:
    """It ends in INVALID_ARGUMENT, under its caller's trace."""
    async with traced(says("Hello")) as (receiver, _, caller):
        call: Any = caller.channel.unary_unary(f"/{CHAT}")
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"\xff\xff", metadata=(("traceparent", SAMPLED),), timeout=10)
    (span,) = receiver.spans
    assert (span.trace_id, span.attributes["rpc.grpc.status_code"]) == (TRACE, 3)
