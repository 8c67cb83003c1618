"""Tokens from a real HTTP upstream through a real gRPC server."""

from __future__ import annotations

import gc
from functools import partial
from secrets import token_hex
from typing import Any, cast

import httpx
import pytest
from google.protobuf.duration_pb2 import Duration

from headgate import wire
from headgate.v1 import chat_pb2 as pb
from support.gateway import ask, gateway, kinds, text
from support.raw_upstream import (
    DONE,
    Connection,
    RawUpstream,
    Request,
    chunked,
    delta,
    event,
    finish,
    says,
    stream_head,
    streams,
)

WORDS = "abcde"


async def test_tokens_stream_and_finish() -> None:
    """started, deltas, finished; the text whole, the figures there."""
    async with RawUpstream(says("Hel", "lo")) as upstream, gateway(upstream.url) as caller:
        events = await caller.events()

        assert kinds(events) == ["started", "delta", "finished"]
        assert text(events) == "Hello"
        assert events[0].started.model == "scripted"
        finished = events[-1].finished
        assert finished.choices[0].finish_reason == pb.FINISH_REASON_STOP
        assert finished.choices[0].finish_reason_raw == "stop"
        assert finished.gateway.attempts == 1
        assert upstream.requests[0].json["stream"] is True


async def test_unary_chat() -> None:
    """Chat asks for no stream, in so many words, and brings the whole message."""
    async with RawUpstream(says("Hel", "lo")) as upstream, gateway(upstream.url) as caller:
        answer = await caller.chat()

        assert answer.choices[0].message.content == "Hello"
        assert answer.usage.total_tokens == 4
        assert upstream.requests[0].json["stream"] is False


_A_MILLISECOND = Duration(nanos=1_000_000)


@pytest.mark.parametrize(
    ("fields", "sections"),
    [
        ({}, {}),
        ({}, {"log": {"prompts": True}}),
        ({}, {"metrics": {"listen": "127.0.0.1:0"}}),
        ({"idempotency_key": "a-key"}, {}),
        ({"stream_options": {"delta_interval": _A_MILLISECOND}}, {}),
        ({"stream_options": {"queue_updates": True}}, {}),
    ],
    ids=["plain", "prompts", "metrics", "key", "delta_interval", "queue_updates"],
)
async def test_a_delta_arrives_before_the_next_is_produced(
    fields: dict[str, Any], sections: dict[str, Any]
) -> None:
    """Nothing is held back: each delta is read before the upstream sends another."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head())
        for word in WORDS:
            await connection.send(chunked(event(delta(word))))
            await upstream.until(partial(seen.__contains__, word))
        await connection.send(chunked(event(finish()) + DONE))

    seen: list[str] = []
    positions: list[int] = []
    async with RawUpstream(script) as upstream, gateway(upstream.url, **sections) as caller:
        async for received in caller.stub.StreamChat(ask(**fields), timeout=20):
            if received.WhichOneof("event") == "delta":
                seen.append(received.delta.content)
                positions.append(received.delta.position)
                await upstream._notify()

    assert seen == list(WORDS)
    assert positions == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("fields", [{}, {"idempotency_key": "a-key"}], ids=["plain", "key"])
async def test_a_prompt_is_let_go_once_its_answer_has_begun(fields: dict[str, Any]) -> None:
    """Prompts may be long and answers slow: what was asked is not kept until the end."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head() + chunked(event(delta("a"))))
        await upstream.until(lambda: bool(seen))
        await connection.send(chunked(event(finish()) + DONE))

    seen: list[list[object]] = []
    prompt = f"How deep is {token_hex(8)}?"  # what other tests have asked may still be about
    question = ask(prompt, **fields)
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        async for received in caller.stub.StreamChat(question, timeout=20):
            if received.WhichOneof("event") == "delta":
                seen.append([kept for kept in gc.get_objects() if _holds(kept, prompt)])
                await upstream._notify()

    assert seen == [[question]]


def _holds(kept: object, prompt: str) -> bool:
    # `type`, because a dead proxy among all objects answers `isinstance` with an error.
    if type(kept) is wire.ChatRequest or type(kept) is pb.ChatRequest:
        return any(message.content == prompt for message in kept.messages)
    if not issubclass(type(kept), httpx.Request):
        return False
    return prompt.encode() in cast("httpx.Request", kept).read()


async def test_positions_rise_and_count_upstream_deltas() -> None:
    """Deltas that arrive together are merged, and the position still counts each."""
    burst = b"".join(event(delta(word)) for word in "abcdef")
    async with (
        RawUpstream(streams(burst, event(finish()) + DONE)) as upstream,
        gateway(upstream.url) as caller,
    ):
        events = await caller.events()

    deltas = [e.delta for e in events if e.WhichOneof("event") == "delta"]
    assert "".join(d.content for d in deltas) == "abcdef"
    assert deltas[-1].position == 6
    assert len(deltas) < 6
