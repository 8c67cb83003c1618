r"""Joins characters that an upstream cut in two UTF-16 halves.

Servers that slice text by UTF-16 units send `"\ud83d"` in one delta and `"\ude00"` in the next.
Neither half may stand in a protobuf string (RFC 3629), so the first waits for the second.
Where texts do not come in pieces, a half can only be an orphan, and becomes U+FFFD at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from headgate import wire

if TYPE_CHECKING:
    from collections.abc import Hashable

# The texts that come in pieces, as the JSON calls them.
_IN_PIECES = frozenset({"content", "reasoning_content", "reasoning", "refusal", "arguments"})


def parse_with_halves(data: bytes) -> wire.Completion:
    """Decode JSON that strict decoders refuse for a lone half.

    Only the texts that come in pieces still hold surrogates, for a HalfJoiner.

    Raises:
        ValueError: it is no JSON for other reasons.
        msgspec.ValidationError: it has another shape.
    """
    return msgspec.convert(_without_orphans(json.loads(data), _IN_PIECES), wire.Completion)


def _without_orphans(value: Any, in_pieces: frozenset[str]) -> Any:
    if isinstance(value, str):
        return _joined(value)
    if isinstance(value, list):
        return [_without_orphans(item, in_pieces) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        _joined(key): item
        if key in in_pieces and isinstance(item, str)
        # Arguments may be an object instead of a text, and then they are whole.
        else _without_orphans(item, frozenset() if key == "arguments" else in_pieces)
        for key, item in value.items()
    }


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class HalfJoiner:
    """Keeps at most one waiting half per text."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, str] = {}

    def join(self, key: Hashable, text: str) -> str:
        """The text with its halves joined; a last half waits, an orphan becomes U+FFFD."""
        if not text:
            return text
        text = self._waiting.pop(key, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            self._waiting[key] = text[-1]
            text = text[:-1]
        return _joined(text)
