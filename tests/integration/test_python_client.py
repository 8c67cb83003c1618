"""The Python clients on a real channel: a server that plays a script, and the real gateway."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest

from headgate_client import (
    AsyncClient,
    AsyncConversation,
    Cancelled,
    Client,
    DeadlineExceeded,
    Interrupted,
    InvalidRequest,
    RateLimited,
    Unavailable,
    text,
)
from headgate_client.v1 import chat_pb2 as pb
from support.chat_client import (
    Failure,
    ScriptedServicer,
    answer,
    delta,
    error_info,
    failure,
    serving,
    started,
)
from support.gateway import gateway
from support.ports import closed_port
from support.raw_upstream import RawUpstream, event, says, streams
from support.raw_upstream import delta as delta_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FULL = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", error_info("QUEUE_FULL"))
DRAINING = Failure(grpc.StatusCode.UNAVAILABLE, "bye", (("grpc-retry-pushback-ms", "50"),))
HOPELESS = Failure(grpc.StatusCode.UNAVAILABLE, "bye", (("grpc-retry-pushback-ms", "-1"),))


def stream_texts(target: str) -> list[str]:
    """What the synchronous client reads."""
    with Client(target) as client, client.stream_chat("hi") as stream:
        return list(stream.text())


async def test_both_clients_read_the_same_stream() -> None:
    """One script, read by the asyncio client and by the other: same request, same text."""
    servicer = ScriptedServicer(*answer("Hel", "lo"))
    async with serving(servicer) as target:
        async with AsyncClient(target) as client, client.stream_chat("hi") as stream:
            pieces = [piece async for piece in stream.text()]
        synchronous = await asyncio.to_thread(stream_texts, target)
    assert pieces == synchronous == ["Hel", "lo"]
    assert servicer.requests[0] == servicer.requests[1]
    assert stream.usage == pb.Usage(total_tokens=2)
    assert stream.message.content == "Hello"


async def test_a_whole_answer() -> None:
    """`chat` waits for the response; metadata, token and timeout reach the server."""
    servicer = ScriptedServicer()
    async with serving(servicer) as target:
        async with AsyncClient(target, token="secret", timeout=1000) as client:
            assert text(await client.chat("hi", metadata={"X-Trace": "t"})) == "Hello"
            await client.chat("hi", timeout=100)
            await client.chat("hi", timeout=float("inf"))
        with Client(target) as blocking:
            assert text(await asyncio.to_thread(blocking.chat, "hi")) == "Hello"
    first = servicer.metadata[0]
    assert (first["authorization"], first["x-trace"]) == ("Bearer secret", "t")
    assert str(first["user-agent"]).startswith("headgate-client-python/")
    own, given, unlimited, unset = servicer.remaining
    assert own is not None
    assert given is not None
    assert given < 500 < own
    assert unlimited is unset is None


async def test_a_failure_is_a_typed_error() -> None:
    """Both methods of both clients raise the same class with the same reason."""
    servicer = ScriptedServicer(FULL)
    async with serving(servicer) as target:
        async with AsyncClient(target) as client:
            with pytest.raises(RateLimited) as whole:
                await client.chat("hi")
            with pytest.raises(RateLimited) as streamed:
                [event async for event in client.stream_chat("hi")]
        with Client(target) as blocking:
            with pytest.raises(RateLimited) as blocked:
                await asyncio.to_thread(blocking.chat, "hi")
            with pytest.raises(RateLimited):
                await asyncio.to_thread(list, blocking.stream_chat("hi"))
    for caught in (whole, streamed, blocked):
        assert (caught.value.reason, caught.value.details()) == ("QUEUE_FULL", "full")


async def test_pushback_is_honoured_by_the_channel() -> None:
    """UNAVAILABLE is retried as the service config says, and not at all after a pushback of -1."""
    servicer = ScriptedServicer(DRAINING)
    async with serving(servicer) as target, AsyncClient(target) as client:
        with pytest.raises(Unavailable):
            await client.chat("hi")
        assert len(servicer.requests) == 3
        assert servicer.metadata[2]["grpc-previous-rpc-attempts"] == "2"
        servicer.steps = (HOPELESS,)
        with pytest.raises(Unavailable):
            await client.chat("hi")
        assert len(servicer.requests) == 4


async def test_nothing_is_retried_after_a_message() -> None:
    """A stream that breaks after its first delta is an interruption, after one attempt."""
    servicer = ScriptedServicer(started(), delta("He", position=5), DRAINING)
    async with serving(servicer) as target, AsyncClient(target) as client:
        stream = client.stream_chat("hi")
        with pytest.raises(Interrupted) as caught:
            [event async for event in stream]
    assert caught.value.position_sent == 5
    assert len(servicer.requests) == 1
    assert stream.message.content == "He"


async def test_nobody_there_is_unavailable() -> None:
    """A port where nothing listens is one clear error and no hang."""
    with closed_port() as port:
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            with pytest.raises(Unavailable) as caught:
                await client.chat("hi")
    assert caught.value.reason == ""


async def test_a_timeout_is_a_typed_error() -> None:
    """The call's own deadline raises DeadlineExceeded, and the server's side ends."""
    servicer = ScriptedServicer(asyncio.Event())
    async with serving(servicer) as target, AsyncClient(target) as client:
        with pytest.raises(DeadlineExceeded):
            [event async for event in client.stream_chat("hi", timeout=1)]
        await servicer.ended.acquire()


@pytest.mark.parametrize("as_text", [False, True])
async def test_an_abandoned_stream_is_cancelled(as_text: bool) -> None:
    """An `async for` that is left early leaves nothing running on the server."""
    servicer = ScriptedServicer(started(), delta("a"), asyncio.Event())
    async with serving(servicer) as target, AsyncClient(target) as client:

        async def read_one() -> None:
            stream = client.stream_chat("hi")
            async for _ in stream.text() if as_text else stream:
                break

        await read_one()
        gc.collect()
        await servicer.ended.acquire()


async def test_an_abandoned_synchronous_stream_is_cancelled() -> None:
    """A `for` loop that is left early leaves nothing running on the server."""
    servicer = ScriptedServicer(started(), delta("a"), asyncio.Event())

    def read_one(client: Client) -> None:
        for _ in client.stream_chat("hi").text():
            break
        gc.collect()

    async with serving(servicer) as target:
        with Client(target) as client:
            await asyncio.to_thread(read_one, client)
            await servicer.ended.acquire()


async def test_leaving_the_block_cancels() -> None:
    """Leaving `async with` before the end stops the server's side."""
    servicer = ScriptedServicer(started(), asyncio.Event())
    async with serving(servicer) as target, AsyncClient(target) as client:
        async with client.stream_chat("hi") as stream:
            await anext(stream)
        await servicer.ended.acquire()
        with pytest.raises(Cancelled):
            await anext(stream)


async def test_cancelling_the_stream_is_not_cancelling_the_task() -> None:
    """`cancel()` from elsewhere raises Cancelled where the stream is read; the task lives on."""
    servicer = ScriptedServicer(started(), asyncio.Event())
    async with serving(servicer) as target, AsyncClient(target) as client:
        stream = client.stream_chat("hi")
        await anext(stream)
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        stream.cancel()
        with pytest.raises(Cancelled):
            await reading
        await servicer.ended.acquire()


async def test_closing_the_client_is_not_cancelling_the_task() -> None:
    """Who waits for an answer gets Cancelled; a TaskGroup would take CancelledError for done."""
    servicer = ScriptedServicer(asyncio.Event())
    async with serving(servicer) as target, AsyncClient(target) as client:
        waiting = asyncio.create_task(client.chat("hi"))
        await servicer.asked.acquire()
        await client.close()
        with pytest.raises(Cancelled):
            await waiting


async def test_a_channel_of_the_users_that_is_closed_is_told_too() -> None:
    """The client does not see it close; calls end with Cancelled all the same."""
    servicer = ScriptedServicer(started(), asyncio.Event())
    async with serving(servicer) as target, grpc.aio.insecure_channel(target) as channel:
        stream = AsyncClient(channel=channel).stream_chat("hi")
        await anext(stream)
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        await channel.close()
        with pytest.raises(Cancelled):
            await reading


async def test_cancelling_the_task_cancels_the_call() -> None:
    """A cancelled reader stays cancelled, as asyncio wants it, and the server's side ends."""
    servicer = ScriptedServicer(started(), asyncio.Event())
    async with serving(servicer) as target, AsyncClient(target) as client:
        stream = client.stream_chat("hi")
        await anext(stream)
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await servicer.ended.acquire()


async def test_a_conversation_over_asyncio() -> None:
    """The same history rules as the synchronous one: complete answers only."""
    servicer = ScriptedServicer()
    async with serving(servicer) as target, AsyncClient(target) as client:
        conversation = AsyncConversation(client, "Be brief.")
        assert await conversation.send("q1") == "Hello"
        servicer.steps = tuple(answer("a", "2"))
        assert [piece async for piece in conversation.stream("q2")] == ["a", "2"]
        servicer.steps = (started(), delta("half"), FULL)
        with pytest.raises(RateLimited):
            [piece async for piece in conversation.stream("q3")]
        servicer.steps = (started(), delta("half"), asyncio.Event())
        pieces = conversation.stream("q4")
        assert await anext(pieces) == "half"
        pieces.stream.cancel()
        said = [message.content for message in conversation.messages]
    assert said == ["Be brief.", "q1", "Hello", "q2", "a2"]
    assert [message.content for message in servicer.requests[-1].messages] == [*said, "q4"]


async def test_a_client_belongs_to_its_event_loop() -> None:
    """Used in a second loop it says so in one line, instead of failing inside grpc."""
    async with serving(ScriptedServicer()) as target, AsyncClient(target) as client:
        await client.chat("hi")

        def elsewhere() -> None:
            asyncio.run(client.chat("hi"))

        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await asyncio.to_thread(elsewhere)


async def test_a_closed_client_opens_again() -> None:
    """`close()` ends the running calls; the next call opens a new channel."""
    servicer = ScriptedServicer(started(), asyncio.Event())
    async with serving(servicer) as target:
        client = AsyncClient(target)
        stream = client.stream_chat("hi")
        await anext(stream)
        await client.close()
        await servicer.ended.acquire()
        servicer.steps = ()
        assert text(await client.chat("hi")) == "Hello"
        await client.close()


async def test_both_distributions_live_in_one_process() -> None:
    """Server and client bring the same contract, and importing both is no conflict."""
    from headgate.v1 import chat_pb2 as server_pb

    asked = pb.ChatRequest(messages=[pb.ChatMessage(role=pb.ROLE_USER, content="hi")])
    read = server_pb.ChatRequest.FromString(asked.SerializeToString())
    assert read.messages[0].content == "hi"


@asynccontextmanager
async def through_gateway(upstream: RawUpstream) -> AsyncIterator[AsyncClient]:
    """A client of a gateway in front of this upstream."""
    async with (
        upstream,
        gateway(upstream.url) as caller,
        AsyncClient(caller.gateway.grpc_address) as client,
    ):
        yield client


async def test_a_conversation_through_the_gateway() -> None:
    """Whole and streamed answers, with the history going upstream as the HTTP API wants it."""
    upstream = RawUpstream(says("Hel", "lo"))
    async with through_gateway(upstream) as client:
        conversation = AsyncConversation(client, "Be brief.")
        assert await conversation.send("q1", temperature=0) == "Hello"
        assert "".join([piece async for piece in conversation.stream("q2")]) == "Hello"
    whole, streamed = (request.json for request in upstream.requests)
    assert (whole["stream"], whole["temperature"], streamed["stream"]) == (False, 0, True)
    sent = [message["content"] for message in streamed["messages"]]
    assert sent == ["Be brief.", "q1", "Hello", "q2"]


async def test_every_wrong_field_comes_back_from_the_gateway() -> None:
    """The gateway's BadRequest names all wrong fields, and nothing goes upstream."""
    upstream = RawUpstream(says("no"))
    async with through_gateway(upstream) as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.chat("hi", temperature=7, max_tokens=0)
    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["temperature", "max_tokens"]
    assert upstream.requests == []


async def test_a_cut_upstream_is_an_interruption_with_its_position() -> None:
    """What was read stays, and the error says how many upstream deltas it holds."""
    cut = streams(event(delta_json("He")), event(delta_json("l")), end=False)
    async with through_gateway(RawUpstream(cut)) as client:
        stream = client.stream_chat("hi")
        with pytest.raises(Interrupted) as caught:
            [each async for each in stream]
    assert caught.value.reason == "STREAM_INTERRUPTED"
    assert caught.value.position_sent == stream.position == 2
    assert stream.message.content == "Hel"


async def chat_program(*options: str) -> asyncio.subprocess.Process:
    """headgate-chat with pipes for all its streams, and gRPC's log as it is by itself."""
    program = "import sys; from headgate_chat import main; sys.exit(main())"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *options),
        env={name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"},
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )


async def test_headgate_chat_in_a_pipe() -> None:
    """One question a line, only answers on stdout, one line for an error, and exit status 1."""
    servicer = ScriptedServicer(*answer("Hel", "lo"))
    async with serving(servicer) as target:
        good = await chat_program("--target", target)
        printed = await good.communicate(b"one\n\n/system Rhyme.\ntwo\n")
        servicer.steps = (FULL,)
        bad = await chat_program("--target", target)
        complained = await bad.communicate(b"three\n")
    assert (good.returncode, printed) == (0, (b"Hello\nHello\n", b""))
    assert (bad.returncode, complained) == (1, (b"", b"headgate-chat: full\n"))
    asked = [[message.content for message in request.messages] for request in servicer.requests]
    assert asked == [["one"], ["Rhyme.", "one", "Hello", "two"], ["three"]]
    assert not any(request.HasField("stream_options") for request in servicer.requests)


async def test_headgate_chat_with_tls_at_a_plaintext_server() -> None:
    """One line of its own, and none of gRPC's log."""
    async with serving(ScriptedServicer()) as target:
        program = await chat_program("--tls", "--target", target)
        out, err = await program.communicate(b"hi\n")
    assert (program.returncode, out, err.count(b"\n")) == (1, b"", 1)
    assert err.startswith(f"headgate-chat: no headgate answers at {target}: ".encode())


async def test_ctrl_c_ends_headgate_chat_in_a_pipe() -> None:
    """An interrupt in the middle of an answer cancels the call and exits with 130."""
    servicer = ScriptedServicer(started(), delta("Hel"), asyncio.Event())
    async with serving(servicer) as target:
        program = await chat_program("--target", target)
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(b"hi\n")
        assert await program.stdout.readexactly(3) == b"Hel"
        program.send_signal(signal.SIGINT)
        await servicer.ended.acquire()
        out, err = await program.communicate()
    assert (program.returncode, out, err) == (130, b"\n", b"")
