"""Calls with one idempotency key cost one upstream call, over sockets and on both faces."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import grpc
import pytest

from headgate.v1 import chat_pb2 as pb
from support.gateway import TRUSTING, Caller, ask, gateway, kinds, text, trailer
from support.http_face import HELLO, events_in, text_in
from support.joined_streams import KEY, WORDS, Paced, joins, rest, until
from support.raw_upstream import (
    RawUpstream,
    says,
)
from support.traffic import SLOW, held, waiting


async def test_a_hundred_callers_of_whom_half_cancel() -> None:
    """One upstream call; fifty complete streams with the same text, positions and finish."""
    script = Paced()
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        streams = [caller.stream(idempotency_key=KEY) for _ in range(100)]
        for number, stream in enumerate(streams):
            if number % 4:
                await stream.read()  # so that some have begun, and some have not
        await script.halfway.wait()
        for stream in streams[::2]:
            stream.cancel()
        script.go.set()
        finished = [await rest(stream) for stream in streams[1::2]]
        assert len(upstream.requests) == 1

    assert {text(events) for events in finished} == {"".join(WORDS)}
    ends = [events[-1].finished for events in finished]
    assert [end.choices[0].finish_reason for end in ends] == [pb.FINISH_REASON_STOP] * 50
    assert {end.gateway.attempts for end in ends} == {1}
    for events in finished:
        positions = [e.delta.position for e in events if e.WhichOneof("event") == "delta"]
        assert positions == sorted(set(positions))
        assert positions[-1] == len(WORDS)


async def test_unary_calls_get_the_same_answer() -> None:
    """Running and kept; a stream with that key is another request."""
    async with RawUpstream(says("Hello")) as upstream, gateway(upstream.url) as caller:
        both = await asyncio.gather(*(caller.chat(idempotency_key=KEY) for _ in range(10)))
        late = await caller.chat(idempotency_key=KEY)
        error = await caller.refused(idempotency_key=KEY)
        assert len(upstream.requests) == 1

    assert {answer.choices[0].message.content for answer in (*both, late)} == {"Hello"}
    assert {answer.id for answer in both} == {"c-1"}
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert trailer(error, "headgate-reason") == "IDEMPOTENCY_MISMATCH"


async def test_without_a_key_every_call_is_its_own() -> None:
    """The same question twice is two answers."""
    async with RawUpstream(says("Hello")) as upstream, gateway(upstream.url) as caller:
        await asyncio.gather(caller.chat(), caller.chat(), caller.chat(idempotency_key="a"))
        assert len(upstream.requests) == 3


async def test_another_body_with_the_key_is_refused() -> None:
    """The error says what to do, and no client tries it again."""
    async with RawUpstream(says("Hello")) as upstream, gateway(upstream.url) as caller:
        await caller.events(idempotency_key=KEY)
        error = await caller.refused("Goodbye", idempotency_key=KEY)
        await caller.events(idempotency_key=KEY, labels={"a": "b"})
        assert len(upstream.requests) == 1

    assert trailer(error, "headgate-reason") == "IDEMPOTENCY_MISMATCH"
    assert trailer(error, "grpc-retry-pushback-ms") == "-1"
    assert "new key" in (error.details() or "")


async def test_the_metadata_says_the_same_as_the_field() -> None:
    """So that a mesh can route by it; two different keys are an error."""
    async with RawUpstream(says("Hello")) as upstream, gateway(upstream.url) as caller:
        await caller.chat(idempotency_key=KEY)
        header = (("idempotency-key", KEY),)
        await caller.stub.Chat(ask(), metadata=header)
        await caller.stub.Chat(ask(idempotency_key=KEY), metadata=header)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.stub.Chat(ask(idempotency_key="other"), metadata=header)
        assert len(upstream.requests) == 1

    assert trailer(caught.value, "headgate-reason") == "INVALID_REQUEST"
    assert "differs from the metadata" in (caught.value.details() or "")


@pytest.mark.parametrize("key", ["k" * 256, "two words", "é", "tab\t"])
async def test_what_is_no_key(key: str) -> None:
    """1 to 255 visible ASCII characters, whatever way it comes."""
    async with RawUpstream(says("Hello")) as upstream, gateway(upstream.url) as caller:
        error = await caller.refused_chat(idempotency_key=key)
        await caller.chat(idempotency_key="k" * 255)
        assert len(upstream.requests) == 1

    assert trailer(error, "headgate-reason") == "INVALID_REQUEST"
    assert "1 to 255 visible ASCII characters" in (error.details() or "")


async def test_two_callers_with_one_key_do_not_share() -> None:
    """Nobody gets an answer of somebody else by a key that was guessed."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING) as caller,
    ):
        for name in ("ada", "bob", "ada"):
            await caller.named(name).chat(idempotency_key=KEY)
        assert len(upstream.requests) == 2


async def test_a_caller_that_comes_back_finds_its_call() -> None:
    """The connection broke in mid-answer; within `linger` the call has gone on."""
    script = Paced()
    async with (
        RawUpstream(script) as upstream,
        gateway(upstream.url, idempotency={"linger": 30}) as caller,
    ):
        channel = grpc.aio.insecure_channel(
            caller.gateway.grpc_address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        stream = Caller(caller.gateway, channel).stream(idempotency_key=KEY)
        await stream.read()
        await channel.close()
        shared = joins(caller)._calls["127.0.0.1", KEY]
        await until(lambda: not shared.readers)
        back = caller.stream(idempotency_key=KEY)
        first = await back.read()
        script.go.set()
        received = await rest(back)
        assert len(upstream.requests) == 1

    assert isinstance(first, pb.StreamChatResponse)
    assert first.WhichOneof("event") == "started"
    assert text(received) == "".join(WORDS)


async def test_a_kept_answer_is_streamed_again() -> None:
    """All of it: started, the deltas, the finish, and the usage that came with it."""
    async with RawUpstream(says(*WORDS)) as upstream, gateway(upstream.url) as caller:
        first = await caller.events(idempotency_key=KEY)
        again = await caller.events(idempotency_key=KEY)
        assert len(upstream.requests) == 1

    assert kinds(again) == ["started", "delta", "finished"]
    assert text(again) == text(first) == "".join(WORDS)
    assert again[-2].delta.position == first[-2].delta.position == len(WORDS)
    assert again[0] == first[0]
    assert again[-1].finished.choices == first[-1].finished.choices


async def test_joiners_hear_of_the_queue() -> None:
    """Who asked for it is told the place of the one call that all wait for."""
    async with held() as (upstream, caller, release):
        first = await waiting(caller, "shared", idempotency_key=KEY)
        second = await waiting(caller, "shared", idempotency_key=KEY)
        assert (first.place.position, second.place.position) == (1, 1)
        release.set()
        for waiter in (first, second):
            assert kinds(await waiter.rest())[-3:] == ["started", "delta", "finished"]
        assert len(upstream.requests) == 2


async def test_joiners_take_one_slot() -> None:
    """Of the caller's own allowance and of the upstream's: one for all of them."""
    slow = {"rate": 0.1, "max_queue": 0}
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=SLOW | {"max_queue": 0}, callers=slow) as caller,
    ):
        await asyncio.gather(*(caller.chat(idempotency_key=KEY) for _ in range(20)))
        error = await caller.refused_chat(idempotency_key="another")
        assert len(upstream.requests) == 1

    assert trailer(error, "headgate-reason") == "CALLER_LIMIT"


async def test_the_http_face_joins_too() -> None:
    """By the header `Idempotency-Key`: whole answers, streams, and a mismatch."""
    async with (
        RawUpstream(says(*WORDS)) as upstream,
        gateway(upstream.url, http_listen="127.0.0.1:0") as caller,
        aiohttp.ClientSession(f"http://{caller.gateway.http_address}") as client,
    ):
        header = {"Idempotency-Key": KEY}

        async def asked(path: str, body: dict[str, Any]) -> tuple[int, str]:
            async with client.post(path, json=body, headers=header) as reply:
                return reply.status, await reply.text()

        streams = await asyncio.gather(*(asked("/api", HELLO) for _ in range(5)))
        status, said = await asked("/v1/chat/completions", HELLO)
        bad = await client.post("/api", json=HELLO, headers={"Idempotency-Key": "two words"})
        refusal = await bad.json()
        # The gRPC face has the same callers, the same keys and the same requests.
        events = await caller.events("Hello!", idempotency_key=KEY)
        assert len(upstream.requests) == 1

    assert {text_in(events_in(body)) for _, body in streams} == {"".join(WORDS)}
    assert (status, "IDEMPOTENCY_MISMATCH" in said) == (400, True)
    assert (bad.status, refusal["error"]["param"]) == (400, "idempotency_key")
    assert text(events) == "".join(WORDS)
