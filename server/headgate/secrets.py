"""Keeps secrets out of messages: upstreams like to quote the key that they refuse (promise 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"
# Shorter beginnings give nothing away, and ordinary words end on them.
_TELLING = 6


class Secrets:
    """Texts that no message may hold."""

    def __init__(self, secrets: Iterable[str | None]) -> None:
        # The longest first, because one secret may be a part of another.
        self._secrets = sorted(
            (s for s in secrets if s and len(s) >= _TELLING), key=len, reverse=True
        )

    def conceal(self, message: str) -> str:
        """The message with every secret hidden, also one that was cut off at its end."""
        for secret in self._secrets:
            message = message.replace(secret, HIDDEN)
            for length in range(len(secret) - 1, _TELLING - 1, -1):
                if message.endswith(secret[:length]):
                    message = message[:-length] + HIDDEN
                    break
        return message
