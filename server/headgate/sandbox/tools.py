"""Decides which of the offered functions the sandbox calls, and with what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from headgate import wire
from headgate.sandbox.schema import Hints, fill, parse_schema

if TYPE_CHECKING:
    from headgate.sandbox.conversation import Conversation

_MOST_CALLS = 8
# Words in a function's name that say nothing about what it is for.
_COMMON = frozenset({"about", "check", "create", "fetch", "search", "update", "current", "query"})


def calls(request: wire.ChatRequest, talk: Conversation) -> list[wire.Function]:
    """The calls to make, their arguments as JSON text; none when the sandbox should just answer.

    A named or required function is called always; with `auto`, one that the question names,
    unless a function has just returned.
    """
    tools = [tool.function for tool in request.tools or ()]
    choice = request.tool_choice or "auto"
    if isinstance(choice, wire.NamedToolChoice):
        chosen = [tool for tool in tools if tool.name == choice.function.name]
    elif choice == "none" or (choice == "auto" and talk.tool_result is not None):
        chosen = []
    else:
        chosen = [tool for tool in tools if _named(tool.name, talk.question)]
        if choice == "required":
            chosen = chosen or tools[:1]
    most = 1 if request.parallel_tool_calls is False else _MOST_CALLS
    return [_call(tool, talk.question) for tool in chosen[:most]]


def _named(name: str, question: str) -> bool:
    """Whether the question holds the name, or a word of it that says something."""
    said = question.casefold()
    parts = re.findall(r"[A-Z]?[a-z]+", name)
    words = [part.casefold() for part in parts if len(part) >= 5]
    telling = [re.escape(word) for word in words if word not in _COMMON]
    return name.casefold() in said or any(re.search(rf"\b{word}\b", said) for word in telling)


def _call(tool: wire.FunctionSpec, question: str) -> wire.Function:
    schema = parse_schema(tool.parameters)
    arguments = fill(schema, Hints.of(question)) if schema else {}
    return wire.Function(tool.name, msgspec.json.encode(arguments).decode())
