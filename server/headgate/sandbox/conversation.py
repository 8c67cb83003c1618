"""What the sandbox notices in a conversation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from headgate import wire
from headgate.sandbox.tokenizer import count_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

_SYSTEM_ROLES = ("system", "developer")
# It looks at so much and no more, so that a huge conversation is no work.
_MESSAGES_READ = 200
_CHARACTERS_READ = 2_000
_MESSAGES_COUNTED = 10_000
# What the roles and the ends of a message cost.
_TOKENS_PER_MESSAGE = 3
_TOKENS_PER_IMAGE = 85

TELLS_NAME = re.compile(
    r"\b(?:my name is|i am called|call me|je m'appelle|ich heiße|me llamo)\s+([^\W\d_][\w'-]{0,40})"
    r"|我叫(?!什么)(\w{1,8})",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """A conversation as the sandbox understands it.

    Attributes:
        question: the last thing that the user said, its first 2,000 characters.
        before: what the user said before that, or empty.
        system: the system prompts, or empty.
        name: the user's name, as far as one was told.
        tool_result: what a function has just returned; None when the user spoke last.
        messages: how many there are without system prompts.
        images: how many pictures the last message shows.
        tokens: what the whole conversation counts as a prompt.
    """

    question: str
    before: str = ""
    system: str = ""
    name: str = ""
    tool_result: str | None = None
    messages: int = 1
    images: int = 0
    tokens: int = 0


def read(messages: Sequence[wire.Message]) -> Conversation:
    """Read a conversation; never fails, whatever it holds."""
    recent = messages[-_MESSAGES_READ:]
    asked = [text_of(message) for message in recent if message.role == "user"]
    system = (text_of(message) for message in messages if message.role in _SYSTEM_ROLES)
    last = messages[-1] if messages else wire.Message(role="user")
    return Conversation(
        question=asked[-1] if asked else "",
        before=asked[-2] if len(asked) > 1 else "",
        system="\n".join(islice(system, _MESSAGES_READ))[:_CHARACTERS_READ],
        name=_name(asked),
        tool_result=text_of(last) if last.role in ("tool", "function") else None,
        messages=sum(message.role not in _SYSTEM_ROLES for message in messages),
        images=_images(last),
        tokens=_all_tokens(messages),
    )


def text_of(message: wire.Message, limit: int = _CHARACTERS_READ) -> str:
    """The words of a message, its first `limit` characters."""
    if isinstance(message.content, str):
        return message.content[:limit].strip()
    parts = [part.text for part in message.content or () if isinstance(part, wire.TextPart)]
    return " ".join(part[:limit] for part in parts[:_MESSAGES_READ])[:limit].strip()


def _name(asked: Sequence[str]) -> str:
    """The name that was told last."""
    for text in reversed(asked):
        if found := TELLS_NAME.search(text):
            return found[1] or found[2]
    return ""


def _images(message: wire.Message) -> int:
    parts = message.content if isinstance(message.content, list) else ()
    return sum(isinstance(part, wire.ImagePart) for part in parts)


def _all_tokens(messages: Sequence[wire.Message]) -> int:
    """Exact for 10,000 messages; any more count as these do on average."""
    counted = sum(map(_tokens, messages[:_MESSAGES_COUNTED]))
    return counted * max(1, len(messages)) // max(1, min(len(messages), _MESSAGES_COUNTED))


def _tokens(message: wire.Message) -> int:
    """All that is text in a message counts, and every picture alike."""
    content = message.content if message.content is not None else ""
    parts = [wire.TextPart(content)] if isinstance(content, str) else content
    texts = [part.text for part in parts if isinstance(part, wire.TextPart)]
    calls = [call.function for call in message.tool_calls or ()]
    texts += [text for call in calls for text in (call.name, call.arguments)]
    texts += [text for text in (message.name, message.reasoning_content) if text]
    images = len(parts) - sum(isinstance(part, wire.TextPart) for part in parts)
    return _TOKENS_PER_MESSAGE + sum(map(count_tokens, texts)) + _TOKENS_PER_IMAGE * images
