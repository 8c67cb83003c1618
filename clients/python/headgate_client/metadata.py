"""gRPC metadata from what people write, refused here where gRPC would fail the call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

Metadata = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]

_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_VALUES: Final = "allowed: printable ASCII, and bytes of any kind for a key that ends in -bin"


def metadata_pairs(metadata: Metadata | None) -> tuple[tuple[str, str | bytes], ...]:
    """GRPC metadata from a mapping or from pairs; keys become lower case, as gRPC wants them.

    Raises:
        TypeError, ValueError: gRPC cannot send it. Values may be secret: of one that is wrong no
            more is told than the character that is.
    """
    if metadata is None:
        return ()
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
    try:
        split = [(key, value) for key, value in pairs]
    except (TypeError, ValueError):
        kind = type(metadata).__name__
        raise TypeError(f"metadata is of type {kind}; allowed: a mapping, or pairs") from None
    return tuple([_sendable(key, value) for key, value in split])


def _sendable(key: str, value: str | bytes) -> tuple[str, str | bytes]:
    if not isinstance(key, str) or not _KEY.fullmatch(lower := key.lower()):
        raise ValueError(f"metadata has the key {key!r}; allowed: letters, digits, '_', '-', '.'")
    binary = lower.endswith("-bin")
    if not isinstance(value, bytes if binary else str | bytes):
        raise TypeError(f"metadata {key!r} is of type {type(value).__name__}; {_VALUES}")
    text = value if isinstance(value, str) else value.decode("latin-1")
    if not binary and (wrong := _UNPRINTABLE.search(text)):
        raise ValueError(f"metadata {key!r} has {wrong[0]!r} in it; {_VALUES}")
    return lower, value
