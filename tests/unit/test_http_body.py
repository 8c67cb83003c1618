"""Reading the body of a request on the HTTP face."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import FieldViolation, InvalidRequest
from headgate.http_face.body import OPENAI, PUBLISHED, Dialect, read_body
from headgate.validate import MAX_ITEMS

HELLO = [{"role": "user", "content": "Hello!"}]


def body(**fields: Any) -> bytes:
    return json.dumps({"messages": HELLO, **fields}).encode()


def refusal(data: bytes, dialect: Dialect = OPENAI) -> list[FieldViolation]:
    """What is wrong, wherever it was found."""
    try:
        return read_body(data, dialect).found
    except InvalidRequest as error:
        return error.violations


@pytest.mark.parametrize(
    ("dialect", "fields", "stream"),
    [
        (PUBLISHED, {}, True),
        (PUBLISHED, {"stream": None}, True),
        (PUBLISHED, {"stream": False}, False),
        (OPENAI, {}, False),
        (OPENAI, {"stream": None}, False),
        (OPENAI, {"stream": True}, True),
    ],
)
def test_stream_absent_means_what_each_path_says(
    dialect: Dialect, fields: dict[str, Any], stream: bool
) -> None:
    """The published API streams by default, OpenAI's does not; null is absent."""
    assert read_body(body(**fields), dialect).request.stream is stream


def test_nothing_is_filled_in() -> None:
    """Beyond `stream`, what the caller left out stays out."""
    request = read_body(body(), PUBLISHED).request
    unset = {name for name in request.__struct_fields__ if getattr(request, name) is None}
    assert unset == set(request.__struct_fields__) - {"messages", "stream"}


def test_unknown_fields_are_ignored_or_handed_on() -> None:
    """On the published path they are ignored, on OpenAI's they are extra; null is unset."""
    data = body(top_k=40, store=None, min_p={"a": [1, 2.5, "x"]})
    assert read_body(data, PUBLISHED).extra == {}
    assert read_body(data, OPENAI).extra == {"top_k": 40, "min_p": {"a": [1, 2.5, "x"]}}


def test_whole_numbers_of_extra_fields_stay_whole() -> None:
    """An extra integer does not turn into a float on its way."""
    assert type(read_body(body(top_k=40), OPENAI).extra["top_k"]) is int


@pytest.mark.parametrize(
    ("dialect", "options", "wanted"),
    [
        (PUBLISHED, None, True),
        (PUBLISHED, {}, True),
        (PUBLISHED, {"include_usage": False}, False),
        (OPENAI, None, False),
        (OPENAI, {}, False),
        (OPENAI, {"include_usage": True}, True),
    ],
)
def test_usage_is_for_those_who_want_it(
    dialect: Dialect, options: dict[str, bool] | None, wanted: bool
) -> None:
    """The face takes `stream_options` for itself; what is asked upstream is a setting."""
    read = read_body(body(stream_options=options), dialect)
    assert read.include_usage is wanted
    assert read.request.stream_options is None


def test_max_completion_tokens_is_max_tokens() -> None:
    """OpenAI's newer name means the same, and how it goes upstream is configured."""
    request = read_body(body(max_completion_tokens=7), OPENAI).request
    assert (request.max_tokens, request.max_completion_tokens) == (7, None)


def test_two_different_token_limits_are_refused() -> None:
    """Nobody can say which of two limits was meant."""
    found = refusal(body(max_completion_tokens=7, max_tokens=8))
    assert found == [
        FieldViolation("max_completion_tokens", "differs from max_tokens; set only one of them")
    ]
    assert refusal(body(max_completion_tokens=7, max_tokens=7)) == []


@pytest.mark.parametrize(
    ("data", "field", "description"),
    [
        (b"", "body", "is empty; a JSON object with messages is required"),
        (b" \n", "body", "is empty; a JSON object with messages is required"),
        (b"null", "body", "is of type null; allowed: object"),
        (b"[]", "body", "is of type array; allowed: object"),
        (b'{"messages":', "body", "is no valid JSON: Input data was truncated"),
        (
            b'{"messages":[],"temperature":NaN}',
            "body",
            "is no valid JSON: JSON is malformed: invalid character (byte 29)",
        ),
        (b'{"x":' + b"[" * 10**5 + b"]" * 10**5 + b"}", "body", "is nested too deeply"),
        (b'{"messages":null}', "messages", "is of type null; allowed: array"),
        (b'{"messages":"Hello!"}', "messages", "is of type string; allowed: array"),
        (b'{"messages":[1]}', "messages[0]", "is of type integer; allowed: object"),
        (b'{"messages":[{"content":"x"}]}', "messages[0].role", "is required"),
        (
            b'{"messages":[{"role":1}]}',
            "messages[0].role",
            "is of type integer; allowed: string",
        ),
        (b'{"messages":[{"role":"\xff"}]}', "messages", "is no valid UTF-8"),
        (
            b'{"messages":[{"role":"user","content":[{"type":"video"}]}]}',
            "messages[0].content[0].type",
            "'video' is not allowed; allowed: text or image_url",
        ),
    ],
)
def test_unreadable_bodies_say_where_and_what(data: bytes, field: str, description: str) -> None:
    """The path of the wrong place and what is allowed there, in the words of JSON."""
    with pytest.raises(InvalidRequest) as caught:
        read_body(data, OPENAI)
    assert caught.value.violations == [FieldViolation(field, description)]


def test_every_field_of_a_wrong_type_is_reported_at_once() -> None:
    """One answer names them all, in the order of the body."""
    data = body(temperature="hot", max_tokens=1.5, stop=[1], tool_choice=3, stream="yes")
    assert refusal(data) == [
        FieldViolation("temperature", "is of type string; allowed: number"),
        FieldViolation("max_tokens", "is of type number; allowed: integer"),
        FieldViolation("stop[0]", "is of type integer; allowed: string"),
        FieldViolation("tool_choice", "is of type integer; allowed: string or object"),
        FieldViolation("stream", "is of type string; allowed: boolean"),
    ]


def test_a_choice_among_unreadable_tools_is_not_blamed() -> None:
    """One fault is one violation: the rules are not asked about what could not be read."""
    read = read_body(body(tools=[{"function": {}}], tool_choice="required"), OPENAI)
    assert read.found == [FieldViolation("tools[0].function.name", "is required")]
    assert read.request.tool_choice is None


@pytest.mark.parametrize("value", [b"1e999", b"-1e999"])
def test_numbers_beyond_a_double_are_refused(value: bytes) -> None:
    """JSON can write numbers that no double holds."""
    data = b'{"messages":[],"temperature":' + value + b"}"
    assert refusal(data) == [
        FieldViolation("temperature", "is too large or too small for a number")
    ]


def test_huge_integers_do_no_harm() -> None:
    """Thousands of digits are refused in a known field and in an unknown one."""
    digits = b"9" * 5000
    for name in (b"max_tokens", b"top_k"):
        found = refusal(b'{"messages":[],"' + name + b'":' + digits + b"}")
        assert [violation.field for violation in found] == [name.decode()]


@pytest.mark.parametrize(("said", "read"), [(b"100.0", 100), (b"1e2", 100), (b"100", 100)])
def test_whole_numbers_may_be_written_with_a_point(said: bytes, read: int) -> None:
    """JSON knows one kind of number, and the published API says `number`."""
    found = read_body(b'{"messages":[],"max_tokens":' + said + b"}", PUBLISHED)
    assert (found.request.max_tokens, found.found) == (read, [])
    assert refusal(b'{"messages":[],"max_tokens":1.5}') != []


@pytest.mark.parametrize(
    ("fields", "crowded"),
    [
        ({"messages": HELLO * (MAX_ITEMS + 1)}, "messages"),
        ({"tools": [{"function": {"name": "f"}}] * (MAX_ITEMS + 1)}, "tools"),
        ({"stop": ["a"] * (MAX_ITEMS + 1)}, "stop"),
        (
            {
                "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 101}]
                * 100
            },
            "messages.content",
        ),
    ],
)
def test_a_crowd_is_refused(fields: dict[str, Any], crowded: str) -> None:
    """As over gRPC: what is too much to look at each is only counted."""
    (violation,) = refusal(body(**fields))
    assert violation.field == crowded
    assert violation.description.endswith(f"items; allowed: at most {MAX_ITEMS}")


def test_a_schema_of_null_is_unset() -> None:
    """As clients write that have none."""
    tool = {"type": "function", "function": {"name": "now", "parameters": None}}
    shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": None}}
    read = read_body(body(tools=[tool], response_format=shape), OPENAI)
    assert read.found == []
    assert read.request.tools is not None
    assert read.request.tools[0].function.parameters is msgspec.UNSET
    assert read.request.response_format is not None
    assert read.request.response_format.json_schema is not None
    assert read.request.response_format.json_schema.schema is msgspec.UNSET


def test_schemas_are_handed_on_as_they_were_written() -> None:
    """Neither the order of keys nor the shape of numbers changes in a tool's schema."""
    schema = b'{"z": 1.0, "a": {"maximum": 10}}'
    tool = b'{"type":"function","function":{"name":"f","parameters":' + schema + b"}}"
    read = read_body(b'{"messages":[],"tools":[' + tool + b"]}", OPENAI)
    assert read.found == []
    assert read.request.tools is not None
    parameters = read.request.tools[0].function.parameters
    assert isinstance(parameters, msgspec.Raw)
    assert bytes(parameters) == schema


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["messages", "stream", "temperature", "stop", "tools", "seed", "other"])


@given(st.binary() | st.binary().map(lambda tail: b'{"messages":[' + tail))
def test_no_bytes_crash_it(data: bytes) -> None:
    """Whatever comes is read or refused as an invalid request."""
    refusal(data)


@given(st.dictionaries(FIELDS, JSON))
def test_no_json_crashes_it(fields: dict[str, Any]) -> None:
    """Well-formed JSON of any shape is read or refused, and each refusal names a field of it."""
    data = json.dumps(fields).encode()
    for violation in refusal(data):
        assert violation.field.startswith(tuple(fields)) or violation.field == "body"
