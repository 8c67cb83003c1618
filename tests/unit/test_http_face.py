"""The HTTP face: the published path and OpenAI's, over a scripted corridor."""

from __future__ import annotations

import asyncio
import json
import socket
import tracemalloc
from typing import Any

import aiohttp
import pytest
import structlog

from headgate import errors
from headgate.http_face.options import HttpOptions
from support.http_face import HELLO, events_in, open_to_all, running, text_in
from support.scripted_upstream import Scripted, ended, opened, said

PATHS = ("/api", "/v1/chat/completions")
STREAM = {**HELLO, "stream": True}
WHOLE = {**HELLO, "stream": False}


async def test_the_published_path_streams_by_default() -> None:
    """`POST /api` without `stream` answers with events up to [DONE]."""
    upstream = Scripted([opened("Hel"), said("lo"), ended(usage=(9, 2))])
    async with running(upstream) as (_, client), client.post("/api", json=HELLO) as response:
        events = events_in(await response.text())
    assert response.status == 200
    assert response.content_type == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert text_in(events) == "Hello"
    assert events[0][1]["choices"][0]["delta"]["role"] == "assistant"
    assert events[-2][1]["usage"]["total_tokens"] == 11
    assert events[-1] == ("message", "[DONE]")
    assert upstream.calls[0].request.stream is True


async def test_the_openai_path_answers_whole_by_default() -> None:
    """`POST /v1/chat/completions` without `stream` answers with one JSON object."""
    upstream = Scripted([opened("Hello"), ended(usage=(9, 1))])
    async with running(upstream) as (_, client):
        response = await client.post("/v1/chat/completions", json=HELLO)
        answer = await response.json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["prompt_tokens"] == 9
    assert upstream.calls[0].request.stream is False


@pytest.mark.parametrize("path", PATHS)
async def test_one_event_a_write(path: str) -> None:
    """Each event is a write of its own and pure ASCII, so that naive readers work."""
    upstream = Scripted([opened("Grüße, ", "\u2028", "🙂"), said("!"), ended()])
    writes = []
    async with running(upstream) as (_, client), client.post(path, json=STREAM) as response:
        write = b""
        async for data, end_of_write in response.content.iter_chunks():
            write += data
            if end_of_write:
                writes.append(write)
                write = b""
    assert len(writes) == 1 + 4 + 1 + 1
    assert all(write.startswith(b"data: ") and write.count(b"\n") == 2 for write in writes)
    assert all(write.endswith(b"\n\n") and write.isascii() for write in writes)
    assert text_in(events_in(b"".join(writes).decode())) == "Grüße, \u2028🙂!"


async def test_a_delta_arrives_before_the_next_is_made() -> None:
    """Nothing is held back: the upstream goes on only after the reader has the delta."""
    go_on = asyncio.Event()
    upstream = Scripted([opened("first"), go_on, said("second"), ended()])
    async with running(upstream) as (_, client), client.post("/api", json=HELLO) as response:
        text = ""
        while "first" not in text:
            text += (await response.content.readany()).decode()
        assert "second" not in text
        go_on.set()
        text += (await response.content.read()).decode()
    assert text_in(events_in(text)) == "firstsecond"


@pytest.mark.parametrize(
    ("path", "options", "usages"),
    [
        ("/api", None, 1),
        ("/api", {"include_usage": False}, 0),
        ("/v1/chat/completions", None, 0),
        ("/v1/chat/completions", {"include_usage": True}, 1),
    ],
)
async def test_usage_in_a_stream(path: str, options: dict[str, bool] | None, usages: int) -> None:
    """OpenAI's path sends it when asked, the published one unless asked not to."""
    upstream = Scripted([opened("x"), ended(usage=(1, 1))])
    async with running(upstream) as (_, client):
        response = await client.post(path, json={**STREAM, "stream_options": options})
        events = events_in(await response.text())
    with_usage = [data for _, data in events if data != "[DONE]" and "usage" in data]
    assert len(with_usage) == usages
    assert all(data["choices"] == [] for data in with_usage)


ERRORS: list[tuple[errors.HeadgateError, int, dict[str, str | None]]] = [
    (
        errors.CallerLimit("slow down", retry_after=1.2),
        429,
        {"retry-after": "2", "retry-after-ms": "1250", "x-should-retry": None},
    ),
    (
        errors.WaitTooLong("too late", retry_after=0.0),
        429,
        {"retry-after": "1", "retry-after-ms": "50", "x-should-retry": None},
    ),
    (errors.Draining(), 503, {"retry-after": "1", "retry-after-ms": "50", "x-should-retry": None}),
    (errors.QueueFull("full"), 429, {"retry-after": None, "x-should-retry": "false"}),
    (
        errors.UpstreamLimit("429", status=429, retry_after=3.5),
        429,
        {"retry-after": "4", "retry-after-ms": "3500", "x-should-retry": "false"},
    ),
    (errors.UpstreamUnavailable("down"), 503, {"x-should-retry": "false", "retry-after": None}),
    (errors.UpstreamTimeout("connect", 5), 504, {"x-should-retry": "false"}),
    (errors.UpstreamCredentials("no"), 502, {"x-should-retry": "false"}),
    (errors.UpstreamRejected("no", status=422, invalid=True), 400, {"x-should-retry": "false"}),
    (errors.UpstreamNotFound("no"), 404, {"x-should-retry": "false"}),
    (errors.Unauthenticated("who"), 401, {"www-authenticate": "Bearer"}),
    (errors.PermissionDenied("no"), 403, {"x-should-retry": "false"}),
]


@pytest.mark.parametrize("body", [STREAM, WHOLE])
@pytest.mark.parametrize(
    ("error", "status", "headers"), ERRORS, ids=[error.reason for error, *_ in ERRORS]
)
async def test_an_error_before_the_answer_is_a_status(
    error: errors.HeadgateError, status: int, headers: dict[str, str | None], body: dict[str, Any]
) -> None:
    """The status of the table, OpenAI's shape, and advice that its SDKs obey."""
    async with running(Scripted([error])) as (_, client):
        response = await client.post("/v1/chat/completions", json=body)
        said_error = (await response.json())["error"]
    assert response.status == status
    assert {name: response.headers.get(name) for name in headers} == headers
    assert response.headers["x-headgate-reason"] == error.reason
    assert said_error["message"] == error.message
    assert said_error["code"] == error.reason
    assert said_error["param"] is None
    assert said_error["type"].endswith("_error")


async def test_an_interrupted_stream_ends_with_an_error_event() -> None:
    """After the first delta an error is the last event; there is no [DONE]."""
    cut = errors.StreamInterrupted("the answer was interrupted", cause="connection")
    upstream = Scripted([opened("Hel", "lo"), cut])
    async with running(upstream) as (_, client):
        response = await client.post("/api", json=HELLO)
        events = events_in(await response.text())
    assert response.status == 200
    assert text_in(events) == "Hello"
    kind, data = events[-1]
    assert kind == "error"
    assert data["error"]["code"] == "STREAM_INTERRUPTED"
    assert data["error"]["metadata"] == {"cause": "connection", "position_sent": "2"}
    assert ("message", "[DONE]") not in events
    assert upstream.left.locked() is False


async def raw(address: str, request: bytes) -> bytes:
    """Everything that comes until the server closes the connection."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_an_interrupted_stream_closes_the_connection() -> None:
    """What came is delivered, and then the end of the connection, though it was to be kept."""
    cut = errors.StreamInterrupted("the answer was interrupted", cause="connection")
    async with running(Scripted([opened("Hello"), cut])) as (face, _):
        body = json.dumps(HELLO).encode()
        head = f"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = await raw(face.address, head.encode() + body)
    assert b"Hello" in answer
    assert answer.endswith(b"}}\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "script",
    [
        pytest.param([], id="before the first delta"),
        pytest.param([opened("x")], id="in the stream"),
    ],
)
async def test_a_caller_that_leaves_frees_the_corridor(script: list[Any], path: str) -> None:
    """A disconnect in any phase leaves the corridor's context."""
    never = asyncio.Event()
    upstream = Scripted([*script, never])
    async with running(upstream) as (face, client):
        call = asyncio.create_task(client.post(path, json=STREAM))
        await upstream.waiting.wait()
        if script:
            (await call).close()
        else:
            call.cancel()
        await upstream.left.acquire()
        assert len(upstream.calls) == 1
        assert "calls=0" in repr(face)


async def test_a_reader_that_stalls_is_cut() -> None:
    """Past write_stall_timeout the connection is closed and the corridor left."""
    chunks = [opened("x"), *(said("y" * 200_000) for _ in range(200))]
    upstream = Scripted([*chunks, ended()])
    options = HttpOptions(write_stall_timeout=0.05)
    async with running(upstream, options) as (_, client):
        response = await client.post("/api", json=HELLO)
        await upstream.left.acquire()
        with pytest.raises(aiohttp.ClientError):
            await response.read()


async def test_an_error_is_short_whatever_it_quotes() -> None:
    """What a caller wrote comes back cut, as over gRPC."""
    body = {"messages": [{"role": "\u00e9" * 50_000, "content": "x"}]}
    async with running(Scripted([opened("x"), ended()])) as (_, client):
        response = await client.post("/api", json=body)
        assert response.status == 400
        assert len(await response.read()) < 4096


async def test_violations_are_named_as_the_json_has_them() -> None:
    """The contract puts a function's fields into the tool itself."""
    body = HELLO | {"tools": [{"type": "function", "function": {"name": "f", "parameters": 1}}]}
    async with running(Scripted([opened("x"), ended()])) as (_, client):
        response = await client.post("/v1/chat/completions", json=body)
        assert (await response.json())["error"]["param"] == "tools[0].function.parameters"


async def test_a_reader_that_stalls_in_a_whole_answer_is_cut() -> None:
    """It would be kept in memory for as long as the reader likes."""
    upstream = Scripted([opened("x"), said("y" * 20_000_000), ended()])
    options = HttpOptions(write_stall_timeout=0.05)
    async with running(upstream, options) as (face, client):
        response = await client.post("/api", json=HELLO | {"stream": False})
        while len(face.calls):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        with pytest.raises(aiohttp.ClientError):
            await response.read()


async def test_a_stop_waits_for_who_reads_a_whole_answer() -> None:
    """The call runs until its last piece is on its way, so that the grace is for that, too."""
    text = "y" * 20_000_000
    upstream = Scripted([opened("x"), said(text), ended()])
    async with running(upstream) as (face, client):
        response = await client.post("/api", json=HELLO | {"stream": False})
        assert len(face.calls) == 1
        stop = asyncio.create_task(face.stop(60))
        answer = await response.json()
        await stop
    assert answer["choices"][0]["message"]["content"] == "x" + text


async def test_a_body_that_does_not_come_is_given_up() -> None:
    """A caller that promises a body and sends none gets 408."""

    async def nothing() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    upstream = Scripted([opened("x"), ended()])
    async with running(upstream, HttpOptions(write_stall_timeout=0.05)) as (_, client):
        response = await client.post("/api", data=nothing())
        assert response.status == 408
        response.close()
    assert upstream.calls == []


@pytest.mark.parametrize("body", [STREAM, WHOLE])
async def test_an_internal_error_says_nothing_of_itself(body: dict[str, Any]) -> None:
    """The caller sees 500 without detail, the log has it under the request id."""
    upstream = Scripted([ValueError("secret dsn=postgres://")])
    headers = {"x-request-id": "req-77"}
    with structlog.testing.capture_logs() as logs:
        async with running(upstream) as (_, client):
            response = await client.post("/api", json=body, headers=headers)
            text = await response.text()
    assert response.status == 500
    assert "secret" not in text
    assert (await response.json())["error"]["code"] == "INTERNAL"
    assert [(log["log_level"], log["request_id"]) for log in logs] == [("error", "req-77")]


async def test_an_internal_error_in_a_stream_says_nothing_of_itself() -> None:
    """As an event, just the same."""
    upstream = Scripted([opened("x"), ValueError("secret")])
    with structlog.testing.capture_logs() as logs:
        async with running(upstream) as (_, client):
            text = await (await client.post("/api", json=HELLO)).text()
    assert "secret" not in text
    assert events_in(text)[-1][1]["error"]["code"] == "INTERNAL"
    assert len(logs) == 1


BAD_BODIES = [
    b"",
    b"not json",
    b"[]",
    b"{}",
    b'{"messages":[]}',
    b'{"messages":"Hello!"}',
    b'{"messages":[{"role":"pirate","content":"x"}]}',
    b'{"messages":[{"role":"user","content":"\xff"}]}',
    b'{"messages":[{"role":"user","content":"x"}],"temperature":2.1}',
    b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}',
    b'{"messages":[{"role":"user","content":"x"}],"max_tokens":0}',
    b'{"messages":[{"role":"user","content":"x"}],"stream":"yes"}',
    b'{"messages":' + b"[" * 100_000,
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:40]))
async def test_bad_input_is_a_clear_400(path: str, body: bytes) -> None:
    """OpenAI's error shape with the wrong field, and nothing goes upstream."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream) as (_, client):
        response = await client.post(path, data=body, headers={"content-type": "application/json"})
        error = (await response.json())["error"]
    assert response.status == 400
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "INVALID_REQUEST"
    assert error["message"].startswith(error["param"])
    assert upstream.calls == []


async def test_types_and_ranges_are_reported_together() -> None:
    """One answer names every wrong field, whoever found it."""
    body = {**HELLO, "temperature": 3, "top_p": "low", "n": 0, "top_k": 1}
    async with running(Scripted([opened("x"), ended()])) as (_, client):
        response = await client.post("/v1/chat/completions", json=body)
        violations = (await response.json())["error"]["violations"]
    fields = [violation["field"] for violation in violations]
    assert sorted(fields) == ["n", "temperature", "top_k", "top_p"]


async def test_unknown_fields() -> None:
    """Ignored on /api; on /v1 refused unless allow-listed, and then sent upstream."""
    upstream = Scripted([opened("x"), ended()])
    body = {**WHOLE, "top_k": 40}
    async with running(upstream, extra_allowed=("top_k",)) as (_, client):
        assert (await client.post("/api", json=body)).status == 200
        assert (await client.post("/v1/chat/completions", json=body)).status == 200
        refused = await client.post("/v1/chat/completions", json={**body, "min_p": 0.1})
        assert refused.status == 400
        assert (await refused.json())["error"]["param"] == "min_p"
    assert [dict(call.extra) for call in upstream.calls] == [{}, {"top_k": 40}]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413(chunked: bool) -> None:
    """Told by its length, or found out while reading."""

    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 100

    upstream = Scripted([opened("x"), ended()])
    async with running(upstream, HttpOptions(max_body_bytes=1000)) as (_, client):
        response = await client.post("/api", data=pieces() if chunked else b" " * 1001)
        assert response.status == 413
        assert "server.max_message_bytes" in (await response.json())["error"]["message"]
    assert upstream.calls == []


async def test_a_prompt_is_kept_no_longer_than_its_call_keeps_it() -> None:
    """Neither the body nor what was read from it is held until the answer is over."""

    async def body() -> Any:
        yield b'{"stream":true,"messages":[{"role":"user","content":"'
        for _ in range(100):
            yield b"p" * 50_000
        yield b'"}]}'

    upstream = Scripted([opened("x"), asyncio.Event()])
    tracemalloc.start()
    try:
        async with running(upstream) as (_, client):
            response = await client.post("/api", data=body())
            await upstream.waiting.wait()
            held, _ = tracemalloc.get_traced_memory()
            upstream.calls[0].forget_prompt()
            left, _ = tracemalloc.get_traced_memory()
            response.close()
    finally:
        tracemalloc.stop()
    assert held > 5_000_000
    assert left < 2_500_000


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/api", 405, "POST"),
        ("PUT", "/v1/chat/completions", 405, "POST"),
        ("POST", "/healthz", 405, "GET,HEAD"),
        ("OPTIONS", "/api", 405, "POST"),
        ("GET", "/", 404, None),
        ("POST", "/v1/completions", 404, None),
    ],
)
async def test_wrong_places_and_methods(
    method: str, path: str, status: int, allow: str | None
) -> None:
    """JSON in OpenAI's shape, and Allow where a method is wrong."""
    async with running(Scripted([opened("x"), ended()])) as (_, client):
        response = await client.request(method, path)
        error = (await response.json())["error"]
    assert response.status == status
    given = response.headers.get("allow")
    assert (given and given.replace(" ", "")) == allow
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("text/plain", 200),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
async def test_media_types(media: str, status: int) -> None:
    """Forms are refused with a hint, everything else is read as JSON."""
    upstream = Scripted([opened("x"), ended()])
    body = b'{"messages":[{"role":"user","content":"x"}],"stream":false}'
    async with running(upstream) as (_, client):
        response = await client.post("/api", data=body, headers={"content-type": media})
        assert response.status == status
    assert len(upstream.calls) == (status == 200)


async def test_request_ids() -> None:
    """A sane id is kept, for the answer and for upstream; others are replaced."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream) as (_, client):
        given = []
        for sent in ("abc-1.2_3", "two words", "x" * 129, ""):
            response = await client.post("/api", json=WHOLE, headers={"x-request-id": sent})
            given.append(response.headers["x-request-id"])
        missing = await client.get("/nowhere")
    assert given[0] == "abc-1.2_3"
    assert all(len(made) == 32 and made.isalnum() for made in given[1:])
    assert [call.request_id for call in upstream.calls] == given
    assert len(set(given)) == 4
    assert missing.headers["x-request-id"]


@pytest.mark.parametrize(
    ("headers", "client", "mesh"),
    [
        ({}, 0, 0),
        ({"x-envoy-attempt-count": "1"}, 0, 0),
        ({"x-envoy-attempt-count": "3"}, 0, 2),
        ({"x-stainless-retry-count": "1"}, 1, 0),
        ({"x-envoy-attempt-count": "many", "x-stainless-retry-count": "-1"}, 0, 0),
        ({"x-envoy-attempt-count": "9" * 5000}, 0, 0),
    ],
)
async def test_attempts_of_others_are_counted(
    headers: dict[str, str], client: int, mesh: int
) -> None:
    """What a mesh or an SDK says about its own attempts reaches the retry budget."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream) as (_, http):
        await http.post("/api", json=WHOLE, headers=headers)
    call = upstream.calls[0]
    assert (call.prior_attempts, call.mesh_attempts) == (client, mesh)


async def test_the_caller_is_identified_by_address_and_headers() -> None:
    """Header names come in lower case, values of repeated names joined in order."""
    upstream = Scripted([opened("x"), ended()], [opened("x"), ended()])
    headers = [("X-Forwarded-For", "192.0.2.4"), ("X-Forwarded-For", "192.0.2.8")]
    async with running(upstream, access=open_to_all("127.0.0.1")) as (_, client):
        await client.post("/api", json=WHOLE, headers=headers)
    async with running(upstream) as (_, client):
        await client.post("/api", json=WHOLE, headers=headers)
    assert [call.caller for call in upstream.calls] == ["192.0.2.8", "127.0.0.1"]


async def test_the_deadline_is_a_504_that_names_the_phase() -> None:
    """Before the answer it is a status, and the call is given up."""
    upstream = Scripted([asyncio.Event()])
    async with running(upstream, HttpOptions(default_deadline=0.05)) as (_, client):
        response = await client.post("/api", json=HELLO)
        error = (await response.json())["error"]
    assert response.status == 504
    assert (error["code"], error["metadata"]["phase"]) == ("DEADLINE", "checking")
    assert response.headers["x-should-retry"] == "false"
    assert upstream.calls[0].deadline is not None
    assert not upstream.left.locked()


async def test_the_deadline_ends_a_stream_with_an_error_event() -> None:
    """After the first delta it is the last event; `max_deadline` bounds too."""
    upstream = Scripted([opened("x"), asyncio.Event()])
    async with running(upstream, HttpOptions(max_deadline=0.05)) as (_, client):
        events = events_in(await (await client.post("/api", json=HELLO)).text())
    assert events[-1][0] == "error"
    assert events[-1][1]["error"]["metadata"] == {"phase": "streaming"}


async def test_without_limits_a_call_has_no_deadline() -> None:
    """Inf is no deadline, not a very late one."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream) as (_, client):
        await client.post("/api", json=WHOLE)
    assert upstream.calls[0].deadline is None


async def test_stopping_lets_calls_finish() -> None:
    """What ends within the grace ends well; meanwhile nothing new is taken."""
    go_on = asyncio.Event()
    upstream = Scripted([opened("first"), go_on, said("second"), ended()])
    async with running(upstream) as (face, client):
        response = await client.post("/api", json=HELLO)
        await upstream.waiting.wait()
        stopping = asyncio.create_task(face.stop(30))
        await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get("/healthz")
        go_on.set()
        events = events_in(await response.text())
        await stopping
    assert text_in(events) == "firstsecond"
    assert events[-1] == ("message", "[DONE]")


async def test_stopping_cuts_what_takes_too_long() -> None:
    """A stream gets an error event with its position, a call without an answer a 503."""
    upstream = Scripted([opened("x", "y"), asyncio.Event()], [asyncio.Event()])
    async with running(upstream) as (face, client):
        stream = await client.post("/api", json=HELLO)
        await upstream.waiting.wait()
        upstream.waiting.clear()
        waiting = asyncio.create_task(client.post("/api", json=HELLO))
        await upstream.waiting.wait()
        await face.stop(0)
        events = events_in(await stream.text())
        refused = await waiting
        error = (await refused.json())["error"]
    assert events[-1][1]["error"]["code"] == "STREAM_INTERRUPTED"
    assert events[-1][1]["error"]["metadata"] == {"cause": "draining", "position_sent": "2"}
    assert (refused.status, error["code"]) == (503, "DRAINING")
    assert "calls=0" in repr(face)


async def test_draining_tells_the_load_balancer_and_takes_calls() -> None:
    """Not ready while calls are still answered, on connections that are not kept; but alive."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream) as (face, client):
        before = [(await client.get(path)).status for path in ("/readyz", "/healthz")]
        face.drain()
        ready, alive = await client.get("/readyz"), await client.get("/healthz")
        call = await client.post("/api", json=WHOLE)
    assert before == [200, 200]
    assert (ready.status, await ready.json()) == (503, {"status": "draining"})
    assert (alive.status, await alive.json()) == (200, {"status": "ok"})
    assert (call.status, call.headers["connection"]) == (200, "close")


async def test_a_taken_port_is_an_error_at_start() -> None:
    """The system's own error comes out, and nothing is left open."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream) as (face, _):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            other = type(face)(upstream, face._chat._intake, access=open_to_all())
            with pytest.raises(OSError, match="in use"):
                await other.start(f"127.0.0.1:{taken.getsockname()[1]}")


async def test_models_health_and_page() -> None:
    """The small paths."""
    options = HttpOptions(models=("a", "b"), page="<h1>Grüße</h1>".encode())
    async with running(Scripted([ended()]), options) as (_, client):
        models = await (await client.get("/v1/models")).json()
        health = await (await client.get("/healthz")).json()
        page = await client.get("/")
        text = await page.text()
    assert [model["id"] for model in models["data"]] == ["a", "b"]
    assert (models["object"], models["data"][0]["object"]) == ("list", "model")
    assert health == {"status": "ok"}
    assert (page.content_type, text) == ("text/html", "<h1>Grüße</h1>")


PREFLIGHT = {
    "Origin": "https://page.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,x-stainless-os",
}


@pytest.mark.parametrize(
    ("origins", "allowed", "vary"),
    [(("*",), "*", None), (("https://page.example",), "https://page.example", "Origin")],
)
async def test_cors_where_it_is_configured(
    origins: tuple[str, ...], allowed: str, vary: str | None
) -> None:
    """Preflight and answers carry the origin, in streams and errors too; credentials never."""
    upstream = Scripted([opened("x"), ended()])
    page = {"Origin": "https://page.example"}
    async with running(upstream, HttpOptions(cors_origins=origins)) as (_, client):
        preflight = await client.options("/api", headers=PREFLIGHT)
        answers = [
            preflight,
            await client.post("/api", json=HELLO, headers=page),
            await client.post("/api", json=WHOLE, headers=page),
            await client.post("/api", data=b"{", headers=page),
            await client.get("/healthz", headers=page),
        ]
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-headers"] == "content-type,x-stainless-os"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == allowed
        assert answer.headers.get("vary") == vary
        assert "access-control-allow-credentials" not in answer.headers
        assert "retry-after" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origins", [(), ("https://other.example",)])
async def test_other_web_pages_cannot_even_send(origins: tuple[str, ...]) -> None:
    """A page that is not on the list can neither read nor spend the upstream's limit."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream, HttpOptions(cors_origins=origins)) as (_, client):
        page = {"Origin": "https://page.example", "Content-Type": "text/plain"}
        response = await client.post("/api", json=WHOLE, headers=page)
        preflight = await client.options("/api", headers=PREFLIGHT)
    assert (response.status, response.headers["x-headgate-reason"]) == (403, "PERMISSION_DENIED")
    assert "access-control-allow-origin" not in response.headers
    assert "access-control-allow-origin" not in preflight.headers
    assert upstream.calls == []


@pytest.mark.parametrize(
    ("host", "page", "status"),
    [
        ("127.0.0.1:8080", b"x", 200),
        ("localhost:8080", b"x", 200),
        ("[::1]", b"x", 200),
        ("10.0.0.7", b"x", 200),
        ("page.example:8080", b"x", 403),
        ("127.0.0.1.page.example", b"x", 403),
        ("127.0.0.1@page.example", b"x", 403),
        ("[::1", b"x", 403),
        ("", b"x", 403),
        ("127.0.0.1:8080", None, 403),
        ("page.example:8080", None, 403),
    ],
)
async def test_the_own_page_may_call(host: str, page: bytes | None, status: int) -> None:
    """Only where there is one, and not by a name: any page's name may lead here (rebinding)."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream, HttpOptions(page=page)) as (_, client):
        own = {"Origin": f"http://{host}", "Host": host}
        response = await client.post("/api", json=WHOLE, headers=own)
    assert response.status == status
    assert len(upstream.calls) == (status == 200)


async def test_gzip_bodies_are_bounded_too() -> None:
    """A small body that unpacks to a large one is refused."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream, HttpOptions(max_body_bytes=100_000)) as (_, client):
        response = await client.post("/api", data=b" " * 10**6, compress="gzip")
        assert response.status == 413
    assert upstream.calls == []


async def test_a_body_that_does_not_unpack_is_a_400(caplog: pytest.LogCaptureFixture) -> None:
    """It says gzip and is none; which is the caller's fault, so no error is logged."""
    upstream = Scripted([opened("x"), ended()])
    async with running(upstream) as (_, client):
        headers = {"content-encoding": "gzip"}
        for _ in range(20):
            response = await client.post("/api", data=b"this is no gzip", headers=headers)
            error = (await response.json())["error"]
            assert (response.status, error["type"]) == (400, "invalid_request_error")
        assert (await client.get("/healthz")).status == 200
    assert upstream.calls == []
    assert caplog.records == []


@pytest.mark.parametrize(
    "request_",
    [
        b"hello\r\n\r\n",
        b"POST /api HTTP/1.1\r\nAuthorization Bearer sk-secret\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["no http", "bad header", "bad length", "long line"],
)
async def test_what_is_no_http_is_a_400_and_no_news(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can send it, and its bytes may hold a secret, so they are not logged."""
    async with running(Scripted([opened("x"), ended()])) as (face, client):
        answer = await raw(face.address, request_)
        assert (await client.get("/healthz")).status == 200
    assert answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert caplog.records == []


async def test_a_caller_that_left_before_the_answer_began_is_no_error() -> None:
    """The connection closes while the upstream's first words are being read."""
    go_on = asyncio.Event()
    upstream = Scripted([go_on, opened("x"), ended()])
    with structlog.testing.capture_logs() as logs:
        async with running(upstream) as (face, client):
            call = asyncio.create_task(client.post("/api", json=HELLO))
            await upstream.waiting.wait()
            go_on.set()
            assert face._runner.server is not None
            for connection in face._runner.server.connections:
                assert connection.transport is not None
                connection.transport.close()
            with pytest.raises(aiohttp.ClientConnectionError):
                await call
            await upstream.left.acquire()
    assert logs == []
