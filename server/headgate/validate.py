"""The rules of a request, on the wire's structs, so that both faces have the same ones.

Field paths are those of the JSON, which are the contract's names too
(content parts stand under `content` in JSON and under `parts` in the contract; the gRPC face's
translation checks those itself).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgspec

from headgate.errors import FieldViolation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headgate import wire

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
}
MAX_ITEMS = 10_000
"""Messages, tools and their like: two bytes can make one, and each costs us far more."""
MAX_CHOICES = 128
MAX_TOP_LOGPROBS = 20
TOOL_CHOICES = ("none", "auto", "required")
MAX_KEY = 255
_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY}}}")
NO_SCHEMA = "is no JSON object; give a JSON Schema"
RESPONSE_FORMATS = ("text", "json_object", "json_schema")


def violations(request: wire.ChatRequest) -> list[FieldViolation]:
    """Every wrong field of the request, in the order of the contract."""
    return [*_messages(request), *_sampling(request), *_counts(request), *_tools(request)]


def crowds(counts: Mapping[str, int]) -> list[FieldViolation]:
    """The fields with too many items for a look at each; a face asks before it reads them."""
    return [
        FieldViolation(field, f"has {count} items; allowed: at most {MAX_ITEMS}")
        for field, count in counts.items()
        if count > MAX_ITEMS
    ]


def _messages(request: wire.ChatRequest) -> Iterator[FieldViolation]:
    if not request.messages:
        yield FieldViolation("messages", "is empty; at least one message is required")
    for index, message in enumerate(request.messages):
        yield from _message(f"messages[{index}]", message)


def _message(path: str, message: wire.Message) -> Iterator[FieldViolation]:
    if message.role not in ROLES:
        yield FieldViolation(
            f"{path}.role", f"{message.role!r} is not a role; allowed: {', '.join(ROLES)}"
        )
    if message.role == "tool" and not message.tool_call_id:
        yield FieldViolation(f"{path}.tool_call_id", "is required in a message of the role tool")
    if message.tool_calls and message.role != "assistant":
        yield FieldViolation(f"{path}.tool_calls", "only an assistant's message has tool calls")
    says_something = message.content or message.tool_calls or message.refusal
    if not says_something and not _may_be_empty(message):
        yield FieldViolation(f"{path}.content", "is missing; the message says nothing")


def _may_be_empty(message: wire.Message) -> bool:
    """A tool may return nothing, an assistant may have said nothing, a prompt may be empty."""
    return message.role == "assistant" or (message.content == "" and message.role != "user")


def _sampling(request: wire.ChatRequest) -> Iterator[FieldViolation]:
    for name, (low, high) in RANGES.items():
        value = getattr(request, name)
        if value is not None and not low <= value <= high:
            yield FieldViolation(name, f"{value:g} is out of range; allowed: {low} to {high}")


def _counts(request: wire.ChatRequest) -> Iterator[FieldViolation]:
    for name in ("max_tokens", "max_completion_tokens"):
        value = getattr(request, name)
        if value is not None and (value < -1 or value == 0):
            yield FieldViolation(name, f"{value} is not allowed; 1 or more, or -1 for no limit")
        if value is not None and value >= 2**31:
            yield FieldViolation(name, f"{value} does not fit into 32 bits")
    if request.n is not None and not 1 <= request.n <= MAX_CHOICES:
        yield FieldViolation("n", f"{request.n} is out of range; allowed: 1 to {MAX_CHOICES}")
    top = request.top_logprobs
    if top is not None and not 0 <= top <= MAX_TOP_LOGPROBS:
        yield FieldViolation("logprobs", f"{top} is out of range; allowed: 0 to {MAX_TOP_LOGPROBS}")
    if request.seed is not None and not -(2**63) <= request.seed < 2**63:
        yield FieldViolation("seed", f"{request.seed} does not fit into 64 bits")
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    for index, stop in enumerate(stops):
        if not stop:
            yield FieldViolation(f"stop[{index}]", "is empty; a stop sequence has a text")


def _tools(request: wire.ChatRequest) -> Iterator[FieldViolation]:
    for index, tool in enumerate(request.tools or ()):
        path = f"tools[{index}]"
        if tool.type != "function":
            yield FieldViolation(f"{path}.type", f"{tool.type!r} is not allowed; only function")
        if not tool.function.name:
            yield FieldViolation(f"{path}.name", "is empty; a function has a name")
        yield from _schema(f"{path}.parameters", tool.function.parameters)
    choice = request.tool_choice
    if isinstance(choice, str) and choice not in TOOL_CHOICES:
        allowed = ", ".join(TOOL_CHOICES)
        yield FieldViolation(
            "tool_choice", f"{choice!r} is not allowed; {allowed} or a function's name"
        )
    if choice is not None and choice != "none" and not request.tools:
        yield FieldViolation("tool_choice", "is set, but there are no tools")
    shape = request.response_format
    if shape is not None and shape.type not in RESPONSE_FORMATS:
        allowed = ", ".join(RESPONSE_FORMATS)
        yield FieldViolation("response_format", f"{shape.type!r} is not allowed; one of {allowed}")
    if shape is not None and shape.type == "json_schema" and not shape.json_schema:
        yield FieldViolation("response_format.json_schema", "is missing")
    if shape is not None and shape.json_schema is not None:
        yield from _schema("response_format.json_schema.schema", shape.json_schema.schema)


def _schema(path: str, schema: msgspec.Raw | msgspec.UnsetType) -> Iterator[FieldViolation]:
    if isinstance(schema, msgspec.Raw) and not is_json_object(schema):
        yield FieldViolation(path, NO_SCHEMA)


def key_violations(field: str, metadata: str) -> Iterator[FieldViolation]:
    """What is wrong with an idempotency key, given in the contract's field, in metadata, or both.

    Its characters are those that gRPC metadata and HTTP headers carry unchanged.
    """
    if field and metadata and field != metadata:
        yield FieldViolation(
            "idempotency_key", "differs from the metadata idempotency-key; set one of them"
        )
    elif (key := field or metadata) and not _KEY.fullmatch(key):
        yield FieldViolation(
            "idempotency_key", f"is no key; allowed: 1 to {MAX_KEY} visible ASCII characters"
        )


def is_json_object(text: str | msgspec.Raw) -> bool:
    """Whether a JSON text from a caller is an object, as schemas are."""
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def is_finite(value: object) -> bool:
    """JSON has no NaN and no infinity (RFC 8259), so they cannot go upstream."""
    todo = [value]
    while todo:  # a loop, because a caller decides how deep it goes
        item = todo.pop()
        if isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
        elif isinstance(item, float) and not math.isfinite(item):
            return False
    return True
