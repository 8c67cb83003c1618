"""Keeps secrets out of messages: upstreams like to quote the key that they refuse (promise 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"
# What is shorter gives nothing away, and would hide ordinary words: Bearer is one.
TELLING = 8


def telling(secrets: Iterable[str | None]) -> list[str]:
    """The texts that give one of the secrets away, the longest first: one may be part of another.

    These are the secrets and each of their words, for upstreams quote a `Bearer TOKEN` without its
    Bearer; what is shorter than TELLING is left out.
    """
    texts = {text for secret in secrets if secret for text in (secret, *secret.split())}
    return sorted((text for text in texts if len(text) >= TELLING), key=len, reverse=True)


class Secrets:
    """Texts that no message may hold."""

    def __init__(self, secrets: Iterable[str | None]) -> None:
        self._secrets = telling(secrets)

    def conceal(self, message: str) -> str:
        """The message with every secret hidden, also one that was cut off at its end."""
        for secret in self._secrets:
            message = message.replace(secret, HIDDEN)
            for length in range(len(secret) - 1, TELLING - 1, -1):
                if message.endswith(secret[:length]):
                    message = message[:-length] + HIDDEN
                    break
        return message
