"""Whatever a caller sends: InvalidRequest, or a body that is JSON; never anything else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message_factory import GetMessageClass
from hypothesis import example, given
from hypothesis import strategies as st

from headgate import wire
from headgate.config import CallersSettings, UpstreamSettings
from headgate.errors import InvalidRequest
from headgate.grpc_face import ChatServicer, Entry
from headgate.http_upstream.client import _BodyWriter
from headgate.identity import Identity
from headgate.intake import Intake
from headgate.progress import Progress
from headgate.rich_status import RichStatus
from headgate.security import Access
from headgate.system_prompt import SystemPrompt
from headgate.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message
    from grpc.aio import ServicerContext

    from headgate.upstream import Call, Upstream

ALLOWED = ["top_k", "a"]
MAX_DEPTH = 8
INT32 = st.sampled_from([-1, 0, 1, 2, 2**31 - 1, -(2**31)]) | st.integers(-(2**31), 2**31 - 1)
TEXT = st.sampled_from(["", "x", "{}", '{"a": 1.0}', "NaN", "image/png"]) | st.text(max_size=8)
KEYS = st.sampled_from([*ALLOWED, "stream", "messages", "b"]) | st.text(max_size=4)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    Field.TYPE_STRING: TEXT,
    Field.TYPE_BYTES: st.binary(max_size=8),
    Field.TYPE_BOOL: st.booleans(),
    Field.TYPE_INT32: INT32,
    Field.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    Field.TYPE_DOUBLE: st.floats() | st.floats(0, 1),
    Field.TYPE_ENUM: st.integers(0, 5) | INT32,
}


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, depth: int = 0) -> Message:
    """Any message of this type, by its descriptor alone, so that new fields are in at once."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if depth < MAX_DEPTH and draw(st.integers(0, 2)) == 0:
            fill(draw, message, field, depth)
    return message


def fill(draw: st.DrawFn, message: Message, field: Field, depth: int) -> None:
    """Set one field to something."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        entries = getattr(message, field.name)
        for key in draw(st.lists(KEYS, max_size=2)):
            value = kind.fields_by_name["value"]
            if value.message_type is None:
                entries[key] = draw(SCALARS[value.type])
            else:
                entries[key].CopyFrom(draw(messages(value.message_type, depth + 1)))
    elif field.is_repeated:
        one = SCALARS[field.type] if kind is None else messages(kind, depth + 1)
        getattr(message, field.name).extend(draw(st.lists(one, max_size=2)))
    elif kind is not None:
        getattr(message, field.name).CopyFrom(draw(messages(kind, depth + 1)))
    else:
        setattr(message, field.name, draw(SCALARS[field.type]))


GOOD = pb.ChatRequest(
    messages=[pb.ChatMessage(role=pb.ROLE_USER, content="Hi")],
    temperature=0.5,
    tools=[pb.FunctionTool(name="f", parameters='{"a": 1.0}')],
)
GOOD.extra.update({"top_k": 4})


@st.composite
def nearly_good(draw: st.DrawFn) -> pb.ChatRequest:
    """A good request with one field that is anything at all."""
    request = pb.ChatRequest()
    request.CopyFrom(GOOD)
    field = draw(st.sampled_from(list(pb.ChatRequest.DESCRIPTOR.fields)))
    request.ClearField(cast("Any", field.name))
    fill(draw, request, field, 0)
    return request


class Context:
    """As much of a ServicerContext as taking a request in needs."""

    def time_remaining(self) -> float | None:
        return None


def take_in(request: pb.ChatRequest, *, allow_override: bool, stream: bool) -> Call:
    """What the gRPC face does before a call goes into the corridor."""
    prompt = SystemPrompt("Be brief.", "if_absent", allow_override=allow_override)
    access = Access(CallersSettings(), Identity())
    servicer = ChatServicer(cast("Upstream", None), Intake(prompt, ALLOWED), access)
    context = cast("ServicerContext[Any, Any]", Context())
    entry = Entry({}, "an-id", "someone")
    return servicer._admit(request, context, entry, Progress(lambda: 0.0), stream=stream)


def check_refusal(error: InvalidRequest) -> None:
    rich = RichStatus(error, jitter=0.5)
    assert sum(len(key) + len(value) for key, value in rich.trailers) < 4096
    assert error.violations


def refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


@example(request=GOOD, allow_override=True, stream=True)
@given(st.one_of(messages(pb.ChatRequest.DESCRIPTOR), nearly_good()), st.booleans(), st.booleans())
def test_a_request_is_refused_or_said(
    request: pb.ChatRequest, allow_override: bool, stream: bool
) -> None:
    """Refusals fit into trailers; bodies are JSON with our word on `stream` and no unknown name."""
    try:
        call = take_in(request, allow_override=allow_override, stream=stream)
    except InvalidRequest as error:
        check_refusal(error)
        return

    body = _BodyWriter(UpstreamSettings(url="http://localhost/api")).write(call)

    said = json.loads(body, parse_constant=refuse)
    assert said["stream"] is stream
    assert said["messages"]
    assert set(said) <= wire.KNOWN_REQUEST_FIELDS | set(ALLOWED)
    assert said.get("max_tokens", 1) > 0
    assert ("top_k" in said) == ("top_k" in request.extra.fields)


def test_a_good_request_is_said() -> None:
    """The refusals above are not for want of anything good."""
    call = take_in(GOOD, allow_override=True, stream=True)
    assert call.extra == {"top_k": 4}
