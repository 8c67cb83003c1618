"""A request built from natural Python values: pure, and the same for both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, TypedDict

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from headgate_client.messages import Messages, json_text, messages_of, shown
from headgate_client.metadata import Metadata  # noqa: TC001 - so that hints can be resolved
from headgate_client.v1 import chat_pb2 as pb

Seconds = float | timedelta


class ChatParams(TypedDict, total=False):
    """The fields of ChatRequest, as chat.proto describes them; None counts as not given.

    Durations are seconds or timedelta; JSON schemas are dicts or JSON text.
    """

    model: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | Iterable[str] | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    n: int | None
    tools: Iterable[Mapping[str, Any] | pb.FunctionTool] | None
    tool_choice: str | Mapping[str, Any] | pb.ToolChoice | None
    parallel_tool_calls: bool | None
    response_format: str | Mapping[str, Any] | pb.ResponseFormat | None
    queue_updates: bool | None
    heartbeat_interval: Seconds | None
    delta_interval: Seconds | None
    reasoning_effort: str | None
    logprobs: int | None
    user: str | None
    system_prompt: str | Mapping[str, str] | pb.SystemPrompt | None
    idempotency_key: str | None
    priority: int | None
    max_queue_wait: Seconds | None
    labels: Mapping[str, str] | None
    extra: Mapping[str, Any] | Struct | None


class CallParams(ChatParams, total=False):
    """ChatParams, and how to make the call: `timeout` in seconds (inf: none), `metadata`."""

    timeout: float | None
    metadata: Metadata | None


def build_request(messages: Messages, params: Mapping[str, Any]) -> pb.ChatRequest:
    """The request for some messages and ChatParams.

    Raises:
        TypeError, ValueError: a name or a value that cannot be said in the contract.
    """
    given = {name: value for name, value in params.items() if value is not None}
    _refuse_unknown(given)
    values = {name: _converted(name, value) for name, value in given.items()}
    try:
        return _request(messages_of(messages), values)
    except _WRONG:
        _blame(values, given)
        raise


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    for name in given.keys() - PARAMS:
        near = get_close_matches(name, PARAMS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "; unknown ones go into `extra`"
        raise TypeError(f"unknown parameter {name!r}{hint}")


def _converted(name: str, value: Any) -> Any:
    try:
        return _FIELDS[name].convert(value)
    except _WRONG as error:
        raise _refusal(name, value, error) from error


def _request(messages: list[pb.ChatMessage], values: Mapping[str, Any]) -> pb.ChatRequest:
    fields = dict(values)
    for group, (message, names) in _GROUPS.items():
        if inside := {name: fields.pop(name) for name in fields.keys() & names}:
            fields[group] = message(**inside)
    return pb.ChatRequest(messages=messages, **fields)


def _blame(values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Name the field that protobuf does not take: its own errors do not."""
    for name, value in values.items():
        try:
            _request([], {name: value})
        except _WRONG as error:
            raise _refusal(name, given[name], error) from error


def _refusal(name: str, value: Any, error: Exception) -> TypeError | ValueError:
    kind = ValueError if isinstance(error, ValueError | OverflowError) else TypeError
    return kind(f"{name} is {shown(value)}; allowed: {_FIELDS[name].allowed}")


def _same(value: Any) -> Any:
    return value


def _duration(value: Seconds) -> Duration:
    duration = Duration()
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _stop(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _tools(value: Iterable[Mapping[str, Any] | pb.FunctionTool]) -> list[pb.FunctionTool]:
    return [_tool(tool) for tool in value]


def _tool(tool: Mapping[str, Any] | pb.FunctionTool) -> pb.FunctionTool:
    if isinstance(tool, pb.FunctionTool):
        return tool
    return pb.FunctionTool(**_with_json_text(tool.get("function", tool), "parameters"))


def _tool_choice(value: str | Mapping[str, Any] | pb.ToolChoice) -> pb.ToolChoice:
    match value:
        case pb.ToolChoice():
            return value
        case str() if value in _TOOL_CHOICES:
            return pb.ToolChoice(mode=_TOOL_CHOICES[value])
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return pb.ToolChoice(function_name=name)
    raise ValueError(value)


def _response_format(value: str | Mapping[str, Any] | pb.ResponseFormat) -> pb.ResponseFormat:
    match value:
        case pb.ResponseFormat():
            return value
        case "text" | {"type": "text"}:
            return pb.ResponseFormat(text=pb.TextFormat())
        case "json_object" | {"type": "json_object"}:
            return pb.ResponseFormat(json_object=pb.JsonObjectFormat())
        case {"type": "json_schema", "json_schema": Mapping() as shape}:
            schema = pb.JsonSchemaFormat(**_with_json_text(shape, "schema"))
            return pb.ResponseFormat(json_schema=schema)
    raise ValueError(value)


def _with_json_text(fields: Mapping[str, Any], schema: str) -> dict[str, Any]:
    """The fields with their JSON Schema as text, which is how the contract carries it."""
    given = {name: value for name, value in fields.items() if value is not None}
    return given | ({schema: json_text(given[schema])} if schema in given else {})


def _system_prompt(value: str | Mapping[str, str] | pb.SystemPrompt) -> pb.SystemPrompt:
    match value:
        case pb.SystemPrompt():
            return value
        case str():
            return pb.SystemPrompt(mode=pb.SYSTEM_PROMPT_MODE_REPLACE, text=value)
        case {"mode": str(mode)} if mode in _PROMPT_MODES:
            return pb.SystemPrompt(mode=_PROMPT_MODES[mode], text=value.get("text", ""))
    raise ValueError(value)


def _extra(value: Mapping[str, Any] | Struct) -> Struct:
    if isinstance(value, Struct):
        return value
    extra = Struct()
    extra.update(value)
    return extra


_TOOL_CHOICES: Final = {
    "none": pb.TOOL_CHOICE_MODE_NONE,
    "auto": pb.TOOL_CHOICE_MODE_AUTO,
    "required": pb.TOOL_CHOICE_MODE_REQUIRED,
}
_PROMPT_MODES: Final = {
    "server": pb.SYSTEM_PROMPT_MODE_SERVER,
    "none": pb.SYSTEM_PROMPT_MODE_NONE,
    "replace": pb.SYSTEM_PROMPT_MODE_REPLACE,
}
# What a converter, or protobuf, has against a value.
_WRONG: Final = (TypeError, ValueError, AttributeError, OverflowError)


class _Field(NamedTuple):
    """How a parameter becomes a field of the contract, and what is allowed, for people."""

    convert: Callable[[Any], Any]
    allowed: str


_TEXT: Final = _Field(_same, "a str")
_NUMBER: Final = _Field(_same, "a number")
_INT32: Final = _Field(_same, "a whole number of 32 bits")
_INT64: Final = _Field(_same, "a whole number of 64 bits")
_FLAG: Final = _Field(_same, "True or False")
_DURATION: Final = _Field(_duration, "a number of seconds, or a timedelta")
_FIELDS: Final = {
    "model": _TEXT,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "max_tokens": _INT32,
    "stop": _Field(_stop, "a str, or a list of them"),
    "seed": _INT64,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "n": _INT32,
    "tools": _Field(
        _tools,
        'a list of {"name": ..., "description": ..., "parameters": ...}, bare '
        'or as {"type": "function", "function": {...}}',
    ),
    "tool_choice": _Field(
        _tool_choice, f'{", ".join(_TOOL_CHOICES)}, or {{"function": {{"name": ...}}}}'
    ),
    "parallel_tool_calls": _FLAG,
    "response_format": _Field(
        _response_format,
        "text, json_object, "
        'or {"type": "json_schema", "json_schema": {"name": ..., "schema": ...}}',
    ),
    "queue_updates": _FLAG,
    "heartbeat_interval": _DURATION,
    "delta_interval": _DURATION,
    "reasoning_effort": _TEXT,
    "logprobs": _INT32,
    "user": _TEXT,
    "system_prompt": _Field(
        _system_prompt, f'the text, or {{"mode": ...}} with {", ".join(_PROMPT_MODES)}'
    ),
    "idempotency_key": _TEXT,
    "priority": _INT32,
    "max_queue_wait": _DURATION,
    "labels": _Field(dict, "a dict of str to str"),
    "extra": _Field(_extra, "a dict of what JSON can say"),
}
# Fields of the contract that are messages of a few plain settings: the settings are parameters.
_GROUPS: Final[dict[str, tuple[Callable[..., Any], frozenset[str]]]] = {
    group: (message, frozenset(message.DESCRIPTOR.fields_by_name))
    for group, message in (("stream_options", pb.StreamOptions), ("scheduling", pb.Scheduling))
}
PARAMS: Final = frozenset(ChatParams.__annotations__)
