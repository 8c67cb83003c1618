"""One line for each call when it is over, whatever its end; over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from support.gateway import TRUSTING, Caller, ask, gateway, trailer
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.raw_upstream import Connection, Request

    Script = Callable[[Request, Connection], Awaitable[None]]

CHAT = "/headgate.v1.ChatService/Chat"
QUICK: dict[str, Any] = {"initial_backoff": 0.001, "max_backoff": 0.001}
FAILS = answers(b'{"error": "DSN=planted"}', status="503 Service Unavailable")
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 3,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4},
}
TIMES = {"seconds", "queue_seconds", "upstream_seconds", "overhead_seconds"}


class Lines:
    """What was logged, with the facts of the task that logged it."""

    def __init__(self, logs: list[Any]) -> None:
        self.all = logs

    def of(self, event: str) -> list[dict[str, Any]]:
        return [log for log in self.all if log["event"] == event]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return self.of("call")

    @property
    def call(self) -> dict[str, Any]:
        """The only one."""
        (line,) = self.calls
        return line


@asynccontextmanager
async def logged(*scripts: Script, **sections: Any) -> AsyncIterator[tuple[Lines, Any, Caller]]:
    """A gateway with both faces; all lines are there when it has stopped."""
    sections.setdefault("http_listen", "127.0.0.1:0")
    with capture_logs(processors=[merge_contextvars]) as logs:
        async with RawUpstream(*scripts) as up, gateway(up.url, **sections) as caller:
            yield Lines(logs), up, caller


def url(caller: Caller, path: str = "/v1/chat/completions") -> str:
    return f"http://{caller.gateway.http_address}{path}"


def body(*, stream: bool = False, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"}], "stream": stream, **fields}


async def silent(_: Request, connection: Connection) -> None:
    await connection.until_gone()


async def test_a_stream_that_ends_well() -> None:
    """Who, what, how long and how much; with a failure on the way and the wait for a slot."""
    usage = {"id": "c-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
    stream = streams(event(delta("Hel")), event(delta("lo")), event(finish()) + event(usage) + DONE)
    pace = {"rate": 20, "min_interval": 0.05}
    async with logged(says("x"), FAILS, stream, retry=QUICK, throttle=pace) as (lines, _, caller):
        await caller.chat()
        caller.metadata = (("x-request-id", "r-1"),)
        await caller.events(labels={"job": "nightly"})
    line = lines.calls[1]
    assert {name: fact for name, fact in line.items() if not name.endswith("seconds")} == {
        "event": "call",
        "log_level": "info",
        "face": "grpc",
        "method": "StreamChat",
        "code": "OK",
        "upstream_status": 503,
        "request_id": "r-1",
        "caller": "loopback",
        "model": "scripted",
        "labels": {"job": "nightly"},
        "attempts": 2,
        "deltas": 2,
        "prompt_tokens": 11,
        "completion_tokens": 3,
        "cached_tokens": 4,
    }
    assert {*TIMES, "first_delta_seconds"} == {name for name in line if name.endswith("seconds")}
    assert line["queue_seconds"] > 0
    assert line["upstream_seconds"] > 0
    total = line["queue_seconds"] + line["upstream_seconds"] + line["overhead_seconds"]
    assert total == pytest.approx(line["seconds"], abs=0.05)


async def test_a_failed_attempt_leaves_a_line_without_words() -> None:
    """Where, which one, how; under the request id, and not what the upstream said."""
    async with logged(FAILS, says("x"), retry=QUICK) as (lines, up, caller):
        caller.metadata = (("x-request-id", "r-1"),)
        await caller.chat()
    (line,) = lines.of("attempt failed")
    assert line.pop("seconds") > 0
    assert line == {
        "event": "attempt failed",
        "log_level": "warning",
        "host": f"127.0.0.1:{up.port}",
        "attempt": 1,
        "reason": "UPSTREAM_UNAVAILABLE",
        "status": 503,
        "request_id": "r-1",
    }
    assert "planted" not in str(lines.all)


async def test_an_attempt_that_found_nobody_names_the_systems_word() -> None:
    """The cause is the operating system's, and no address of a caller's."""
    with capture_logs() as logs:
        async with gateway("http://127.0.0.1:1/", retry={"max_attempts": 1}) as caller:
            assert (await caller.refused_chat()).code() is grpc.StatusCode.UNAVAILABLE
    attempt, call = logs
    assert (attempt["host"], "status" in attempt) == ("127.0.0.1:1", False)
    assert attempt["fault"].startswith("ConnectionRefusedError")
    assert (call["log_level"], call["reason"]) == ("warning", "UPSTREAM_UNAVAILABLE")


@pytest.mark.parametrize(
    ("script", "code", "reason", "level"),
    [
        (
            answers(b"{}", status="401 Unauthorized"),
            "FAILED_PRECONDITION",
            "CREDENTIALS",
            "warning",
        ),
        (answers(b"{}", status="400 Bad Request"), "INVALID_ARGUMENT", "REJECTED", "info"),
        (answers(b"{}", status="404 Not Found"), "NOT_FOUND", "NOT_FOUND", "info"),
        (answers(b"{}", status="429 Too Many Requests"), "RESOURCE_EXHAUSTED", "LIMIT", "info"),
        (answers(b"no json"), "INTERNAL", "PROTOCOL", "warning"),
    ],
)
async def test_the_level_says_who_should_look(
    script: Script, code: str, reason: str, level: str
) -> None:
    """What only the operator can mend is a warning; what the caller did is none."""
    async with logged(script, retry={"max_attempts": 1}) as (lines, _, caller):
        await caller.refused_chat()
    line = lines.call
    assert (line["code"], line["reason"], line["log_level"]) == (code, f"UPSTREAM_{reason}", level)


async def test_a_stream_that_is_cut() -> None:
    """After the first delta it is ABORTED, with how far it came."""
    async with logged(streams(event(delta("Hel")), end=False)) as (lines, _, caller):
        await caller.interrupted()
    line = lines.call
    assert (line["code"], line["reason"], line["deltas"]) == ("ABORTED", "STREAM_INTERRUPTED", 1)
    (attempt,) = lines.of("attempt failed")
    assert (attempt["status"], attempt["cause"]) == (200, "cut")


async def test_requests_that_break_a_rule() -> None:
    """One line each, on both faces, parsable or not; the model is not known of what is no call."""
    async with logged(says("x")) as (lines, up, caller):
        await caller.refused_chat(temperature=9)
        call: Any = caller.channel.unary_unary(CHAT)
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"\xff\xff", timeout=10)
        async with aiohttp.ClientSession() as client:
            for data in (b'{"messages": []}', b"no json"):
                reply = await client.post(url(caller), data=data)
                assert reply.status == 400
            reply = await client.post(url(caller), data={"a": "b"})
            assert reply.status == 415
    assert up.requests == []
    assert [(c["face"], c["code"], c["attempts"]) for c in lines.calls] == [
        *[("grpc", "INVALID_ARGUMENT", 0)] * 2,
        *[("http", "INVALID_ARGUMENT", 0)] * 3,
    ]
    assert [c["http_status"] for c in lines.calls if c["face"] == "http"] == [400, 400, 415]
    assert {c["reason"] for c in lines.calls} == {"INVALID_REQUEST"}


async def test_a_refusal_by_the_queue() -> None:
    """It waited for nothing, and nothing went upstream."""
    slow = {"rate": 0.1, "min_interval": 10}
    async with logged(says("x"), throttle=slow) as (lines, up, caller):
        await caller.chat()
        await caller.refused_chat(timeout=2)
    line = lines.calls[1]
    assert (line["code"], line["reason"]) == ("RESOURCE_EXHAUSTED", "WAIT_TOO_LONG")
    assert (line["attempts"], line["log_level"], len(up.requests)) == (0, "info", 1)


async def test_a_caller_that_leaves() -> None:
    """CANCELLED, over both faces."""
    async with logged(silent) as (lines, up, caller):
        stream = caller.stream()
        await up.until(lambda: len(up.requests) == 1)
        stream.cancel()
        async with aiohttp.ClientSession() as client:
            posting = asyncio.create_task(client.post(url(caller), json=body(stream=True)))
            await up.until(lambda: len(up.requests) == 2)
            posting.cancel()
            await up.until(lambda: up.open == 0)
    assert {(c["face"], c["code"], "reason" in c) for c in lines.calls} == {
        ("grpc", "CANCELLED", False),
        ("http", "CANCELLED", False),
    }
    assert len(lines.calls) == 2


async def test_a_deadline() -> None:
    """The caller's own."""
    async with logged(silent) as (lines, _, caller):
        error = await caller.refused(timeout=0.3)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (lines.call["code"], lines.call["reason"]) == ("DEADLINE_EXCEEDED", "DEADLINE")


async def test_a_drain() -> None:
    """Who still waits for the first token is sent elsewhere, which is nothing to worry about."""
    async with logged(silent, server={"grace": 0}) as (lines, up, caller):
        waiting = asyncio.create_task(caller.refused())
        await up.until(lambda: len(up.requests) == 1)
        await caller.gateway.stop(0)
        assert (await waiting).code() is grpc.StatusCode.UNAVAILABLE
    line = lines.call
    assert (line["code"], line["reason"], line["log_level"]) == ("UNAVAILABLE", "DRAINING", "info")


async def test_the_status_of_a_stream_that_has_said_nothing_yet() -> None:
    """It is out with the head, so what cuts the stream then does not change it."""

    async def finished_only(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), chunked(event(finish())))
        await connection.until_gone()

    async with logged(finished_only) as (lines, _, caller), aiohttp.ClientSession() as client:
        response = await client.post(url(caller), json=body(stream=True))
        await caller.gateway.stop(0)
        assert (response.status, "event: error" in await response.text()) == (200, True)
    line = lines.call
    assert (line["code"], line["http_status"], "deltas" in line) == ("ABORTED", 200, False)


async def test_joined_calls_have_one_line_each() -> None:
    """Both say that they were joined; the attempt, and its failure, is the first one's."""
    async with logged(FAILS, says("Hel", "lo"), retry=QUICK) as (lines, up, caller):
        for request_id in ("r-1", "r-2"):
            caller.metadata = (("x-request-id", request_id),)
            await caller.events(idempotency_key=KEY)
    assert len(up.requests) == 2
    assert [(c["request_id"], c["joined"], c["attempts"]) for c in lines.calls] == [
        ("r-1", True, 2),
        ("r-2", True, 2),
    ]
    assert [line["request_id"] for line in lines.of("attempt failed")] == ["r-1"]


async def test_what_there_is_not() -> None:
    """A method that nobody serves and a path that leads nowhere; strangers cannot fill the log."""
    async with logged(says("x")) as (lines, _, caller):
        call: Any = caller.channel.unary_unary("/headgate.v1.ChatService/Nothing")
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", timeout=10, metadata=(("x-request-id", "r-1"),))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    unknown = lines.of("unknown call")
    assert len(unknown) == 5
    method = "/headgate.v1.ChatService/Nothing"
    assert (unknown[0]["method"], unknown[0]["request_id"]) == (method, "r-1")
    async with logged(says("x")) as (lines, _, caller), aiohttp.ClientSession() as client:
        assert (await client.get(url(caller, "/nowhere?key=planted"))).status == 404
        assert (await client.get(url(caller))).status == 405
        assert (await client.get(url(caller, "/healthz"))).status == 200
    assert [(line["method"], line["code"]) for line in lines.of("unknown call")] == [
        ("GET /nowhere", "NOT_FOUND"),
        ("GET /v1/chat/completions", "NOT_FOUND"),
    ]
    assert "planted" not in str(lines.all)
    assert lines.calls == []


async def test_the_request_id_goes_round() -> None:
    """Taken or made: in the line, in the trailers or headers, and at the upstream."""
    async with logged(says("x")) as (lines, up, caller):
        call = caller.stub.Chat(ask(), metadata=(("x-request-id", "mine"),), timeout=10)
        await call
        told = [dict(await call.trailing_metadata())["x-request-id"]]
        async with aiohttp.ClientSession() as client:
            for given in ("mine-2", "not one\tword", 'quo"te'):
                reply = await client.post(url(caller), json=body(), headers={"x-request-id": given})
                told.append(reply.headers["x-request-id"])
        error = await caller.refused_chat(temperature=9)
        told.append(str(trailer(error, "x-request-id")))
        assert trailer(error, "headgate-reason") == "INVALID_REQUEST"  # both are there
    assert told[:2] == ["mine", "mine-2"]
    assert [len(made) for made in told[2:]] == [32, 32, 32]
    assert [line["request_id"] for line in lines.calls] == told
    assert [request.headers["x-request-id"] for request in up.requests] == told[:4]


@pytest.mark.parametrize(
    ("access", "codes"),
    [("on", ["OK", "INVALID_ARGUMENT"]), ("errors", ["INVALID_ARGUMENT"]), ("off", [])],
)
async def test_which_calls_leave_a_line(access: str, codes: list[str]) -> None:
    """log.access says so."""
    async with logged(says("x"), log={"access": access}) as (lines, _, caller):
        await caller.chat()
        await caller.refused_chat(temperature=9)
    assert [line["code"] for line in lines.calls] == codes


async def test_callers_are_named_and_addresses_are_not() -> None:
    """A name that a trusted peer gave; an address only where the operator wants that."""
    async with logged(says("x"), callers=TRUSTING) as (lines, _, caller):
        await caller.named("search").chat()
        await caller.chat()
    assert [line["caller"] for line in lines.calls] == ["search", "loopback"]
    async with logged(says("x"), log={"addresses": True}) as (lines, _, caller):
        await caller.chat()
    assert lines.call["caller"] == "127.0.0.1"


async def test_prompts_and_answers_only_when_asked_for() -> None:
    """log.prompts is the one switch; a cut answer is there as far as it came."""
    cut = streams(event(delta("half an ANSWER")), end=False)
    for prompts in (False, True):
        async with logged(says("an ", "ANSWER"), cut, log={"prompts": prompts}) as found:
            lines, _, caller = found
            await caller.events("a PROMPT")
            await caller.interrupted("a PROMPT")
        if not prompts:
            assert "PROMPT" not in str(lines.all)
            assert "ANSWER" not in str(lines.all)
        else:
            assert [line["messages"] for line in lines.of("prompt")] == [
                '[{"role":"user","content":"a PROMPT"}]'
            ] * 2
            assert [line["choices"] for line in lines.of("answer")] == [
                '[{"choice":0,"content":"an ANSWER"}]',
                '[{"choice":0,"content":"half an ANSWER"}]',
            ]


async def test_an_answer_is_written_down_whole() -> None:
    """However it came: here each delta is with the caller before the next is sent."""
    words = ["an ", "ANSWER ", "in ", "pieces"]
    seen: list[str] = []

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head())
        for number, word in enumerate(words, 1):
            await connection.send(chunked(event(delta(word))))
            await upstream.until(lambda: len(seen) == number)  # noqa: B023 - awaited here
        await connection.send(chunked(event(finish()) + DONE))

    async with logged(script, log={"prompts": True}) as (lines, upstream, caller):
        async for received in caller.stub.StreamChat(ask(), timeout=20):
            if received.WhichOneof("event") == "delta":
                seen.append(received.delta.content)
                await upstream._notify()
    (answer,) = lines.of("answer")
    assert answer["choices"] == '[{"choice":0,"content":"an ANSWER in pieces"}]'
