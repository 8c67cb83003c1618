"""How calls with one idempotency key end: left, failed, too slow, out of time, drained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc import error_details_pb2

from support.gateway import Caller, gateway, text, trailer
from support.joined_streams import KEY, WORDS, Paced, joins, read_into, rest, until
from support.raw_upstream import (
    DONE,
    END,
    RawUpstream,
    answers,
    chunked,
    delta,
    event,
    finish,
    says,
    stream_head,
)
from support.traffic import detail

if TYPE_CHECKING:
    from headgate.v1 import chat_pb2 as pb
    from support.raw_upstream import Connection, Request

# A reader that does not read stops the writer only when its own window is small.
NARROW = (
    ("grpc.http2.lookahead_bytes", 65536),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_last_to_leave_closes_the_upstream_request(when: str) -> None:
    """Promise 6, for many callers: not the first to leave, and promptly the last."""
    gone = asyncio.Event()

    async def script(_: Request, connection: Connection) -> None:
        if when == "after":
            await connection.send(stream_head(), chunked(event(delta("a"))))
        await connection.until_gone()
        gone.set()

    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        streams = [caller.stream(idempotency_key=KEY) for _ in range(3)]
        if when == "after":
            for stream in streams:
                await stream.read()
        else:
            await upstream.until(lambda: len(upstream.requests) == 1)
        for stream in streams:
            assert not gone.is_set()
            stream.cancel()
        await gone.wait()
        await upstream.until(lambda: upstream.open == 0)
        assert len(upstream.requests) == 1


async def test_a_failure_is_everybodys_and_is_not_kept() -> None:
    """All see the status of the one attempt; the next call with the key is made anew."""
    go = asyncio.Event()

    async def refuses(request: Request, connection: Connection) -> None:
        await go.wait()
        await answers(b'{"error":{"message":"bad"}}', status="400 No")(request, connection)

    async with RawUpstream(refuses, says("Hello")) as upstream, gateway(upstream.url) as caller:
        asked = [asyncio.create_task(caller.refused(idempotency_key=KEY)) for _ in range(5)]
        await upstream.until(lambda: len(upstream.requests) == 1)
        probe = caller.stream("probe", idempotency_key="another")
        await probe.read()  # the five that were sent before it have arrived too
        go.set()
        errors = await asyncio.gather(*asked)
        await caller.events(idempotency_key=KEY)
        assert len(upstream.requests) == 3

    assert {trailer(error, "headgate-reason") for error in errors} == {"UPSTREAM_REJECTED"}


async def test_each_reader_is_told_how_far_it_had_come() -> None:
    """An interruption names the position that this reader was sent, not another's."""
    halfway = asyncio.Event()
    go = asyncio.Event()

    async def cut(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), *(chunked(event(delta(w))) for w in WORDS[:7]))
        halfway.set()
        await go.wait()
        connection.reset()

    async with RawUpstream(cut) as upstream, gateway(upstream.url) as caller:
        asked = [asyncio.create_task(caller.interrupted(idempotency_key=KEY)) for _ in range(3)]
        await halfway.wait()
        # One more, which is there by the time it has read.
        late = caller.stream(idempotency_key=KEY)
        await late.read()
        await late.read()
        late.cancel()
        go.set()
        ends = await asyncio.gather(*asked)
        assert len(upstream.requests) == 1

    for events, error in ends:
        assert error.code() is grpc.StatusCode.ABORTED
        assert _error_metadata(error)["position_sent"] == str(events[-1].delta.position)
        assert text(events) == "".join(WORDS[:7])


async def test_a_slow_joiner_is_aborted_and_the_others_go_on() -> None:
    """It is told why and how far it had come; a reader alone would only have been waited for."""
    piece = "x" * 60_000
    count = 200

    async def flood(_: Request, connection: Connection) -> None:
        await connection.send(stream_head())
        await connection.send(*[chunked(event(delta(piece)))] * count)
        await connection.send(chunked(event(finish()) + DONE), END)

    async with (
        RawUpstream(flood) as upstream,
        gateway(upstream.url, idempotency={"max_stream_bytes": 1_000_000}) as caller,
        grpc.aio.insecure_channel(caller.gateway.grpc_address, options=NARROW) as narrow,
    ):
        slow = Caller(caller.gateway, narrow).stream(idempotency_key=KEY)
        await slow.read()
        fast = await caller.events(idempotency_key=KEY)
        received: list[pb.StreamChatResponse] = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_into(received, slow)
        assert len(upstream.requests) == 1

    assert len(text(fast)) == count * len(piece)
    metadata = _error_metadata(caught.value)
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert metadata["cause"] == "reader_behind"
    assert metadata["position_sent"] == str(received[-1].delta.position)
    assert len(text(received)) == int(metadata["position_sent"]) * len(piece)


async def test_each_caller_has_its_own_deadline() -> None:
    """One that runs out of time leaves; the call goes on for the other."""
    script = Paced()
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        short = asyncio.create_task(caller.interrupted(idempotency_key=KEY, timeout=0.3))
        long = caller.stream(idempotency_key=KEY)
        await long.read()
        _, error = await short
        script.go.set()
        received = await rest(long)
        assert len(upstream.requests) == 1

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert text(received) == "".join(WORDS)


async def test_joined_calls_obey_the_drain() -> None:
    """They finish within the grace; a call without readers is not waited for."""
    shared, lonely = Paced(), Paced()
    async with (
        RawUpstream(lonely, shared) as upstream,
        gateway(upstream.url, idempotency={"linger": 600}) as caller,
    ):
        left = caller.stream("lonely", idempotency_key="lonely")
        await left.read()
        left.cancel()
        streams = [caller.stream(idempotency_key=KEY) for _ in range(3)]
        for stream in streams:
            await stream.read()
        stop = asyncio.create_task(caller.gateway.stop(15))
        await lonely.gone.wait()
        shared.go.set()
        finished = [await rest(stream) for stream in streams]
        await stop
        await upstream.until(lambda: upstream.open == 0)

    assert {text(events) for events in finished} == {"".join(WORDS)}


async def test_joined_calls_beyond_the_grace_are_cut_with_a_reason() -> None:
    """Each with its own status; the one upstream request is closed."""
    script = Paced()
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        streams = [caller.stream(idempotency_key=KEY) for _ in range(3)]
        for stream in streams:
            await stream.read()
        stop = asyncio.create_task(caller.gateway.stop(0.2))
        for stream in streams:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read_into([], stream)
            assert trailer(caught.value, "headgate-reason") == "STREAM_INTERRUPTED"
        await stop
        await script.gone.wait()


async def test_nothing_is_left_behind() -> None:
    """No task, no connection, no key, whatever callers did."""
    script = Paced()
    before = asyncio.all_tasks()
    async with RawUpstream(script) as upstream, gateway(upstream.url) as caller:
        for round_ in range(10):
            key = f"{KEY}-{round_}"
            streams = [caller.stream(idempotency_key=key) for _ in range(20)]
            for stream in streams[::3]:
                await stream.read()
            for stream in streams:
                stream.cancel()
        await upstream.until(lambda: upstream.open == 0)
        await until(lambda: "[0 keys, 0 running" in repr(joins(caller)))
    assert [task for task in asyncio.all_tasks() - before if "Shared" in repr(task)] == []


def _error_metadata(error: grpc.aio.AioRpcError) -> dict[str, str]:
    return dict(detail(error, error_details_pb2.ErrorInfo).metadata)
