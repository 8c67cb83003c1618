"""Puts the configured system prompt into a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from headgate import wire
from headgate.errors import FieldViolation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Mode = Literal["if_absent", "prepend", "replace", "none"]
_SYSTEM_ROLES = frozenset({"system", "developer"})


class SystemPromptOverride(NamedTuple):
    """What a request says itself: `none` for no prompt, or `replace` with its own text."""

    mode: Literal["none", "replace"]
    text: str = ""


class SystemPrompt:
    """The configured prompt and its policy; `mode` as in the settings table."""

    def __init__(self, text: str, mode: Mode, *, allow_override: bool) -> None:
        self._text = text
        self._mode = mode
        self._allow_override = allow_override

    def violations(self, override: SystemPromptOverride | None) -> Iterator[FieldViolation]:
        """Why a request's own wish cannot be granted, if it cannot."""
        if override is not None and not self._allow_override:
            yield _FORBIDDEN

    def apply(
        self, messages: Sequence[wire.Message], override: SystemPromptOverride | None = None
    ) -> tuple[list[wire.Message], bool]:
        """The messages to send, and whether a prompt was put in; see `violations` first."""
        text, mode = self._text, self._mode
        if override is not None:
            text, mode = override.text, override.mode
        if mode == "none" or not text:
            return list(messages), False
        own = any(message.role in _SYSTEM_ROLES for message in messages)
        if mode == "if_absent" and own:
            return list(messages), False
        kept = [m for m in messages if mode != "replace" or m.role not in _SYSTEM_ROLES]
        return [wire.Message(role="system", content=text), *kept], True


_FORBIDDEN = FieldViolation(
    "system_prompt",
    "this server does not let a request choose its system prompt"
    " (system_prompt.allow_override is false); leave the field out",
)
