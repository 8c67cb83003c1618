"""Content codings (RFC 9110, section 8.4), taken off in bounded pieces.

A few hundred KiB may decode to hundreds of MiB, so no more is decoded than is read.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

import httpx

from headgate.errors import UpstreamProtocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Read = Callable[[], Awaitable[bytes]]

# The most that one read brings.
MAX_PIECE = 64 * 1024
_GZIP = zlib.MAX_WBITS | 16
_WRAPPED = zlib.MAX_WBITS
_BARE = -zlib.MAX_WBITS
_NOT_ASKED_FOR = frozenset({"br", "zstd", "compress", "x-compress"})


def decoded(read: Read, codings: str) -> Read:
    """As `read`, with the codings of a Content-Encoding taken off.

    Args:
        read: brings bytes, at least one; none at the end.
        codings: their names, in the order in which they were applied; most often none.

    Returns:
        `read` itself where nothing was coded; else what raises httpx.DecodingError, too, when
        the bytes are not what the codings say. What is cut off ends where it was cut.

    Raises:
        UpstreamProtocol: a coding that was not asked for.
    """
    for coding in reversed(codings.lower().split(",")):
        name = coding.strip()
        if name in _NOT_ASKED_FOR:
            raise UpstreamProtocol(
                f"the upstream's answer has the content encoding {name},"
                " and only gzip and deflate were asked for"
            )
        if name in {"gzip", "x-gzip"}:
            read = _Decoder(read, _GZIP).read
        elif name == "deflate":
            read = _Decoder(read).read
        # All else is no coding (utf-8, none): who says it sends what was not coded.
    return read


class _Decoder:
    """Takes one coding off; without window bits, deflate, whose first two bytes tell them."""

    def __init__(self, read: Read, window_bits: int | None = None) -> None:
        self._read = read
        self._zlib = None if window_bits is None else zlib.decompressobj(window_bits)
        self._left = b""
        self._may_have_more = False

    async def read(self) -> bytes:
        """At most MAX_PIECE bytes, at least one; none at the end."""
        while True:
            if self._may_have_more:
                await asyncio.sleep(0)  # others want their turn between two of many pieces
            elif data := await self._read():
                self._left += data
            else:
                return b""
            if piece := self._decode():
                return piece

    def _decode(self) -> bytes:
        if self._zlib is None:
            if len(self._left) < 2:
                return b""
            self._zlib = zlib.decompressobj(_WRAPPED if _is_wrapped(self._left) else _BARE)
        # What stands behind the end says nothing.
        piece = b"" if self._zlib.eof else _decompress(self._zlib, self._left)
        self._left = self._zlib.unconsumed_tail
        # A full piece may leave more inside of zlib, even when all bytes went in.
        self._may_have_more = len(piece) == MAX_PIECE
        return piece


def _decompress(stream: zlib._Decompress, data: bytes) -> bytes:
    try:
        return stream.decompress(data, MAX_PIECE)
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from error


def _is_wrapped(start: bytes) -> bool:
    """Deflate is zlib's format (RFC 1950), but some servers send what is inside it (RFC 1951)."""
    return start[0] & 0x8F == 0x08 and int.from_bytes(start[:2], "big") % 31 == 0
