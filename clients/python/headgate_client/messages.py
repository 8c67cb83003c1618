"""Messages as people write them become messages of the contract, and back to text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from headgate_client.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

MessageLike = str | Mapping[str, Any] | pb.ChatMessage
Messages = MessageLike | Iterable[MessageLike]

_ROLES: Final = {
    "system": pb.ROLE_SYSTEM,
    "developer": pb.ROLE_DEVELOPER,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
    "tool": pb.ROLE_TOOL,
}
_NAMES: Final = {number: name for name, number in _ROLES.items()}
_ALLOWED: Final = "a str, a dict or a ChatMessage"
_TEXT_KEYS: Final = ("name", "tool_call_id", "reasoning_content", "refusal")
_KEYS: Final = {"role", "content", "tool_calls", *_TEXT_KEYS}


def messages_of(messages: Messages) -> list[pb.ChatMessage]:
    """One message or many; a plain string is what the user says."""
    if isinstance(messages, str | Mapping | pb.ChatMessage):
        return [message_of(messages)]
    if not isinstance(messages, Iterable):
        raise TypeError(f"messages is {shown(messages)}; allowed: {_ALLOWED}, or a list of these")
    return [message_of(message) for message in messages]


def message_of(message: MessageLike) -> pb.ChatMessage:
    """A string (what the user says), an OpenAI-style dict, or a ChatMessage, which is not copied.

    Raises:
        TypeError: it is none of these.
        ValueError: the dict has an unknown role or key, or a part of an unknown type.
    """
    if isinstance(message, pb.ChatMessage):
        return message
    if isinstance(message, str):
        return pb.ChatMessage(role=pb.ROLE_USER, content=message)
    if isinstance(message, Mapping):
        return _from_mapping(message)
    raise TypeError(f"a message is {_ALLOWED}, not {type(message).__name__}")


def copy_of(message: pb.ChatMessage) -> pb.ChatMessage:
    """An independent copy."""
    copy = pb.ChatMessage()
    copy.CopyFrom(message)
    return copy


def role_name(message: pb.ChatMessage) -> str:
    """`system`, `developer`, `user`, `assistant` or `tool`."""
    return _NAMES.get(message.role, "unknown")


def first_message(response: pb.ChatResponse) -> pb.ChatMessage:
    """The first choice's message; an empty one when there is no choice."""
    if not response.choices:
        return pb.ChatMessage(role=pb.ROLE_ASSISTANT)
    return response.choices[0].message


def text(response: pb.ChatResponse) -> str:
    """The text of a response: its first choice's content."""
    return first_message(response).content


def shown(value: object) -> str:
    """A value as an error shows it: short."""
    whole = repr(value)
    return whole if len(whole) <= 80 else f"{whole[:77]}..."


def _from_mapping(message: Mapping[str, Any]) -> pb.ChatMessage:
    given = {key: value for key, value in message.items() if value not in (None, [], {})}
    if unknown := sorted(given.keys() - _KEYS):
        raise ValueError(f"unknown key {unknown[0]!r} in a message; allowed: {_list(_KEYS)}")
    texts: dict[str, Any] = {key: _text(key, given[key]) for key in _TEXT_KEYS if key in given}
    return pb.ChatMessage(
        role=_role(given.get("role")),
        **_content(given.get("content", "")),
        tool_calls=[_call(call) for call in _calls(given.get("tool_calls", ()))],
        **texts,
    )


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{key!r} in a message is {shown(value)}; allowed: a str")
    return value


def _calls(value: object) -> Iterable[object]:
    if not isinstance(value, Iterable):
        raise TypeError(f"'tool_calls' in a message is {shown(value)}; allowed: a list")
    return value


def _role(name: object) -> pb.Role.ValueType:
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise ValueError(f"unknown role {name!r} in a message; allowed: {_list(_ROLES)}")
    return role


def _content(content: str | Sequence[object]) -> dict[str, Any]:
    if isinstance(content, str):
        return {"content": content}
    if not isinstance(content, list | tuple):
        kind = type(content).__name__
        raise ValueError(f"`content` is a str or a list of parts, not {kind}")  # noqa: TRY004
    return {"parts": [_part(part) for part in content]}


def _part(part: object) -> pb.ContentPart:
    match part:
        case pb.ContentPart():
            return part
        case str():
            return pb.ContentPart(text=part)
        case {"type": "text", "text": str(words)}:
            return pb.ContentPart(text=words)
        case {"type": "image_url", "image_url": {"url": str(url), **options}}:
            return pb.ContentPart(
                image=pb.ImagePart(url=url, detail=str(options.get("detail") or ""))
            )
        case {"type": "image_url", "image_url": str(url)}:
            return pb.ContentPart(image=pb.ImagePart(url=url))
        case {"type": "image", "data": bytes(data), "mime_type": str(mime_type)}:
            return pb.ContentPart(image=pb.ImagePart(data=data, mime_type=mime_type))
    raise ValueError(
        f"unknown part {shown(part)} in a message; allowed: a str, "
        '{"type": "text", "text": ...}, {"type": "image_url", "image_url": {"url": ...}}, '
        '{"type": "image", "data": bytes, "mime_type": ...}'
    )


def _call(call: object) -> pb.FunctionCall:
    match call:
        case pb.FunctionCall():
            return call
        case {"function": {"name": str(name), "arguments": arguments}, **rest}:
            return _function_call(rest.get("id"), name, arguments)
        case {"name": str(name), "arguments": arguments, **rest}:
            return _function_call(rest.get("id"), name, arguments)
    raise ValueError(
        f"unknown tool call {shown(call)} in a message; "
        'allowed: {"id": ..., "function": {"name": ..., "arguments": ...}}'
    )


def _function_call(call_id: object, name: str, arguments: object) -> pb.FunctionCall:
    return pb.FunctionCall(id=str(call_id or ""), name=name, arguments=json_text(arguments))


def json_text(value: object) -> str:
    """JSON as text: a string is taken to be JSON already."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
