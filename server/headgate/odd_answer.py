"""Answers that say something in another shape than OpenAI's, for which the rest must not be lost.

Figures of tokens that are no counts, such as 10.0 or "5"; log probabilities that are null or odd;
content in parts, as Mistral's reasoning models send it: {"type": "thinking", "thinking": [...]}.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from headgate import wire

_PLACES = re.compile(r"`\$\.usage|\.logprobs|\.(?:delta|message)\.content`")


def is_odd(error: msgspec.ValidationError) -> bool:
    """Whether it is one of these that keeps an answer from being read."""
    return _PLACES.search(str(error)) is not None


def completion_of(data: bytes) -> wire.Completion:
    """The answer with what can be made of them.

    Raises:
        msgspec.DecodeError: it is broken behind them, or other parts have another shape, too.
    """
    answer = msgspec.json.decode(data)
    if "usage" in answer:
        answer["usage"] = _counts(answer["usage"])
    for choice in _objects(answer.get("choices")):
        choice["logprobs"] = _logprobs(choice.get("logprobs"))
        for said in _objects([choice.get("delta"), choice.get("message")]):
            _join_parts(said)
    return msgspec.convert(answer, wire.Completion)


def _objects(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _counts(figures: Any) -> Any:
    if not isinstance(figures, dict):
        return None
    return {
        name: _counts(value) if name.endswith("_details") else _count(value)
        for name, value in figures.items()
    }


def _count(value: Any) -> int | None:
    try:
        return msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError:
        return None


def _logprobs(said: Any) -> Any:
    """As they are, without alternatives where those are null; None for what is none at all."""
    if isinstance(said, dict):
        for token in _objects(said.get("content")) + _objects(said.get("refusal")):
            token["top_logprobs"] = token.get("top_logprobs") or []
    try:
        msgspec.convert(said, wire.Logprobs | None)
    except msgspec.ValidationError:
        return None
    return said


def _join_parts(said: dict[str, Any]) -> None:
    parts = said.get("content")
    if isinstance(parts, list):
        said["content"] = _text(parts, "text")
        said["reasoning_content"] = said.get("reasoning_content") or _text(parts, "thinking")


def _text(parts: Any, name: str) -> str:
    """All that stands under this name in the parts: text, or parts with texts."""
    found = [part.get(name) for part in _objects(parts)]
    return "".join(said if isinstance(said, str) else _text(said, "text") for said in found)
