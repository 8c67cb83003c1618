"""The sandbox's tool calls and JSON answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate import wire
from headgate.sandbox.schema import Hints, fill
from support.sandbox_model import (
    WEATHER,
    chunks_of,
    deltas_of,
    say,
    text_of,
    tool,
    usage,
    user,
)

if TYPE_CHECKING:
    from headgate.upstream import Chunk

TIME = tool("get_local_time", city={"type": "string"})
NAMED = wire.NamedToolChoice(function=wire.FunctionName("get_local_time"))


def calls_of(chunks: list[Chunk]) -> list[tuple[str, Any]]:
    calls: dict[int, list[str]] = {}
    for delta in deltas_of(chunks):
        for piece in delta.tool_calls:
            said = calls.setdefault(piece.index, ["", ""])
            said[0] += piece.name
            said[1] += piece.arguments
    return [(name, json.loads(arguments)) for name, arguments in calls.values()]


@pytest.mark.parametrize(
    ("question", "choice", "called"),
    [
        ("What is the weather in New York?", None, ["get_weather"]),
        ("What is the weather in New York?", "auto", ["get_weather"]),
        ("Call get_local_time", "auto", ["get_local_time"]),
        ("Whether it rains", "auto", []),
        ("Hello!", "auto", []),
        ("Hello!", "required", ["get_weather"]),
        ("What is the weather?", "none", []),
        ("Hello!", NAMED, ["get_local_time"]),
        ("The local time and the weather, please", "auto", ["get_weather", "get_local_time"]),
    ],
)
async def test_tools_are_called_when_they_are_meant(
    question: str, choice: str | wire.NamedToolChoice | None, called: list[str]
) -> None:
    """By the choice, or by a word of the function's name in the question."""
    chunks = await chunks_of(question, tools=[WEATHER, TIME], tool_choice=choice)
    assert [name for name, _ in calls_of(chunks)] == called
    assert chunks[-1].finishes == {0: "tool_calls" if called else "stop"}
    assert bool(text_of(chunks)) == (not called)


async def test_a_call_is_streamed_in_fragments() -> None:
    """Id and name first and once, then the arguments in pieces, made up from the question."""
    chunks = await chunks_of("Weather in New York for 3 days?", tools=[WEATHER], stream=True)
    pieces = [piece for delta in deltas_of(chunks) for piece in delta.tool_calls]
    assert (pieces[0].name, pieces[0].arguments) == ("get_weather", "")
    assert pieces[0].id.startswith("call_")
    assert len(pieces) > 3
    assert {(piece.id, piece.name) for piece in pieces[1:]} == {("", "")}
    assert calls_of(chunks) == [("get_weather", {"city": "New York", "days": 3})]


async def test_one_call_at_a_time_when_that_is_wished() -> None:
    """`parallel_tool_calls` false."""
    chunks = await chunks_of(
        "local weather", tools=[WEATHER, TIME], parallel_tool_calls=False, tool_choice="auto"
    )
    assert len(calls_of(chunks)) == 1


async def test_a_tools_result_is_told_and_not_asked_for_again() -> None:
    """Otherwise a caller's loop would never end."""
    messages = [
        user("What is the weather in Oslo?"),
        wire.Message(role="tool", tool_call_id="call_1", content="12 °C and rain"),
    ]
    chunks = await chunks_of(messages, tools=[WEATHER])
    assert calls_of(chunks) == []
    assert "12 °C and rain" in text_of(chunks)


async def test_max_tokens_cuts_a_call_too() -> None:
    """As real servers do, in the middle of the arguments."""
    chunks = await chunks_of("weather", tools=[WEATHER], max_tokens=5)
    assert chunks[-1].finishes == {0: "length"}
    assert usage(chunks).completion_tokens == 5


async def test_a_json_object_is_json() -> None:
    """With the answer inside, whatever signs it holds."""
    shape = wire.ResponseFormat(type="json_object")
    said = await say('say: "quoted" \\ 中', response_format=shape)
    assert json.loads(said) == {"answer": 'quoted" \\ 中', "messages": 1}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "kind": {"enum": ["sun", "rain"]},
        "days": {"type": "integer", "minimum": 2, "maximum": 5},
        "share": {"type": "number", "maximum": 0.5},
        "sure": {"type": "boolean"},
        "list": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 2},
        "maybe": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "fixed": {"const": [1, None]},
        "nothing": {"type": ["null", "string"]},
    },
    "$defs": {"item": {"properties": {"deep": {"type": "string", "maxLength": 3}}}},
}


async def test_an_answer_fits_its_json_schema() -> None:
    """Types, enums, bounds, references, the first of several shapes."""
    schema = wire.JsonSchema(name="w", schema=msgspec.Raw(msgspec.json.encode(SCHEMA)))
    shape = wire.ResponseFormat(type="json_schema", json_schema=schema)
    said = await say("Will there be rain in Lyon?", response_format=shape, temperature=0)
    answer = json.loads(said)
    assert list(answer) == list(SCHEMA["properties"])
    assert answer == {
        "city": "Lyon",
        "kind": "rain",
        "days": 2,
        "share": 0.5,
        "sure": True,
        "list": [{"deep": "You"}, {"deep": "You"}],
        "maybe": "2026-01-01",
        "fixed": [1, None],
        "nothing": None,
    }


def test_a_schema_that_holds_itself_has_an_end() -> None:
    """However deep and however wide."""
    schema = {"properties": {str(i): {"$ref": "#"} for i in range(50)}}
    assert len(json.dumps(fill(schema, Hints.of("x")))) < 100_000
    list_of_itself = {"type": "array", "minItems": 20, "items": {"$ref": "#"}}
    assert len(json.dumps(fill(list_of_itself, Hints.of("x")))) < 100_000
    assert fill({"$ref": "#"}, Hints.of("x")) is None


NAMES = "type properties items anyOf enum const $ref minItems minimum maximum maxLength format"
KEYWORDS = st.sampled_from(NAMES.split())
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, width=16)
    | st.sampled_from(["object", "array", "string", "number", "integer", "#", "#/a", "date", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYWORDS, VALUES, max_size=5), st.text(max_size=20))
def test_any_schema_gets_some_json(schema: dict[str, Any], question: str) -> None:
    """Also one that is no schema at all."""
    msgspec.json.encode(fill(schema, Hints.of(question)))
