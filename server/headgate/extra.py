"""What an upstream says that has no field of the contract, as much of it as one answer holds."""

from __future__ import annotations

from typing import Any

import msgspec

from headgate import wire

# Bytes of JSON: with all of it the last message of a stream is still far from any limit.
MAX_EXTRA = 64 * 1024
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NOT_EXTRA = wire.KNOWN_COMPLETION_FIELDS | {"obfuscation"}


class ExtraFields:
    """Follows one answer through its events; a field that comes again replaces what it was.

    A field that does not fit beside the others any more is left out, and so is one that strict
    decoders refuse: the answer is worth more than it is.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._free = MAX_EXTRA

    def of(self, data: bytes) -> dict[str, Any]:
        """Those of one event, or of a whole body."""
        try:
            fields = _decode_fields(data)
        except _UNREADABLE:
            return {}
        found: dict[str, Any] = {}
        for name, value in fields.items():
            if name not in _NOT_EXTRA:
                self._put(name, value, found)
        return found

    def _put(self, name: str, value: msgspec.Raw, found: dict[str, Any]) -> None:
        size = len(f'"{name}":,'.encode()) + len(value)
        free = self._free + self._sizes.get(name, 0) - size
        if free < 0:
            return
        try:
            found[name] = msgspec.json.decode(value)
        except _UNREADABLE:
            return
        self._sizes[name] = size
        self._free = free
