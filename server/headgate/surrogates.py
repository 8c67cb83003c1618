r"""Joins characters that an upstream cut in two UTF-16 halves.

Servers that slice text by UTF-16 units send `"\ud83d"` in one delta and `"\ude00"` in the next.
Neither half may stand in a protobuf string (RFC 3629), so the first waits for the second.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from headgate import wire

if TYPE_CHECKING:
    from collections.abc import Hashable


def parse_with_halves(data: bytes) -> wire.Completion:
    """Decode JSON that strict decoders refuse for a lone half; texts may hold surrogates.

    Raises:
        ValueError: it is no JSON for other reasons.
        msgspec.ValidationError: it has another shape.
    """
    return msgspec.convert(json.loads(data), wire.Completion)


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
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
