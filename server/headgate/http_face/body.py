"""Reads the body of a request on the HTTP face: JSON in, a ChatRequest and what is wrong out.

No I/O. Every field is decoded on its own, so that all wrong ones are reported at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from headgate import wire
from headgate.errors import FieldViolation, InvalidRequest
from headgate.validate import crowds

_float = msgspec.json.Decoder(float).decode
_split = msgspec.json.Decoder(dict[str, Raw]).decode
_decoders = {
    field.name: msgspec.json.Decoder(field.type)
    for field in msgspec.structs.fields(wire.ChatRequest)
}
_WHOLE = {
    field.name for field in msgspec.structs.fields(wire.ChatRequest) if field.type == int | None
}
_NULL = b"null"
_MAX_DESCRIPTION = 200
_JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`")
_WRONG_TAG = re.compile(r"Invalid value (?P<got>'.*')")
_PARTS = "text or image_url"
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """Where the two paths differ.

    Attributes:
        stream_by_default: whether `stream` absent means true.
        unknown_is_extra: whether unknown fields go to the allow-list; else they are ignored.
        usage_by_default: whether a stream ends with the usage although nobody asked for it.
    """

    stream_by_default: bool
    unknown_is_extra: bool
    usage_by_default: bool


PUBLISHED = Dialect(stream_by_default=True, unknown_is_extra=False, usage_by_default=True)
OPENAI = Dialect(stream_by_default=False, unknown_is_extra=True, usage_by_default=False)


class Body(NamedTuple):
    """What a body says; `found` is what is wrong with it and goes to the intake."""

    request: wire.ChatRequest
    extra: dict[str, Any]
    include_usage: bool
    found: list[FieldViolation]


def read_body(data: bytes, dialect: Dialect) -> Body:
    """Decode the JSON of a request.

    Raises:
        InvalidRequest: no JSON object, its messages cannot be read, or there is too much in it.
    """
    fields = _fields(data)
    found: list[FieldViolation] = []
    known = _known_fields(fields, found)
    if "messages" not in known and "messages" in fields:
        raise InvalidRequest(found)
    if "tools" not in known and found:
        # Tools that cannot be read are there all the same, so a choice among them is no fault.
        known.pop("tool_choice", None)
    request = wire.ChatRequest(messages=known.pop("messages", []), **known)
    if crowded := _crowds(request):
        raise InvalidRequest(crowded)
    _forget_null_schemas(request)
    extra = _extra(fields, found) if dialect.unknown_is_extra else {}
    if request.stream is None:
        request.stream = dialect.stream_by_default
    _join_token_limits(request, found)
    return Body(request, extra, _take_include_usage(request, dialect), found)


def _fields(data: bytes) -> dict[str, Raw]:
    if not data.strip():
        raise _wrong_body("is empty; a JSON object with messages is required")
    try:
        return _split(data)
    except msgspec.ValidationError as error:
        raise _wrong_body(_violation("", error).description) from error
    except msgspec.DecodeError as error:
        raise _wrong_body(f"is no valid JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise _wrong_body("is no valid UTF-8") from error
    except RecursionError as error:
        raise _wrong_body("is nested too deeply") from error


def _wrong_body(description: str) -> InvalidRequest:
    return InvalidRequest([FieldViolation("body", description)])


def _known_fields(fields: dict[str, Raw], found: list[FieldViolation]) -> dict[str, Any]:
    """The contract's fields; null means unset, as for OpenAI, but not for messages."""
    known: dict[str, Any] = {}
    for name, raw in fields.items():
        if name in _decoders and (bytes(raw) != _NULL or name == "messages"):
            _decode_into(known, name, raw, _decoders[name], found)
    return known


def _crowds(request: wire.ChatRequest) -> list[FieldViolation]:
    asked, tools = request.messages, request.tools or ()
    stop = request.stop if isinstance(request.stop, list) else ()
    return crowds({"messages": len(asked), "tools": len(tools), "stop": len(stop)}) or crowds(
        {"messages.content": sum(_parts(message) for message in asked)}
    )


def _parts(message: wire.Message) -> int:
    content = message.content if isinstance(message.content, list) else ()
    return len(content) + len(message.tool_calls or ())


def _forget_null_schemas(request: wire.ChatRequest) -> None:
    """Null means unset here, too."""
    for tool in request.tools or ():
        if _is_null(tool.function.parameters):
            tool.function.parameters = UNSET
    shape = request.response_format.json_schema if request.response_format else None
    if shape is not None and _is_null(shape.schema):
        shape.schema = UNSET


def _is_null(value: Raw | UnsetType) -> bool:
    return isinstance(value, Raw) and bytes(value) == _NULL


def _extra(fields: dict[str, Raw], found: list[FieldViolation]) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
    for name, raw in fields.items():
        if name not in _decoders and bytes(raw) != _NULL:
            _decode_into(extra, name, raw, decoder, found)
    return extra


def _decode_into(
    values: dict[str, Any],
    name: str,
    raw: Raw,
    decoder: msgspec.json.Decoder[Any],
    found: list[FieldViolation],
) -> None:
    try:
        values[name] = decoder.decode(raw)
    except msgspec.ValidationError as error:
        if name in _WHOLE and (whole := _whole(raw)) is not None:
            values[name] = whole
        else:
            found.append(_violation(name, error))
    except msgspec.DecodeError as error:
        found.append(FieldViolation(name, f"is no valid JSON: {error}"))
    except UnicodeDecodeError:
        found.append(FieldViolation(name, "is no valid UTF-8"))
    except RecursionError:
        found.append(FieldViolation(name, "is nested too deeply"))


def _whole(raw: Raw) -> int | None:
    """JSON has one kind of number: 100.0 is 100, and some languages write it so."""
    if not set(b".eE").intersection(bytes(raw)):
        return None
    try:
        value = _float(raw)
    except msgspec.DecodeError:
        return None
    return int(value) if value.is_integer() else None


def _violation(name: str, error: msgspec.ValidationError) -> FieldViolation:
    """The decoder's message in the words of JSON, with the path inside the field."""
    place = _PLACE.match(str(error))
    what, path = (place["what"], place["path"] or "") if place else (str(error), "")
    if missing := _MISSING.fullmatch(what):
        return FieldViolation(f"{name}{path}.{missing['name']}", "is required")
    if wrong := _WRONG_TYPE.fullmatch(what):
        words = [word for word in wrong["expected"].split(" | ") if word != "null"]
        allowed = " or ".join(_JSON_TYPES.get(word, word) for word in words)
        got = _JSON_TYPES.get(wrong["got"], wrong["got"])
        return FieldViolation(f"{name}{path}", f"is of type {got}; allowed: {allowed}")
    if tag := _WRONG_TAG.fullmatch(what):  # only the parts of a message have one
        got = tag["got"][:_MAX_DESCRIPTION]
        return FieldViolation(f"{name}{path}", f"{got} is not allowed; allowed: {_PARTS}")
    if what == "Number out of range":
        return FieldViolation(f"{name}{path}", "is too large or too small for a number")
    return FieldViolation(f"{name}{path}", what[:_MAX_DESCRIPTION])


def _join_token_limits(request: wire.ChatRequest, found: list[FieldViolation]) -> None:
    """`max_completion_tokens` is OpenAI's newer name; how it goes upstream is configured."""
    newer, request.max_completion_tokens = request.max_completion_tokens, None
    if newer is None:
        return
    if request.max_tokens is not None and request.max_tokens != newer:
        found.append(
            FieldViolation("max_completion_tokens", "differs from max_tokens; set only one of them")
        )
    request.max_tokens = newer


def _take_include_usage(request: wire.ChatRequest, dialect: Dialect) -> bool:
    """What the caller wants to read; what is asked of the upstream is the upstream's setting."""
    options, request.stream_options = request.stream_options, None
    if options is None or options.include_usage is None:
        return dialect.usage_by_default
    return options.include_usage
