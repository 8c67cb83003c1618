"""Every row of the status table (design section 5), over real sockets, for both methods."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from support.gateway import Caller, gateway, text, trailer
from support.ports import closed_port
from support.raw_upstream import (
    Connection,
    RawUpstream,
    Request,
    answers,
    chunked,
    completion,
    delta,
    event,
    finish,
    response,
    stream_head,
    streams,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

Code = grpc.StatusCode


async def reset(_: Request, connection: Connection) -> None:
    connection.reset()


async def close(_: Request, connection: Connection) -> None:
    connection.writer.close()


async def half_json(_: Request, connection: Connection) -> None:
    whole = response(json.dumps(completion()).encode())
    await connection.send(whole[:-30])
    connection.writer.close()


async def no_http(_: Request, connection: Connection) -> None:
    await connection.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    connection.writer.close()


async def head_only(_: Request, connection: Connection) -> None:
    await connection.send(stream_head())
    connection.writer.close()


def refuses(status: int, body: Any = None, *headers: str) -> Any:
    data = json.dumps(body or {"error": {"message": "because"}}).encode()
    return answers(data, status=f"{status} Whatever", headers=headers)


BAD_GZIP = answers(b"no gzip at all", headers=["Content-Encoding: gzip"])

ROWS = [
    ("429", refuses(429), Code.RESOURCE_EXHAUSTED, "UPSTREAM_LIMIT"),
    ("400", refuses(400), Code.INVALID_ARGUMENT, "UPSTREAM_REJECTED"),
    ("413", refuses(413), Code.INVALID_ARGUMENT, "UPSTREAM_REJECTED"),
    ("422", refuses(422), Code.INVALID_ARGUMENT, "UPSTREAM_REJECTED"),
    ("301", refuses(301, None, "Location: /"), Code.FAILED_PRECONDITION, "UPSTREAM_REJECTED"),
    ("405", refuses(405), Code.FAILED_PRECONDITION, "UPSTREAM_REJECTED"),
    ("415", refuses(415), Code.FAILED_PRECONDITION, "UPSTREAM_REJECTED"),
    ("418", refuses(418), Code.FAILED_PRECONDITION, "UPSTREAM_REJECTED"),
    ("404", refuses(404), Code.NOT_FOUND, "UPSTREAM_NOT_FOUND"),
    ("401", refuses(401), Code.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS"),
    ("402", refuses(402), Code.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS"),
    ("403", refuses(403), Code.FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS"),
    *(
        (str(status), refuses(status), Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
        for status in (408, 409, 425, 500, 502, 503, 504, 529)
    ),
    ("reset", reset, Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
    ("closed", close, Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
    ("cut after the head", head_only, Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
    ("half a JSON body", half_json, Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
    ("empty body", answers(b""), Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
    ("no choice", answers(b'{"choices":[]}'), Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
    (
        "a web page",
        answers(b"<!doctype html><title>waking up</title>", media="text/html"),
        Code.UNAVAILABLE,
        "UPSTREAM_UNAVAILABLE",
    ),
    (
        "error object in a 200",
        answers(b'{"error":{"message":"busy","code":429}}'),
        Code.RESOURCE_EXHAUSTED,
        "UPSTREAM_LIMIT",
    ),
    (
        "error event in a 200",
        streams(event({"error": "overloaded"})),
        Code.UNAVAILABLE,
        "UPSTREAM_UNAVAILABLE",
    ),
    (
        "error event after the role",
        streams(event(delta(role="assistant")), event({"error": {"code": 500}})),
        Code.UNAVAILABLE,
        "UPSTREAM_UNAVAILABLE",
    ),
    (
        "error event after an empty delta",
        streams(event(delta("")), event({"error": {"code": 500}})),
        Code.UNAVAILABLE,
        "UPSTREAM_UNAVAILABLE",
    ),
    ("not JSON", answers(b"{not json}"), Code.INTERNAL, "UPSTREAM_PROTOCOL"),
    ("another shape", answers(b'{"choices":7}'), Code.INTERNAL, "UPSTREAM_PROTOCOL"),
    ("plain text", answers(b"hello", media="text/plain"), Code.INTERNAL, "UPSTREAM_PROTOCOL"),
    ("not HTTP", no_http, Code.INTERNAL, "UPSTREAM_PROTOCOL"),
    ("broken gzip", BAD_GZIP, Code.INTERNAL, "UPSTREAM_PROTOCOL"),
    ("broken event", streams(b"data: {]\n\n"), Code.INTERNAL, "UPSTREAM_PROTOCOL"),
]
METHODS = ["Chat", "StreamChat"]


async def fail(caller: Caller, method: str, **fields: Any) -> grpc.aio.AioRpcError:
    """The status of a call that must fail without a single event."""
    if method == "Chat":
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.chat(**fields)
        return caught.value
    events, error = await caller.interrupted(**fields)
    assert events == []
    return error


def details(error: grpc.aio.AioRpcError, kind: type[Message]) -> Any:
    """The error's one detail of this kind."""
    status = rpc_status.from_call(cast("grpc.Call", error))
    assert status is not None
    (packed,) = (detail for detail in status.details if detail.Is(kind.DESCRIPTOR))
    found = kind()
    packed.Unpack(found)
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("script", "code", "reason"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
async def test_status_of(script: Any, code: Code, reason: str, method: str) -> None:
    """The code, the reason, the domain, and never an invitation to retry our retries."""
    retry = {"max_attempts": 1}
    async with RawUpstream(script) as upstream, gateway(upstream.url, retry=retry) as caller:
        error = await fail(caller, method)

    assert (error.code(), trailer(error, "headgate-reason")) == (code, reason), error.details()
    info = details(error, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == (reason, "headgate")
    assert trailer(error, "grpc-retry-pushback-ms") == "-1"
    assert "Traceback" not in (error.details() or "")


@pytest.mark.parametrize("method", METHODS)
async def test_a_refused_connection(method: str) -> None:
    """Nobody listens there."""
    with closed_port() as closed:
        url = f"http://127.0.0.1:{closed}/"
        async with gateway(url, retry={"max_attempts": 1}) as caller:
            error = await fail(caller, method)

    assert (error.code(), trailer(error, "headgate-reason")) == (
        Code.UNAVAILABLE,
        "UPSTREAM_UNAVAILABLE",
    )


async def test_the_upstreams_own_words_when_the_request_was_wrong() -> None:
    """A caller can mend a 400 only when it hears what was wrong."""
    script = refuses(400, {"error": {"message": "temperature must\nbe small"}})
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        error = await fail(caller, "Chat")

    assert "temperature must be small" in (error.details() or "")


@pytest.mark.parametrize("place", ["api_key", "headers", "query"])
async def test_the_key_is_never_quoted(place: str) -> None:
    """Upstreams quote the key that they refuse; callers must not see it."""
    key = "sk-very-secret"
    query = f"?key={key}" if place == "query" else ""
    own = {"api_key": {"api_key": key}, "headers": {"headers": {"authorization": f"Bearer {key}"}}}
    fault = {"error": {"message": f"bad key {key}", "code": 400}}
    scripts = [*(refuses(status, fault) for status in (400, 401, 404)), streams(event(fault))]
    for script in scripts:
        async with (
            RawUpstream(script) as upstream,
            gateway(upstream.url + query, upstream=own.get(place, {})) as caller,
        ):
            error = await fail(caller, "Chat")
            sent = upstream.requests[0]
            assert (query or f"Bearer {key}") in sent.path + str(sent.headers)
        assert key not in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [(["Retry-After: 7"], 7.0), (["Retry-After: 7", "retry-after-ms: 6500"], 6.5)],
)
async def test_retry_info_says_when(headers: list[str], seconds: float) -> None:
    """Retry-After reaches the caller as RetryInfo and as a plain trailer."""
    async with (
        RawUpstream(refuses(429, None, *headers)) as upstream,
        gateway(upstream.url, retry={"max_attempts": 1}) as caller,
    ):
        error = await fail(caller, "StreamChat")

    retry = details(error, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == seconds * 1000
    assert trailer(error, "headgate-retry-after-ms") == str(round(seconds * 1000))


@pytest.mark.parametrize("method", METHODS)
async def test_an_answer_over_the_limit(method: str) -> None:
    """A whole answer larger than upstream.max_response_bytes is refused by that name."""
    script = answers(json.dumps(completion("x" * 5000)).encode())
    async with (
        RawUpstream(script) as upstream,
        gateway(upstream.url, upstream={"max_response_bytes": 4000}) as caller,
    ):
        error = await fail(caller, method)

    assert trailer(error, "headgate-reason") == "UPSTREAM_PROTOCOL"
    assert "max_response_bytes" in (error.details() or "")


async def test_a_stream_over_the_limit_before_its_first_content() -> None:
    """Events without content are bounded as a whole answer is; those with content are not."""
    silent = event({"id": "c-1", "choices": [], "note": "x" * 1000})
    contents = [event(delta("x" * 1000))] * 9 + [event(finish())]

    async def nothing_else(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), *[chunked(silent)] * 4)
        await connection.until_gone()

    async with (
        RawUpstream(streams(silent, *contents), nothing_else) as upstream,
        gateway(upstream.url, upstream={"max_response_bytes": 4000}) as caller,
    ):
        assert len(text(await caller.events())) == 9000
        error = await fail(caller, "StreamChat")

    assert trailer(error, "headgate-reason") == "UPSTREAM_PROTOCOL"
    assert "before its first content" in (error.details() or "")
    assert "max_response_bytes" in (error.details() or "")


async def test_an_event_over_the_limit() -> None:
    """An event larger than upstream.max_event_bytes is refused by that name."""
    script = streams(event(delta("x" * 5000)))
    async with (
        RawUpstream(script) as upstream,
        gateway(upstream.url, upstream={"max_event_bytes": 4000}) as caller,
    ):
        error = await fail(caller, "StreamChat")

    assert trailer(error, "headgate-reason") == "UPSTREAM_PROTOCOL"
    assert "max_event_bytes" in (error.details() or "")
