"""JSON Web Tokens that were found to hold; knows nothing of how that is found out."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Holder(NamedTuple):
    """Whose token it is, and until when, in seconds since 1970."""

    caller: str
    until: float


class Verified:
    """Tokens that have been found to hold, because checking one costs as much as a short call.

    What was found counts until the token ends or the keys change.

    Args:
        room: how many are remembered, by hash; beyond it the oldest is forgotten.
    """

    def __init__(self, room: int = 10_000) -> None:
        self._room = room
        self._keys: object = None
        self._holders: dict[bytes, Holder] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def caller(self, token: str, keys: object, now: float) -> str | None:
        """Whose token it is, if it was found to hold with these very keys and still does."""
        if keys is not self._keys:
            self._keys = keys
            self._holders.clear()
        digest = _digest(token)
        holder = self._holders.get(digest)
        if holder is None or now < holder.until:
            return holder and holder.caller
        del self._holders[digest]
        return None

    def remember(self, token: str, keys: object, holder: Holder) -> None:
        """It holds, by these keys."""
        if keys is not self._keys:
            return
        if len(self._holders) >= self._room:
            del self._holders[next(iter(self._holders))]
        self._holders[_digest(token)] = holder


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
