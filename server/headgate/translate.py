"""The contract's messages to the wire's, and back. No I/O, no policy."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from headgate import wire
from headgate.errors import FieldViolation
from headgate.system_prompt import SystemPromptOverride
from headgate.v1 import chat_pb2 as pb
from headgate.validate import NO_SCHEMA, is_json_object

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.struct_pb2 import Value

# protobuf readers stop at 100 nested messages, and an object in a Struct takes three.
MAX_NESTING = 30
_ROLES = {
    pb.ROLE_SYSTEM: "system",
    pb.ROLE_DEVELOPER: "developer",
    pb.ROLE_USER: "user",
    pb.ROLE_ASSISTANT: "assistant",
    pb.ROLE_TOOL: "tool",
}
_TOOL_CHOICE_MODES = {
    pb.TOOL_CHOICE_MODE_NONE: "none",
    pb.TOOL_CHOICE_MODE_AUTO: "auto",
    pb.TOOL_CHOICE_MODE_REQUIRED: "required",
}


class RequestReader:
    """Reads one ChatRequest; `wrong` collects what cannot be said on the wire."""

    def __init__(self) -> None:
        self.wrong: list[FieldViolation] = []

    def read(self, request: pb.ChatRequest) -> wire.ChatRequest:
        """The JSON body's struct; unset optional fields stay unset."""
        return wire.ChatRequest(
            messages=[self._message(f"messages[{i}]", m) for i, m in enumerate(request.messages)],
            model=request.model or None,
            temperature=_optional(request, "temperature"),
            top_p=_optional(request, "top_p"),
            max_tokens=_optional(request, "max_tokens"),
            stop=list(request.stop) or None,
            seed=_optional(request, "seed"),
            presence_penalty=_optional(request, "presence_penalty"),
            frequency_penalty=_optional(request, "frequency_penalty"),
            n=_optional(request, "n"),
            tools=[self._tool(f"tools[{i}]", t) for i, t in enumerate(request.tools)] or None,
            tool_choice=self._tool_choice(request),
            parallel_tool_calls=_optional(request, "parallel_tool_calls"),
            response_format=self._response_format(request),
            reasoning_effort=request.reasoning_effort or None,
            logprobs=True if request.HasField("logprobs") else None,
            top_logprobs=_optional(request, "logprobs"),
            user=request.user or None,
        )

    def system_prompt(self, request: pb.ChatRequest) -> SystemPromptOverride | None:
        """What the request says of the system prompt; None leaves it to the server."""
        if not request.HasField("system_prompt"):
            return None
        wish = request.system_prompt
        if wish.mode == pb.SYSTEM_PROMPT_MODE_NONE:
            return SystemPromptOverride("none")
        if wish.mode == pb.SYSTEM_PROMPT_MODE_REPLACE:
            if not wish.text:
                self._note("system_prompt.text", "is empty; REPLACE needs a text")
            return SystemPromptOverride("replace", wish.text)
        if wish.mode not in (pb.SYSTEM_PROMPT_MODE_UNSPECIFIED, pb.SYSTEM_PROMPT_MODE_SERVER):
            self._note("system_prompt.mode", f"{wish.mode} is no mode; SERVER, NONE or REPLACE")
        elif wish.text:
            self._note("system_prompt.text", "is set; that needs the mode REPLACE")
        return None

    def seconds(self, path: str, message: Duration, *, at_least: float = 0.0) -> float:
        """A Duration in seconds, checked against its lower bound."""
        value = message.seconds + message.nanos / 1e9
        if value < at_least:
            self._note(path, f"{value:g} s is not allowed; at least {at_least:g} s")
        return value

    def _note(self, field: str, description: str) -> None:
        self.wrong.append(FieldViolation(field, description))

    def _message(self, path: str, message: pb.ChatMessage) -> wire.Message:
        role = _ROLES.get(message.role)
        if role is None:
            allowed = ", ".join(pb.Role.Name(value) for value in _ROLES)
            self._note(f"{path}.role", f"{message.role} is not a role; allowed: {allowed}")
        if message.content and message.parts:
            self._note(f"{path}.parts", "content and parts are both set; use one of them")
        parts = [self._part(f"{path}.parts[{i}]", p) for i, p in enumerate(message.parts)]
        calls = [_tool_call(call) for call in message.tool_calls]
        return wire.Message(
            # An unknown role is reported above; this one lets the other rules be checked.
            role=role or "assistant",
            content=parts or _content(message, role),
            name=message.name or None,
            tool_calls=calls or None,
            tool_call_id=message.tool_call_id or None,
            reasoning_content=message.reasoning_content or None,
            refusal=message.refusal or None,
        )

    def _part(self, path: str, part: pb.ContentPart) -> wire.TextPart | wire.ImagePart:
        if part.WhichOneof("part") == "image":
            return wire.ImagePart(self._image(f"{path}.image", part.image))
        if not part.text:
            self._note(path, "is empty; set text or image")
        return wire.TextPart(part.text)

    def _image(self, path: str, image: pb.ImagePart) -> wire.ImageUrl:
        url = image.url
        if image.WhichOneof("source") == "data":
            if not image.mime_type:
                self._note(f"{path}.mime_type", "is missing; data needs one, such as image/png")
            url = f"data:{image.mime_type};base64,{base64.b64encode(image.data).decode()}"
        elif not url:
            self._note(path, "is empty; set url or data")
        return wire.ImageUrl(url, image.detail or None)

    def _tool(self, path: str, tool: pb.FunctionTool) -> wire.Tool:
        return wire.Tool(
            function=wire.FunctionSpec(
                name=tool.name,
                description=tool.description or None,
                parameters=self._schema(f"{path}.parameters", tool.parameters),
                strict=_optional(tool, "strict"),
            )
        )

    def _schema(self, path: str, text: str) -> msgspec.Raw | msgspec.UnsetType:
        if not text:
            return msgspec.UNSET
        if not is_json_object(text):
            self._note(path, NO_SCHEMA)
            return msgspec.UNSET
        return msgspec.Raw(text.encode())

    def _tool_choice(self, request: pb.ChatRequest) -> str | wire.NamedToolChoice | None:
        if not request.HasField("tool_choice"):
            return None
        choice = request.tool_choice
        if choice.function_name:
            return wire.NamedToolChoice(function=wire.FunctionName(choice.function_name))
        mode = _TOOL_CHOICE_MODES.get(choice.mode)
        if mode is None:
            self._note("tool_choice", "has no known mode and no function_name; set one of them")
        return mode

    def _response_format(self, request: pb.ChatRequest) -> wire.ResponseFormat | None:
        if not request.HasField("response_format"):
            return None
        kind = request.response_format.WhichOneof("format")
        if kind is None:
            self._note("response_format", "is empty; set text, json_object or json_schema")
            return None
        if kind != "json_schema":
            return wire.ResponseFormat(type=kind)
        shape = request.response_format.json_schema
        if not shape.name:
            self._note("response_format.json_schema.name", "is empty; a schema has a name")
        schema = wire.JsonSchema(
            name=shape.name,
            description=shape.description or None,
            schema=self._schema("response_format.json_schema.schema", shape.schema),
            strict=_optional(shape, "strict"),
        )
        return wire.ResponseFormat(type="json_schema", json_schema=schema)


def _optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def _content(message: pb.ChatMessage, role: str | None) -> str | None:
    """Text, or nothing; a tool's empty result and an empty prompt are sent as they are."""
    if message.content or role in ("tool", "system", "developer"):
        return message.content
    return None


def _tool_call(call: pb.FunctionCall) -> wire.ToolCall:
    return wire.ToolCall(
        id=call.id, function=wire.Function(name=call.name, arguments=call.arguments)
    )


def extra_from_struct(extra: Struct) -> dict[str, Any]:
    """A Struct as JSON values; its numbers are doubles, and whole ones go out as whole numbers."""
    return {name: _plain(value) for name, value in extra.fields.items()}


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "struct_value":
        return extra_from_struct(value.struct_value)
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    said = getattr(value, kind)
    if isinstance(said, float) and said.is_integer() and abs(said) < 2**53:
        return int(said)
    return said


def to_struct(fields: dict[str, Any]) -> Struct | None:
    """What the upstream said that has no field of the contract; None when there is nothing.

    A field that a Struct cannot say is left out: the answer is worth more than it is.
    """
    sayable = {name: value for name, value in fields.items() if _fits(value, MAX_NESTING)}
    return ParseDict(sayable, Struct()) if sayable else None


def _fits(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels > 0 and all(_fits(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_fits(item, levels - 1) for item in value)
    return not isinstance(value, int) or abs(value) <= sys.float_info.max
