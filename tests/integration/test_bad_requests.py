"""Bad input at the gRPC face: every fault at once, a clear status, and nothing goes upstream."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from headgate.v1 import chat_pb2 as pb
from headgate.validate import MAX_ITEMS
from support.gateway import Caller, ask, gateway, text, trailer
from support.raw_upstream import RawUpstream, says

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Code = grpc.StatusCode
METHODS = ["Chat", "StreamChat"]


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    """It answers; each test says how many requests it may have seen."""
    async with RawUpstream(says("Hello")) as running:
        yield running


@pytest.fixture
async def caller(upstream: RawUpstream) -> AsyncIterator[Caller]:
    """Behind it a gateway with a prompt that requests may not choose."""
    prompt = {"text": "Be brief.", "allow_override": False}
    options = {"extra_allowed": ["top_k"]}
    async with gateway(upstream.url, upstream=options, system_prompt=prompt) as running:
        yield running


async def refusal(caller: Caller, method: str, request: pb.ChatRequest) -> grpc.aio.AioRpcError:
    try:
        if method == "Chat":
            await caller.stub.Chat(request, timeout=20)
        else:
            async for _ in caller.stub.StreamChat(request, timeout=20):
                pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call ended OK")


def violations(error: grpc.aio.AioRpcError) -> list[Any]:
    """The field violations of an INVALID_ARGUMENT."""
    assert error.code() is Code.INVALID_ARGUMENT, error
    assert trailer(error, "headgate-reason") == "INVALID_REQUEST"
    bad = error_details_pb2.BadRequest()
    packed = [d for d in rpc_status.from_call(cast("grpc.Call", error)).details if d.Unpack(bad)]
    assert len(packed) == 1
    return list(bad.field_violations)


def size(error: grpc.aio.AioRpcError) -> int:
    return sum(len(key) + len(value) for key, value in error.trailing_metadata() or ())


EVERYTHING = pb.ChatRequest(
    messages=[
        pb.ChatMessage(content="x", parts=[pb.ContentPart(text="y"), pb.ContentPart()]),
        pb.ChatMessage(role=pb.ROLE_TOOL, content="x"),
        pb.ChatMessage(role=pb.ROLE_USER, tool_calls=[pb.FunctionCall(id="c", name="f")]),
        pb.ChatMessage(
            role=pb.ROLE_USER,
            parts=[
                pb.ContentPart(image=pb.ImagePart(data=b"x")),
                pb.ContentPart(image=pb.ImagePart()),
            ],
        ),
    ],
    temperature=math.nan,
    top_p=1.5,
    max_tokens=0,
    stop=["ok", ""],
    presence_penalty=-3,
    frequency_penalty=3,
    n=0,
    tools=[pb.FunctionTool(parameters="[]")],
    tool_choice=pb.ToolChoice(),
    response_format=pb.ResponseFormat(json_schema=pb.JsonSchemaFormat(schema="{")),
    stream_options=pb.StreamOptions(
        heartbeat_interval=Duration(nanos=50_000_000), delta_interval=Duration(seconds=-1)
    ),
    logprobs=21,
    system_prompt=pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_REPLACE),
    scheduling=pb.Scheduling(max_queue_wait=Duration(seconds=-1)),
)
EVERYTHING.extra.update({"temperature": 1, "grammar": "x", "top_k": math.nan})
FIELDS = {
    "messages[0].role",
    "messages[0].parts",
    "messages[0].parts[1]",
    "messages[1].tool_call_id",
    "messages[2].tool_calls",
    "messages[3].parts[0].image.mime_type",
    "messages[3].parts[1].image",
    "temperature",
    "top_p",
    "max_tokens",
    "stop[1]",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "tools[0].name",
    "tools[0].parameters",
    "tool_choice",
    "response_format.json_schema.name",
    "response_format.json_schema.schema",
    "stream_options.heartbeat_interval",
    "stream_options.delta_interval",
    "logprobs",
    "system_prompt",
    "system_prompt.text",
    "scheduling.max_queue_wait",
    "extra.temperature",
    "extra.grammar",
    "extra.top_k",
}


@pytest.mark.parametrize("method", METHODS)
async def test_every_wrong_field_is_reported_at_once(
    upstream: RawUpstream, caller: Caller, method: str
) -> None:
    """One INVALID_ARGUMENT names all of them, and the upstream hears of none."""
    found = violations(await refusal(caller, method, EVERYTHING))

    assert {violation.field for violation in found} == FIELDS
    assert all(violation.description for violation in found)
    assert upstream.requests == []


async def test_an_empty_request(upstream: RawUpstream, caller: Caller) -> None:
    """Nothing to say is a fault with a path too."""
    found = violations(await refusal(caller, "Chat", pb.ChatRequest()))
    assert [violation.field for violation in found] == ["messages"]
    assert upstream.requests == []


@pytest.mark.parametrize("method", METHODS)
async def test_a_thousand_violations_come_through(caller: Caller, method: str) -> None:
    """As many as fit into the trailers of any client, then how many more."""
    request = pb.ChatRequest(messages=[pb.ChatMessage(content="x")] * 1000)
    error = await refusal(caller, method, request)

    *named, more = violations(error)
    assert len(named) > 20
    assert more.description == f"and {1000 - len(named)} more"
    assert size(error) < 4096
    assert (error.details() or "").endswith("(and 999 more)")


async def test_the_longest_names_come_through(caller: Caller) -> None:
    """Long names from a caller are clipped; the status is still ours."""
    request = ask()
    request.extra.update({"\U0001f600" * 5000 + str(i): 1 for i in range(20)})
    error = await refusal(caller, "Chat", request)

    assert violations(error)
    assert len((error.details() or "").encode()) <= 512
    assert size(error) < 4096


async def test_a_refusal_says_who_it_is(caller: Caller) -> None:
    """A request id in the trailers, no invitation to retry, and the range in words."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.stub.Chat(ask(temperature=9), metadata=[("x-request-id", "r-1")], timeout=20)
    error = caught.value
    assert error.details() == "temperature: 9 is out of range; allowed: 0.0 to 2.0"
    assert trailer(error, "x-request-id") == "r-1"
    assert trailer(error, "grpc-retry-pushback-ms") == "-1"


async def test_after_bad_requests_a_good_one_works(upstream: RawUpstream, caller: Caller) -> None:
    """Nothing sticks: not in the gateway, not on the connection."""
    for request in (pb.ChatRequest(), EVERYTHING):
        for method in METHODS:
            await refusal(caller, method, request)
    answer = await caller.chat()
    assert answer.choices[0].message.content == "Hello"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("method", METHODS)
async def test_a_message_over_the_limit(upstream: RawUpstream, method: str) -> None:
    """It is refused before it is read; one under the limit passes."""
    async with gateway(upstream.url, server={"max_message_bytes": 10_000}) as caller:
        error = await refusal(caller, method, ask("x" * 10_000))
        assert upstream.requests == []
        answer = await caller.chat("x" * 9_000)
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert "larger than max" in (error.details() or "")
    assert answer.choices[0].message.content == "Hello"


async def test_an_answer_may_be_larger_than_a_request() -> None:
    """Answers have the upstream's limits; gRPC would refuse one with words of its own."""
    said = "Hello" * 100
    async with (
        RawUpstream(says(said)) as upstream,
        gateway(upstream.url, server={"max_message_bytes": 100}) as caller,
    ):
        assert (await caller.chat()).choices[0].message.content == said
        assert text(await caller.events()) == said


async def test_metadata_over_the_limit(upstream: RawUpstream, caller: Caller) -> None:
    """A clear status, nothing upstream, and the connection goes on."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.stub.Chat(ask(), metadata=[("x-big", "y" * 100_000)], timeout=20)
    assert upstream.requests == []
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED
    assert "metadata" in (caught.value.details() or "").lower()
    assert (await caller.chat()).choices[0].message.content == "Hello"


async def test_bytes_that_are_no_message(
    upstream: RawUpstream, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong bytes and wrong UTF-8 end with our status: no traceback at the caller, none logged."""
    chat: Any = caller.channel.unary_unary("/headgate.v1.ChatService/Chat")
    stream: Any = caller.channel.unary_stream("/headgate.v1.ChatService/StreamChat")
    for data in (b"\xff\xff\xff\xff", b"\x12\x02\xff\xfe"):
        for call in (chat(data, timeout=20), stream(data, timeout=20).read()):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert [violation.field for violation in violations(caught.value)] == ["request"]
            assert "DecodeError" not in str(caught.value)
    assert upstream.requests == []
    assert caplog.records == []


async def test_a_method_that_is_not_there(caller: Caller) -> None:
    """UNIMPLEMENTED, as every gRPC server says."""
    for path in ("/headgate.v1.ChatService/Talk", "/headgate.v2.ChatService/Chat"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await cast("Any", caller.channel.unary_unary(path))(b"", timeout=20)
        assert caught.value.code() is Code.UNIMPLEMENTED


async def test_fields_of_a_newer_contract_are_read_over(
    upstream: RawUpstream, caller: Caller
) -> None:
    """A newer client's unknown fields do not break this server."""
    chat: Any = caller.channel.unary_unary("/headgate.v1.ChatService/Chat")
    newer = ask().SerializeToString() + b"\xda\x01\x03new"  # field 27
    answer = pb.ChatResponse.FromString(await chat(newer, timeout=20))
    assert answer.choices[0].message.content == "Hello"
    assert set(upstream.requests[0].json) == {"messages", "stream"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("unit", "field"),
    [
        (pb.ChatRequest(messages=[pb.ChatMessage()]), "messages"),
        (pb.ChatRequest(tools=[pb.FunctionTool()]), "tools"),
        (pb.ChatRequest(stop=[""]), "stop"),
    ],
    ids=["messages", "tools", "stop"],
)
async def test_a_crowd_is_counted_and_not_looked_at(
    caller: Caller, upstream: RawUpstream, method: str, unit: pb.ChatRequest, field: str
) -> None:
    """Two bytes make a message; a megabyte of them would hold everybody up."""
    request = pb.ChatRequest.FromString(unit.SerializeToString() * (MAX_ITEMS + 1))
    (violation,) = violations(await refusal(caller, method, request))
    assert violation.field == field
    assert violation.description == f"has {MAX_ITEMS + 1} items; allowed: at most {MAX_ITEMS}"
    assert upstream.requests == []


async def test_parts_are_counted_over_all_messages(caller: Caller) -> None:
    """However they are spread."""
    message = pb.ChatMessage(role=pb.ROLE_USER, parts=[pb.ContentPart(text="a")] * 101)
    error = await refusal(caller, "Chat", pb.ChatRequest(messages=[message] * 100))
    assert [each.field for each in violations(error)] == ["messages.parts"]
