"""The contract's messages to the JSON of the wire: what is set goes out exactly, the rest not."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from headgate.system_prompt import SystemPromptOverride
from headgate.translate import MAX_NESTING, RequestReader, extra_from_struct, to_struct
from headgate.v1 import chat_pb2 as pb

USER = pb.ChatMessage(role=pb.ROLE_USER, content="Hi")


def read(**fields: Any) -> dict[str, Any]:
    """The JSON that a request with these fields becomes; nothing may be wrong with it."""
    reader = RequestReader()
    body = reader.read(pb.ChatRequest(**{"messages": [USER]} | fields))
    assert reader.wrong == []
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(body))
    return decoded


def read_message(**fields: Any) -> dict[str, Any]:
    message: dict[str, Any] = read(messages=[pb.ChatMessage(**fields)])["messages"][0]
    return message


def wrong(**fields: Any) -> list[str]:
    """The paths of what cannot be said on the wire."""
    reader = RequestReader()
    reader.read(pb.ChatRequest(**{"messages": [USER]} | fields))
    return [violation.field for violation in reader.wrong]


def test_a_plain_request_says_nothing_else() -> None:
    """Unset optional fields are not sent."""
    assert read() == {"messages": [{"role": "user", "content": "Hi"}]}


ZEROES = {
    "temperature": 0.0,
    "top_p": 0.0,
    "seed": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "max_tokens": 0,
    "n": 0,
    "parallel_tool_calls": False,
}


@pytest.mark.parametrize("field", ZEROES)
def test_zero_is_not_unset(field: str) -> None:
    """An optional field that is set to its zero is sent."""
    assert read(**{field: ZEROES[field]})[field] == ZEROES[field]


@pytest.mark.parametrize("field", ["model", "reasoning_effort", "user"])
def test_an_empty_word_is_not_sent(field: str) -> None:
    """Words without `optional` are absent when they are empty."""
    assert field not in read(**{field: ""})
    assert read(**{field: "low"})[field] == "low"


def test_numbers_go_out_as_they_are() -> None:
    """64-bit seeds are exact; stops are a list."""
    said = read(seed=-(2**63), stop=["a", "\n"], temperature=0.7)
    assert (said["seed"], said["stop"], said["temperature"]) == (-(2**63), ["a", "\n"], 0.7)


@pytest.mark.parametrize("top", [0, 5])
def test_logprobs_are_two_fields_on_the_wire(top: int) -> None:
    """One number here; a flag and a number there."""
    said = read(logprobs=top)
    assert (said["logprobs"], said["top_logprobs"]) == (True, top)


@pytest.mark.parametrize(
    ("role", "word"),
    [
        (pb.ROLE_SYSTEM, "system"),
        (pb.ROLE_DEVELOPER, "developer"),
        (pb.ROLE_USER, "user"),
        (pb.ROLE_ASSISTANT, "assistant"),
        (pb.ROLE_TOOL, "tool"),
    ],
)
def test_roles(role: pb.Role.ValueType, word: str) -> None:
    """Every role of the contract has its word."""
    assert read_message(role=role, content="x") == {"role": word, "content": "x"}


def test_every_field_of_a_message() -> None:
    """An assistant's turn with everything that it may carry."""
    call = pb.FunctionCall(id="c1", name="f", arguments='{"x": 1.0')
    said = read_message(
        role=pb.ROLE_ASSISTANT,
        name="Ada",
        tool_calls=[call],
        reasoning_content="hm",
        refusal="no",
    )
    function = {"name": "f", "arguments": '{"x": 1.0'}
    assert said == {
        "role": "assistant",
        "name": "Ada",
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        "reasoning_content": "hm",
        "refusal": "no",
    }


def test_a_tools_empty_result_is_sent() -> None:
    """A function may return nothing, and the upstream must hear that it did."""
    said = read_message(role=pb.ROLE_TOOL, tool_call_id="c1")
    assert said == {"role": "tool", "content": "", "tool_call_id": "c1"}


def test_parts() -> None:
    """Texts and images in their order; the image's detail only when it is set."""
    near = pb.ImagePart(url="https://a.example/cat.png", detail="low")
    far = pb.ImagePart(url="https://a.example/dog.png")
    parts = [
        pb.ContentPart(text="What is this?"),
        pb.ContentPart(image=near),
        pb.ContentPart(image=far),
    ]
    assert read_message(role=pb.ROLE_USER, parts=parts)["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://a.example/cat.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/dog.png"}},
    ]


def test_image_data_becomes_a_data_url() -> None:
    """Bytes go out as RFC 2397 says, whatever they are."""
    data = bytes(range(256))
    image = pb.ImagePart(data=data, mime_type="image/png")
    said = read_message(role=pb.ROLE_USER, parts=[pb.ContentPart(image=image)])
    kind, _, coded = said["content"][0]["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(coded, validate=True) == data


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.ChatMessage(content="x"), "messages[0].role"),
        (pb.ChatMessage(role=77, content="x"), "messages[0].role"),  # type: ignore[arg-type]
        (
            pb.ChatMessage(role=pb.ROLE_USER, content="x", parts=[pb.ContentPart(text="y")]),
            "messages[0].parts",
        ),
        (pb.ChatMessage(role=pb.ROLE_USER, parts=[pb.ContentPart()]), "messages[0].parts[0]"),
        (
            pb.ChatMessage(role=pb.ROLE_USER, parts=[pb.ContentPart(image=pb.ImagePart())]),
            "messages[0].parts[0].image",
        ),
        (
            pb.ChatMessage(
                role=pb.ROLE_USER, parts=[pb.ContentPart(image=pb.ImagePart(data=b"x"))]
            ),
            "messages[0].parts[0].image.mime_type",
        ),
    ],
)
def test_messages_that_cannot_be_said(message: pb.ChatMessage, field: str) -> None:
    """A role that is none, both forms of content, empty parts: each with its path."""
    assert wrong(messages=[message]) == [field]


def test_a_newer_clients_parts_are_not_dropped() -> None:
    """A kind of part that this server does not know is refused, not left out."""
    newer = pb.ContentPart.FromString(b"\x7a\x01x")  # field 15
    assert wrong(messages=[pb.ChatMessage(role=pb.ROLE_USER, parts=[newer])]) == [
        "messages[0].parts[0]"
    ]


SCHEMA = '{"type": "object", "a": 1.0, "b": 1, "c": 12345678901234567890123, "d": 1e2, "d": 2}'


def test_a_schema_goes_out_as_it_was_written() -> None:
    """1.0 stays 1.0, big integers stay exact, spaces and order stay."""
    reader = RequestReader()
    tool = pb.FunctionTool(name="f", parameters=SCHEMA)
    shape = pb.JsonSchemaFormat(name="s", schema=SCHEMA)
    body = reader.read(
        pb.ChatRequest(
            messages=[USER], tools=[tool], response_format=pb.ResponseFormat(json_schema=shape)
        )
    )
    assert msgspec.json.encode(body).count(SCHEMA.encode()) == 2
    assert reader.wrong == []


def test_tools() -> None:
    """Name alone is enough; what is unset is not sent; `strict: false` is set."""
    tools = [
        pb.FunctionTool(name="f"),
        pb.FunctionTool(name="g", description="d", parameters="{}", strict=False),
    ]
    assert [tool["function"] for tool in read(tools=tools)["tools"]] == [
        {"name": "f"},
        {"name": "g", "description": "d", "parameters": {}, "strict": False},
    ]


BAD_SCHEMAS = ["[]", "1", '"x"', "{", "{} {}", "null", "NaN", '{"a": NaN}', "[" * 100_000]


@pytest.mark.parametrize("schema", BAD_SCHEMAS, ids=[schema[:12] for schema in BAD_SCHEMAS])
def test_a_schema_is_a_json_object(schema: str) -> None:
    """Anything else is refused before it would break the body."""
    assert wrong(tools=[pb.FunctionTool(name="f", parameters=schema)]) == ["tools[0].parameters"]
    shape = pb.JsonSchemaFormat(name="s", schema=schema)
    assert wrong(response_format=pb.ResponseFormat(json_schema=shape)) == [
        "response_format.json_schema.schema"
    ]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_NONE), "none"),
        (pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_AUTO), "auto"),
        (pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED), "required"),
        (pb.ToolChoice(function_name="f"), {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_tool_choice(choice: pb.ToolChoice, said: object) -> None:
    """A mode is a word, a function is named."""
    assert read(tool_choice=choice)["tool_choice"] == said


@pytest.mark.parametrize(
    "choice",
    [
        pb.ToolChoice(),
        pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_UNSPECIFIED),
        pb.ToolChoice(mode=9),  # type: ignore[arg-type]
        pb.ToolChoice(function_name=""),
    ],
)
def test_an_empty_tool_choice_is_refused(choice: pb.ToolChoice) -> None:
    """A message that is there must say something that is known."""
    assert wrong(tool_choice=choice) == ["tool_choice"]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (pb.ResponseFormat(text=pb.TextFormat()), {"type": "text"}),
        (pb.ResponseFormat(json_object=pb.JsonObjectFormat()), {"type": "json_object"}),
        (
            pb.ResponseFormat(
                json_schema=pb.JsonSchemaFormat(
                    name="s", description="d", schema='{"x": 1}', strict=True
                )
            ),
            {
                "type": "json_schema",
                "json_schema": {
                    "name": "s",
                    "description": "d",
                    "schema": {"x": 1},
                    "strict": True,
                },
            },
        ),
    ],
)
def test_response_format(shape: pb.ResponseFormat, said: object) -> None:
    """All three forms."""
    assert read(response_format=shape)["response_format"] == said


def test_an_empty_response_format_is_refused() -> None:
    """No form, or a schema without a name."""
    assert wrong(response_format=pb.ResponseFormat()) == ["response_format"]
    nameless = pb.ResponseFormat(json_schema=pb.JsonSchemaFormat(schema="{}"))
    assert wrong(response_format=nameless) == ["response_format.json_schema.name"]


def test_labels_and_scheduling_stay_here() -> None:
    """What speaks to the gateway never goes upstream."""
    said = read(
        labels={"team": "a"},
        scheduling=pb.Scheduling(priority=1),
        stream_options=pb.StreamOptions(queue_updates=True),
        system_prompt=pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_NONE),
    )
    assert set(said) == {"messages"}


Mode = pb.SystemPromptMode
PROMPTS: list[tuple[pb.SystemPrompt | None, SystemPromptOverride | None, list[str]]] = [
    (None, None, []),
    (pb.SystemPrompt(), None, []),
    (pb.SystemPrompt(mode=Mode.SYSTEM_PROMPT_MODE_SERVER), None, []),
    (pb.SystemPrompt(text="x"), None, ["system_prompt.text"]),
    (pb.SystemPrompt(mode=Mode.SYSTEM_PROMPT_MODE_NONE), SystemPromptOverride("none"), []),
    (
        pb.SystemPrompt(mode=Mode.SYSTEM_PROMPT_MODE_REPLACE, text="x"),
        SystemPromptOverride("replace", "x"),
        [],
    ),
    (
        pb.SystemPrompt(mode=Mode.SYSTEM_PROMPT_MODE_REPLACE),
        SystemPromptOverride("replace", ""),
        ["system_prompt.text"],
    ),
    (pb.SystemPrompt(mode=9), None, ["system_prompt.mode"]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("wish", "override", "fields"), PROMPTS)
def test_system_prompt(
    wish: pb.SystemPrompt | None, override: SystemPromptOverride | None, fields: list[str]
) -> None:
    """Each mode, and texts where none may or must be."""
    reader = RequestReader()
    assert reader.system_prompt(pb.ChatRequest(system_prompt=wish)) == override
    assert [violation.field for violation in reader.wrong] == fields


def test_durations_have_a_lower_bound() -> None:
    """Below it the path is noted; nanoseconds count."""
    reader = RequestReader()
    assert reader.seconds("a", Duration(seconds=1, nanos=500_000_000)) == 1.5
    reader.seconds("b", Duration(nanos=99_000_000), at_least=0.1)
    reader.seconds("c", Duration(seconds=-1))
    assert [violation.field for violation in reader.wrong] == ["b", "c"]


def struct(**fields: Any) -> Struct:
    message = Struct()
    message.update(fields)
    return message


def test_extra_numbers_are_whole_where_they_can_be() -> None:
    """A Struct knows doubles only; servers want `top_k: 40`, not `40.0`."""
    said = extra_from_struct(
        struct(k=40, p=0.25, neg=-3, deep={"a": [1, 2.5, {"b": 7}]}, exact=2**53 - 1, huge=1e300)
    )
    assert msgspec.json.encode(said, order="sorted") == (
        b'{"deep":{"a":[1,2.5,{"b":7}]},"exact":9007199254740991,"huge":1e300,"k":40,'
        b'"neg":-3,"p":0.25}'
    )


def test_extra_keeps_every_other_kind() -> None:
    """Texts, flags, nothing, and a value without a kind, which is nothing too."""
    message = struct(text="x", flag=True, none=None, empty={}, items=[])
    message.fields["unset"].SetInParent()
    assert extra_from_struct(message) == {
        "text": "x",
        "flag": True,
        "none": None,
        "empty": {},
        "items": [],
        "unset": None,
    }


def test_extra_lets_nan_through_to_the_rules() -> None:
    """The reader does not fail on what JSON cannot say; the rules report it by name."""
    assert math.isnan(extra_from_struct(struct(x=math.nan))["x"])
    assert extra_from_struct(struct(x=[math.inf]))["x"] == [math.inf]


def nested(levels: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if kind is dict else [value]
    return value


@pytest.mark.parametrize("kind", [dict, list])
def test_what_the_upstream_added_fits_into_a_message(kind: type) -> None:
    """The deepest value that is handed on can be read by a protobuf reader."""
    message = to_struct({"deep": nested(MAX_NESTING, kind)})
    finished = pb.StreamFinished(extra=message)
    event = pb.StreamChatResponse(finished=finished)
    assert pb.StreamChatResponse.FromString(event.SerializeToString()) == event


@pytest.mark.parametrize(
    "odd",
    [nested(MAX_NESTING + 1, dict), nested(900, list), 10**400, [-(10**400)]],
    ids=["deep objects", "deep lists", "a huge number", "a huge negative number"],
)
def test_what_does_not_fit_is_left_out(odd: Any) -> None:
    """One odd field must not cost the answer, nor the fields beside it."""
    assert to_struct({"odd": odd, "kept": 1}) == Struct(fields={"kept": Value(number_value=1)})
    assert to_struct({"odd": odd}) is None


def test_nothing_added_is_unset() -> None:
    """No field is not the same as an empty one."""
    assert to_struct({}) is None
    assert to_struct({"a": [True, None, "x"]}) == Struct(
        fields={
            "a": Value(
                list_value=ListValue(
                    values=[
                        Value(bool_value=True),
                        Value(null_value=0),  # type: ignore[arg-type]
                        Value(string_value="x"),
                    ]
                )
            )
        }
    )
