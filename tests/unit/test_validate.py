"""The rules of a request: each boundary from both sides, every fault with its path."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from headgate import wire
from headgate.validate import is_finite, is_json_object, violations

USER = wire.Message(role="user", content="Hi")
TOOL = wire.Tool(function=wire.FunctionSpec(name="f"))


def wrong(**fields: Any) -> list[str]:
    """The paths of the wrong fields."""
    return [v.field for v in violations(wire.ChatRequest(**{"messages": [USER]} | fields))]


GOOD: list[dict[str, Any]] = [
    {},
    *({"temperature": x} for x in (0, 0.0, 2, 2.0, 1e-9)),
    *({"top_p": x} for x in (0.0, 1.0)),
    *({"presence_penalty": x} for x in (-2.0, 2.0)),
    *({"frequency_penalty": x} for x in (-2.0, 2.0)),
    *({"max_tokens": x} for x in (-1, 1, 2**31 - 1)),
    *({"max_completion_tokens": x} for x in (-1, 1)),
    *({"n": x} for x in (1, 128)),
    *({"logprobs": True, "top_logprobs": x} for x in (0, 20)),
    *({"seed": x} for x in (-(2**63), 2**63 - 1)),
    {"stop": "x"},
    {"stop": ["x", " ", "\n"]},
    {"tools": [TOOL], "tool_choice": "required"},
    {"tools": [TOOL], "tool_choice": wire.NamedToolChoice(function=wire.FunctionName("f"))},
    {"tool_choice": "none"},
    *({"response_format": wire.ResponseFormat(type=t)} for t in ("text", "json_object")),
]


@pytest.mark.parametrize("fields", GOOD, ids=str)
def test_what_is_allowed(fields: dict[str, Any]) -> None:
    """The ends of every range belong to it."""
    assert wrong(**fields) == []


BAD: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": []}),
    *(("temperature", {"temperature": x}) for x in (-0.01, 2.01, math.nan, math.inf, -math.inf)),
    *(("top_p", {"top_p": x}) for x in (-0.01, 1.01, math.nan)),
    *(("presence_penalty", {"presence_penalty": x}) for x in (-2.01, 2.01, math.nan)),
    *(("frequency_penalty", {"frequency_penalty": x}) for x in (-2.01, 2.01, math.nan)),
    *(("max_tokens", {"max_tokens": x}) for x in (0, -2, -(2**31))),
    *(("max_completion_tokens", {"max_completion_tokens": x}) for x in (0, -2)),
    *(("n", {"n": x}) for x in (0, -1, 129)),
    *(("logprobs", {"top_logprobs": x}) for x in (-1, 21)),
    *(("seed", {"seed": x}) for x in (-(2**63) - 1, 2**63)),
    ("stop[0]", {"stop": ""}),
    ("stop[1]", {"stop": ["x", ""]}),
    ("tool_choice", {"tool_choice": "auto"}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": "f"}),
    ("tools[0].name", {"tools": [wire.Tool(function=wire.FunctionSpec(name=""))]}),
    (
        "tools[1].type",
        {"tools": [TOOL, wire.Tool(type="x", function=wire.FunctionSpec(name="g"))]},
    ),
    (
        "tools[0].parameters",
        {"tools": [wire.Tool(function=wire.FunctionSpec(name="f", parameters=msgspec.Raw(b"1")))]},
    ),
    ("response_format", {"response_format": wire.ResponseFormat(type="xml")}),
    (
        "response_format.json_schema",
        {"response_format": wire.ResponseFormat(type="json_schema")},
    ),
    (
        "response_format.json_schema.schema",
        {
            "response_format": wire.ResponseFormat(
                type="json_schema",
                json_schema=wire.JsonSchema(name="s", schema=msgspec.Raw(b"[]")),
            )
        },
    ),
]


@pytest.mark.parametrize(("field", "fields"), BAD, ids=str)
def test_what_is_not_allowed(field: str, fields: dict[str, Any]) -> None:
    """Just outside of every range, with the field's path."""
    assert wrong(**fields) == [field]


MESSAGES: list[tuple[wire.Message, list[str]]] = [
    (wire.Message(role="user"), ["content"]),
    (wire.Message(role="user", content=""), ["content"]),
    (wire.Message(role="user", content=[]), ["content"]),
    (wire.Message(role="user", content=[wire.TextPart("x")]), []),
    (wire.Message(role="system", content=""), []),
    (wire.Message(role="system"), ["content"]),
    (wire.Message(role="assistant"), []),
    (wire.Message(role="assistant", refusal="no"), []),
    (wire.Message(role="tool", content="", tool_call_id="c"), []),
    (wire.Message(role="tool", content="x"), ["tool_call_id"]),
    (wire.Message(role="robot", content="x"), ["role"]),
    (
        wire.Message(
            role="user",
            content="x",
            tool_calls=[wire.ToolCall(id="c", function=wire.Function("f", "{}"))],
        ),
        ["tool_calls"],
    ),
]


@pytest.mark.parametrize(("message", "fields"), MESSAGES, ids=str)
def test_messages(message: wire.Message, fields: list[str]) -> None:
    """Who may say nothing, and what each role needs; the index is in the path."""
    assert wrong(messages=[USER, message]) == [f"messages[1].{field}" for field in fields]


def test_every_fault_is_reported_in_order() -> None:
    """One answer names all of them, in the order of the contract."""
    fields = wrong(
        messages=[wire.Message(role="?"), USER, wire.Message(role="tool", content="x")],
        temperature=9.0,
        top_p=-1.0,
        max_tokens=0,
        n=0,
        stop=[""],
        tool_choice="auto",
    )
    assert fields == [
        "messages[0].role",
        "messages[0].content",
        "messages[2].tool_call_id",
        "temperature",
        "top_p",
        "max_tokens",
        "n",
        "stop[0]",
        "tool_choice",
    ]


def test_a_fault_says_what_is_allowed() -> None:
    """The value and the range, so that a caller can mend it."""
    body = wire.ChatRequest(messages=[USER], temperature=2.5, max_tokens=0)
    assert [v.description for v in violations(body)] == [
        "2.5 is out of range; allowed: 0.0 to 2.0",
        "0 is not allowed; 1 or more, or -1 for no limit",
    ]


def test_numbers_are_no_larger_than_the_contract_has_them() -> None:
    """Over HTTP JSON holds any; over gRPC these could not be sent."""
    body = wire.ChatRequest(messages=[USER], max_tokens=2**31, seed=2**63)
    assert [(v.field, v.description) for v in violations(body)] == [
        ("max_tokens", f"{2**31} does not fit into 32 bits"),
        ("seed", f"{2**63} does not fit into 64 bits"),
    ]


@pytest.mark.parametrize("text", ["{}", ' {"a": [1, {"b": null}]} ', '{"a": 1e300}'])
def test_json_objects(text: str) -> None:
    """White space is no matter."""
    assert is_json_object(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}x", "{'a':1}", '{"a":' * 50_000])
def test_no_json_objects(text: str) -> None:
    """However deep, a broken text is no crash."""
    assert not is_json_object(text)


def test_is_finite() -> None:
    """Whole numbers of any size are, and texts are not looked at."""
    assert is_finite({"a": [1.5, 10**400, "nan", None, True]})
    assert not is_finite({"a": [{"b": math.nan}]})


def test_is_finite_however_deep() -> None:
    """A caller's nesting is no crash."""
    deep: Any = math.nan
    for _ in range(10_000):
        deep = [{"a": deep}]
    assert not is_finite(deep)
