"""The synchronous client against grpcio-testing's fake channel: no socket, no clock."""

from __future__ import annotations

import gc
import re
import threading
from datetime import timedelta
from math import inf, nan
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from headgate_client import Cancelled, Client, Interrupted, RateLimited, Stream, text
from headgate_client.v1 import chat_pb2 as pb
from support.chat_client import (
    FakeWire,
    answer,
    delta,
    error_info,
    failure,
    finished,
    queued,
    response,
    started,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = grpc.StatusCode.OK


@pytest.fixture
def wire() -> FakeWire:
    return FakeWire()


@pytest.fixture
def client(wire: FakeWire) -> Iterator[Client]:
    with Client(channel=wire.channel) as client:
        yield client


def test_chat_sends_the_request_and_returns_the_response(client: Client, wire: FakeWire) -> None:
    """One Chat goes out with the fields that were given, and its response comes back."""
    with wire.calling(lambda: client.chat("hi", temperature=0.5)) as call:
        request = wire.reply("Hello")
    assert text(call.result()) == "Hello"
    message = pb.ChatMessage(role=pb.ROLE_USER, content="hi")
    assert request == pb.ChatRequest(messages=[message], temperature=0.5)


def test_metadata_and_token_go_with_every_call(wire: FakeWire) -> None:
    """The client's own metadata, its token and the call's metadata, in this order."""
    client = Client(channel=wire.channel, token="secret", metadata={"X-Team": "a"})
    with wire.calling(lambda: client.chat("hi", metadata={"x-trace": "t"})):
        metadata, _, rpc = wire.take_chat()
        rpc.terminate(response(""), (), OK, "")
    client.stream_chat("hi")
    streamed, _, _ = wire.take_stream()
    mine = [("x-team", "a"), ("authorization", "Bearer secret")]
    assert list(metadata)[:3] == [*mine, ("x-trace", "t")]
    assert list(streamed)[:2] == mine


def test_the_timeout_of_a_call_wins() -> None:
    """And one that no clock of gRPC's can count, infinity above all, is none."""
    client = Client(timeout=5)
    calls = [client._outgoing("hi", {"timeout": seconds}) for seconds in (None, 2, inf, 1e300)]
    assert [call.timeout for call in calls] == [5, 2, None, None]


@pytest.mark.parametrize("timeout", [nan, -inf, "5", timedelta(1)])
def test_a_timeout_that_is_no_number_of_seconds(client: Client, timeout: Any) -> None:
    """It is named, with what is allowed, by the client and by each call."""
    said = f"timeout is {timeout!r}; allowed: a number of seconds, inf for no timeout"
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(said)}$"):
        Client(timeout=timeout)
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(said)}$"):
        client.chat("hi", timeout=timeout)


def test_a_failed_chat_raises_the_typed_error(client: Client, wire: FakeWire) -> None:
    """The status becomes one of our errors, with grpc's own as its cause."""
    failed = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full", error_info("QUEUE_FULL"))
    with wire.calling(lambda: client.chat("hi")) as call:
        _, _, rpc = wire.take_chat()
        rpc.terminate(None, failed.trailers, failed.code, failed.details)
    with pytest.raises(RateLimited, match="queue is full") as caught:
        call.result()
    assert caught.value.reason == "QUEUE_FULL"
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_a_request_that_cannot_be_built_is_not_sent(client: Client) -> None:
    """A mistake in the parameters raises at once, for both methods."""
    with pytest.raises(TypeError, match="did you mean 'model'"):
        client.chat("hi", modell="m")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="unknown role"):
        client.stream_chat({"role": "robot"})
    with pytest.raises(ValueError, match="metadata has the key 'a b'"):
        client.chat("hi", metadata={"a b": "x"})


def test_a_stream_gives_every_event_in_order(client: Client, wire: FakeWire) -> None:
    """Iterating gives the events as they came; the stream remembers what they said."""
    events = [queued(2), started("m-1"), delta("He"), delta("llo", position=3), finished(7)]
    stream = client.stream_chat("hi")
    wire.finish(*events)
    assert list(stream) == events
    assert stream.queued == pb.Queued(position=2)
    assert stream.started is not None
    assert stream.started.model == "m-1"
    assert stream.position == 3
    assert stream.finished == events[-1].finished
    assert stream.usage == pb.Usage(total_tokens=7)
    assert stream.message.content == "Hello"


def test_the_text_of_a_stream_is_the_first_choices_content(client: Client, wire: FakeWire) -> None:
    """`text()` skips all that is no text: other events, other choices, reasoning."""
    stream = client.stream_chat("hi", n=2)
    wire.finish(
        started(),
        delta(reasoning_content="hm"),
        delta("a"),
        delta("other", choice_index=1),
        delta("b"),
        finished(),
    )
    assert list(stream.text()) == ["a", "b"]
    assert stream.usage is None


def test_a_stream_puts_its_message_together(client: Client, wire: FakeWire) -> None:
    """Reasoning, refusal and the pieces of tool calls become one assistant's message."""
    stream = client.stream_chat("hi")
    wire.finish(
        started(),
        delta(reasoning_content="h"),
        delta(reasoning_content="m"),
        delta(refusal="no"),
        delta(tool_calls=[pb.ToolCallDelta(index=1, id="c2", name="sub", arguments="{")]),
        delta(tool_calls=[pb.ToolCallDelta(index=0, id="c1", name="add", arguments="{}")]),
        delta(tool_calls=[pb.ToolCallDelta(index=1, arguments="}")]),
        finished(),
    )
    list(stream)
    assert stream.message == pb.ChatMessage(
        role=pb.ROLE_ASSISTANT,
        reasoning_content="hm",
        refusal="no",
        tool_calls=[
            pb.FunctionCall(id="c1", name="add", arguments="{}"),
            pb.FunctionCall(id="c2", name="sub", arguments="{}"),
        ],
    )


def test_a_cut_stream_raises_after_what_came(client: Client, wire: FakeWire) -> None:
    """The deltas are there, then the error, and `finished` stays None."""
    stream = client.stream_chat("hi")
    cut = failure(
        grpc.StatusCode.ABORTED, "reset", error_info("STREAM_INTERRUPTED", position_sent="1")
    )
    rpc = wire.play(started(), delta("He"))
    pieces = stream.text()
    assert next(pieces) == "He"
    rpc.terminate(cut.trailers, cut.code, cut.details)
    with pytest.raises(Interrupted) as caught:
        next(pieces)
    assert caught.value.position_sent == 1
    assert stream.finished is None
    assert stream.message.content == "He"


def test_an_ok_without_finished_is_an_interruption(client: Client, wire: FakeWire) -> None:
    """A stream that something in between ended well is still no whole answer."""
    stream = client.stream_chat("hi")
    wire.finish(started(), delta("He", position=4))
    with pytest.raises(Interrupted, match="without its finished event") as caught:
        list(stream)
    assert caught.value.position_sent == 4


def test_cancel_stops_the_call_and_the_iteration(client: Client, wire: FakeWire) -> None:
    """After `cancel()` the far end sees CANCELLED, and iterating raises Cancelled."""
    stream = client.stream_chat("hi")
    rpc = wire.play(started())
    next(stream)
    stream.cancel()
    rpc.cancelled()
    with pytest.raises(Cancelled):
        next(stream)


def test_leaving_the_with_block_cancels(client: Client, wire: FakeWire) -> None:
    """What was not read to its end is cancelled."""
    with client.stream_chat("hi") as stream:
        rpc = wire.play(*answer("a"))
        next(stream)
    rpc.cancelled()


def test_an_error_in_the_with_block_cancels(client: Client, wire: FakeWire) -> None:
    """The program's own failure passes through, and the call is stopped."""
    stream = client.stream_chat("hi")
    rpc = wire.play(started())
    with pytest.raises(KeyError), stream:
        raise KeyError
    rpc.cancelled()


@pytest.mark.parametrize("as_text", [False, True])
def test_an_abandoned_stream_is_cancelled(client: Client, wire: FakeWire, as_text: bool) -> None:
    """A `for` loop that is left early leaves nothing running behind it."""
    stream: Stream | None = client.stream_chat("hi")
    assert stream is not None
    rpc = wire.play(started(), delta("a"), delta("b"))
    pieces = stream.text() if as_text else stream
    for _ in pieces:
        break
    del stream, pieces
    gc.collect()
    rpc.cancelled()


def test_the_channel_opens_at_the_first_call_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a client opens nothing (and so survives a fork); many threads share one channel."""
    opened: list[str] = []
    wire = FakeWire()

    def open_channel(target: str, _options: object) -> Any:
        opened.append(target)
        return wire.channel

    monkeypatch.setattr(grpc, "insecure_channel", open_channel)
    with Client("there:1") as client:
        assert opened == []
        threads = [threading.Thread(target=client.stream_chat, args=("hi",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert opened == ["there:1"]
    client.stream_chat("again")
    assert opened == ["there:1", "there:1"]


def test_credentials_open_a_secure_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """With credentials the channel uses TLS, and never plaintext."""
    used: list[object] = []
    wire = FakeWire()

    def open_channel(_target: str, credentials: object, _options: object) -> Any:
        used.append(credentials)
        return wire.channel

    monkeypatch.setattr(grpc, "secure_channel", open_channel)
    credentials = grpc.ssl_channel_credentials()
    Client("there:1", credentials=credentials).stream_chat("hi")
    assert used == [credentials]


def test_a_client_shows_its_target_and_no_secret() -> None:
    """`repr` is fit for a log."""
    assert repr(Client("there:1", token="secret")) == "<Client there:1>"


@pytest.mark.parametrize("target", ["", " ", None, 50051])
def test_a_target_that_names_no_server_is_refused(target: Any) -> None:
    """Before the first call, and before gRPC has words of its own for it."""
    with pytest.raises((TypeError, ValueError), match=r"target is .*; allowed is .*host:port"):
        Client(target)


@pytest.mark.parametrize("token", ["", "two\nlines", "schl\u00fcssel", b"bytes"])
def test_a_token_that_no_header_can_carry_is_refused(token: Any) -> None:
    """The mistake shows where it is made, without the token in the message."""
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        Client(token=token)
    assert not token or str(token) not in str(caught.value)
