"""Requests built from natural Python values."""

from __future__ import annotations

import re
from datetime import timedelta
from math import inf, nan
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from headgate_client.metadata import metadata_pairs
from headgate_client.request import PARAMS, build_request
from headgate_client.v1 import chat_pb2 as pb

SCHEMA = {"type": "object", "properties": {"n": {"minimum": 1}}}
SCHEMA_TEXT = '{"type": "object", "properties": {"n": {"minimum": 1}}}'
TOOL = pb.FunctionTool(name="add", description="adds", parameters=SCHEMA_TEXT)
NAMED = pb.JsonSchemaFormat(name="numbers", schema=SCHEMA_TEXT, strict=True)


def built(**params: Any) -> pb.ChatRequest:
    """A request without its messages."""
    return build_request([], params)


@pytest.mark.parametrize(
    ("params", "request_"),
    [
        ({"model": "m"}, pb.ChatRequest(model="m")),
        ({"temperature": 0}, pb.ChatRequest(temperature=0.0)),
        ({"top_p": 0.9}, pb.ChatRequest(top_p=0.9)),
        ({"max_tokens": -1}, pb.ChatRequest(max_tokens=-1)),
        ({"stop": "END"}, pb.ChatRequest(stop=["END"])),
        ({"stop": ("a", "b")}, pb.ChatRequest(stop=["a", "b"])),
        ({"seed": 2**40}, pb.ChatRequest(seed=2**40)),
        ({"presence_penalty": -1.5}, pb.ChatRequest(presence_penalty=-1.5)),
        ({"frequency_penalty": 0.5}, pb.ChatRequest(frequency_penalty=0.5)),
        ({"n": 2}, pb.ChatRequest(n=2)),
        ({"parallel_tool_calls": False}, pb.ChatRequest(parallel_tool_calls=False)),
        ({"reasoning_effort": "low"}, pb.ChatRequest(reasoning_effort="low")),
        ({"logprobs": 0}, pb.ChatRequest(logprobs=0)),
        ({"idempotency_key": "k-1"}, pb.ChatRequest(idempotency_key="k-1")),
        ({"user": "u"}, pb.ChatRequest(user="u")),
        ({"labels": {"team": "a"}}, pb.ChatRequest(labels={"team": "a"})),
        ({"priority": 3}, pb.ChatRequest(scheduling=pb.Scheduling(priority=3))),
        (
            {"max_queue_wait": 1.5},
            pb.ChatRequest(
                scheduling=pb.Scheduling(max_queue_wait=Duration(seconds=1, nanos=500_000_000))
            ),
        ),
        (
            {"queue_updates": True, "delta_interval": timedelta(milliseconds=50)},
            pb.ChatRequest(
                stream_options=pb.StreamOptions(
                    queue_updates=True, delta_interval=Duration(nanos=50_000_000)
                )
            ),
        ),
        (
            {"heartbeat_interval": 15},
            pb.ChatRequest(
                stream_options=pb.StreamOptions(heartbeat_interval=Duration(seconds=15))
            ),
        ),
    ],
)
def test_each_parameter_has_its_field(params: dict[str, Any], request_: pb.ChatRequest) -> None:
    """Every parameter sets its own field of the contract and no other."""
    assert built(**params) == request_


def test_every_field_of_the_contract_has_a_parameter() -> None:
    """A field that enters the contract must become a parameter, or be known to be none."""
    names = {field.name for field in pb.ChatRequest.DESCRIPTOR.fields}
    names -= {"messages", "stream_options", "scheduling"}
    for group in (pb.StreamOptions.DESCRIPTOR, pb.Scheduling.DESCRIPTOR):
        names |= {field.name for field in group.fields}
    assert names == PARAMS


def test_none_counts_as_not_given() -> None:
    """Unset differs from zero in the contract, and None is how Python says unset."""
    assert built(**dict.fromkeys(PARAMS)) == pb.ChatRequest()


@pytest.mark.parametrize(
    "tool",
    [
        TOOL,
        {"name": "add", "description": "adds", "parameters": SCHEMA},
        {"name": "add", "description": "adds", "parameters": SCHEMA_TEXT, "strict": None},
        {
            "type": "function",
            "function": {"name": "add", "description": "adds", "parameters": SCHEMA},
        },
    ],
)
def test_a_tool_in_any_form(tool: Any) -> None:
    """The contract's message, a flat dict, or OpenAI's; the schema as a dict or as JSON text."""
    assert built(tools=[tool]) == pb.ChatRequest(tools=[TOOL])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_NONE)),
        ("auto", pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_AUTO)),
        ("required", pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED)),
        (
            {"type": "function", "function": {"name": "add"}},
            pb.ToolChoice(function_name="add"),
        ),
        (pb.ToolChoice(function_name="add"), pb.ToolChoice(function_name="add")),
    ],
)
def test_the_choice_of_a_tool(choice: Any, expected: pb.ToolChoice) -> None:
    """A word, or a function's name as OpenAI writes it."""
    assert built(tool_choice=choice).tool_choice == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("text", pb.ResponseFormat(text=pb.TextFormat())),
        ({"type": "text"}, pb.ResponseFormat(text=pb.TextFormat())),
        ("json_object", pb.ResponseFormat(json_object=pb.JsonObjectFormat())),
        ({"type": "json_object"}, pb.ResponseFormat(json_object=pb.JsonObjectFormat())),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "numbers", "schema": SCHEMA, "strict": True},
            },
            pb.ResponseFormat(json_schema=NAMED),
        ),
        (pb.ResponseFormat(json_schema=NAMED), pb.ResponseFormat(json_schema=NAMED)),
    ],
)
def test_the_format_of_the_answer(form: Any, expected: pb.ResponseFormat) -> None:
    """A word, OpenAI's dict, or the contract's message."""
    request = built(response_format=form)
    assert request.HasField("response_format")
    assert request.response_format.WhichOneof("format") == expected.WhichOneof("format")
    assert request.response_format == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Be brief.", pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_REPLACE, text="Be brief.")),
        ({"mode": "none"}, pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_NONE)),
        ({"mode": "server"}, pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_SERVER)),
        (
            {"mode": "replace", "text": "x"},
            pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_REPLACE, text="x"),
        ),
    ],
)
def test_the_system_prompt(prompt: Any, expected: pb.SystemPrompt) -> None:
    """A text replaces the server's; a mode says otherwise."""
    assert built(system_prompt=prompt).system_prompt == expected


def test_extra_is_json() -> None:
    """Upstream parameters without a field travel as a Struct."""
    extra: dict[str, Any] = {"top_k": 40, "guided": {"regex": "a+", "on": True, "list": [1, None]}}
    expected = Struct()
    expected.update(extra)
    assert built(extra=extra).extra == expected
    assert built(extra=expected).extra == expected


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"temprature": 1}, "unknown parameter 'temprature'; did you mean 'temperature'"),
        ({"zzz": 1}, "unknown parameter 'zzz'; unknown ones go into `extra`"),
        ({"tool_choice": "maybe"}, "tool_choice is 'maybe'; allowed: none, auto, required, or {"),
        ({"response_format": "xml"}, "response_format is 'xml'; allowed: text, json_object, or {"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"strict": 2.5}}},
            "response_format is {'type': 'json_schema'",
        ),
        (
            {"system_prompt": {"mode": "loud"}},
            "system_prompt is {'mode': 'loud'}; allowed: the text, or {\"mode\": ...} with server",
        ),
        ({"model": "\ud800"}, "model is '\\ud800'; allowed: a str"),
        ({"temperature": "hot"}, "temperature is 'hot'; allowed: a number"),
        ({"max_tokens": 1.5}, "max_tokens is 1.5; allowed: a whole number of 32 bits"),
        ({"n": 2**40}, "n is 1099511627776; allowed: a whole number of 32 bits"),
        ({"seed": 2**70}, "seed is 1180591620717411303424; allowed: a whole number of 64 bits"),
        ({"idempotency_key": 5}, "idempotency_key is 5; allowed: a str"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls is 'no'; allowed: True or False"),
        ({"queue_updates": "no"}, "queue_updates is 'no'; allowed: True or False"),
        ({"priority": 0.5}, "priority is 0.5; allowed: a whole number"),
        ({"max_queue_wait": "5"}, "max_queue_wait is '5'; allowed: a number of seconds, or a time"),
        ({"delta_interval": nan}, "delta_interval is nan; allowed: a number of seconds"),
        ({"delta_interval": inf}, "delta_interval is inf; allowed: a number of seconds"),
        ({"stop": 5}, "stop is 5; allowed: a str, or a list of them"),
        ({"stop": iter(["a", 5])}, "stop is <list_iterator"),
        ({"tools": 5}, "tools is 5; allowed: a list of {"),
        ({"tools": ["add"]}, "tools is ['add']; allowed: a list of {"),
        ({"tools": [{"type": "function"}]}, "tools is [{'type': 'function'}]; allowed: a list of"),
        ({"labels": "a"}, "labels is 'a'; allowed: a dict of str to str"),
        ({"labels": {"a": 5}}, "labels is {'a': 5}; allowed: a dict of str to str"),
        ({"extra": 5}, "extra is 5; allowed: a dict of what JSON can say"),
        ({"extra": {"a": {1}}}, "extra is {'a': {1}}; allowed: a dict of what JSON can say"),
        ({"model": "m", "top_p": "x", "n": 1}, "top_p is 'x'; allowed: a number"),
    ],
)
def test_what_cannot_be_said_is_refused(params: dict[str, Any], said: str) -> None:
    """A wrong name or type fails here, in one line, and nothing is sent."""
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(said)}") as caught:
        built(**params)
    assert "\n" not in str(caught.value)


def test_metadata_as_a_mapping_or_as_pairs() -> None:
    """Keys become lower case, because gRPC refuses any other; a key may come twice as a pair."""
    assert metadata_pairs(None) == ()
    assert metadata_pairs({"X-Team": "a"}) == (("x-team", "a"),)
    assert metadata_pairs([("a", "1"), ("a", "2")]) == (("a", "1"), ("a", "2"))
    values = {"a": " ~", "b": b"x", "c-bin": b"\xff"}
    assert metadata_pairs(values) == tuple(values.items())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"a b": "x"}, "metadata has the key 'a b'; allowed: letters, digits"),
        ({"": "x"}, "metadata has the key ''"),
        ({"\u00fc": "x"}, "metadata has the key '\u00fc'"),
        ({1: "x"}, "metadata has the key 1"),
        ({"a": "secret\u00fc"}, "metadata 'a' has '\u00fc' in it; allowed: printable ASCII"),
        ({"a": "secret\n"}, "metadata 'a' has '\\n' in it"),
        ({"a": b"secret\xff"}, "metadata 'a' has '\u00ff' in it"),
        ({"a": 5}, "metadata 'a' is of type int"),
        ({"a-bin": "secret"}, "metadata 'a-bin' is of type str; allowed: printable ASCII, and by"),
        (5, "metadata is of type int; allowed: a mapping, or pairs"),
        ("secret", "metadata is of type str"),
        ([("a",)], "metadata is of type list"),
    ],
)
def test_metadata_that_cannot_be_sent(metadata: Any, said: str) -> None:
    """It is refused here, where gRPC would fail the call; no value is shown."""
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(said)}") as caught:
        metadata_pairs(metadata)
    assert "secret" not in str(caught.value)
