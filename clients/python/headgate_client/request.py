"""A request built from natural Python values: pure, and the same for both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final, TypedDict

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from headgate_client.messages import Messages, json_text, messages_of
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
    fields = {name: _FIELDS[name](given[name]) for name in given.keys() & _FIELDS.keys()}
    for group, (message, converters) in _GROUPS.items():
        if names := given.keys() & converters.keys():
            fields[group] = message(**{name: converters[name](given[name]) for name in names})
    return pb.ChatRequest(messages=messages_of(messages), **fields)


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    for name in given.keys() - PARAMS:
        near = get_close_matches(name, PARAMS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "; unknown ones go into `extra`"
        raise TypeError(f"unknown parameter {name!r}{hint}")


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
    raise ValueError(
        f"unknown tool_choice {value!r}; allowed: {', '.join(_TOOL_CHOICES)}, "
        'or {"function": {"name": ...}}'
    )


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
    raise ValueError(
        f"unknown response_format {value!r}; allowed: text, json_object, "
        'or {"type": "json_schema", "json_schema": {"name": ..., "schema": ...}}'
    )


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
    raise ValueError(
        f"unknown system_prompt {value!r}; allowed: the text, "
        f'or {{"mode": ...}} with {", ".join(_PROMPT_MODES)}'
    )


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
_FIELDS: Final[dict[str, Callable[[Any], Any]]] = {
    "model": _same,
    "temperature": _same,
    "top_p": _same,
    "max_tokens": _same,
    "stop": _stop,
    "seed": _same,
    "presence_penalty": _same,
    "frequency_penalty": _same,
    "n": _same,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _same,
    "response_format": _response_format,
    "reasoning_effort": _same,
    "logprobs": _same,
    "user": _same,
    "system_prompt": _system_prompt,
    "idempotency_key": _same,
    "labels": dict,
    "extra": _extra,
}
# Fields of the contract that are messages of a few plain settings: the settings are parameters.
_GROUPS: Final[dict[str, tuple[Callable[..., Any], dict[str, Callable[[Any], Any]]]]] = {
    "stream_options": (
        pb.StreamOptions,
        {"queue_updates": _same, "heartbeat_interval": _duration, "delta_interval": _duration},
    ),
    "scheduling": (pb.Scheduling, {"priority": _same, "max_queue_wait": _duration}),
}
PARAMS: Final = frozenset(ChatParams.__annotations__)
