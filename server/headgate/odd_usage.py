"""Answers whose figures of tokens are no counts, such as 10.0 or "5": what can be read is kept."""

from __future__ import annotations

from typing import Any

import msgspec

from headgate import wire

_UNREADABLE = "`$.usage"


def is_about_usage(error: msgspec.ValidationError) -> bool:
    """Whether the figures are what keeps an answer from being read."""
    return _UNREADABLE in str(error)


def completion_of(data: bytes) -> wire.Completion:
    """The answer without the figures that cannot be counts; it is worth more than they are.

    Raises:
        msgspec.DecodeError: it is broken behind them, or other parts have another shape, too.
    """
    answer = msgspec.json.decode(data)
    answer["usage"] = _counts(answer["usage"])
    return msgspec.convert(answer, wire.Completion)


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
