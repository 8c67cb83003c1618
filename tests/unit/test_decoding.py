"""What comes out of a coded body, and that it comes in bounded pieces."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

import httpx
import pytest

from headgate.errors import UpstreamProtocol
from headgate.http_upstream.decoding import MAX_PIECE, decoded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DATA = b"".join(b"data: %d\n\n" % i for i in range(30_000))


class Source:
    """A body in pieces of one size; counts what was asked of it."""

    def __init__(self, data: bytes, size: int = 2**20) -> None:
        self._pieces = [data[i : i + size] for i in range(0, len(data), size)]
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        return self._pieces.pop(0) if self._pieces else b""


async def pieces(read: Callable[[], Awaitable[bytes]]) -> list[bytes]:
    found = []
    while data := await read():
        found.append(data)
    return found


def bare(data: bytes) -> bytes:
    """RFC 1951 without its wrapping."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("X-GZip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare),
    ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    ("identity, gzip", gzip.compress),
]


@pytest.mark.parametrize(("codings", "pack"), CODINGS)
@pytest.mark.parametrize("size", [1, 2, 1000, 2**20])
async def test_the_same_bytes_however_they_are_cut(
    codings: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    """Every piece holds something, and none more than the bound."""
    found = await pieces(decoded(Source(pack(DATA), size).read, codings))
    assert b"".join(found) == DATA
    assert max(map(len, found)) <= MAX_PIECE


@pytest.mark.parametrize(("codings", "pack"), CODINGS)
async def test_no_more_is_decoded_than_is_read(
    codings: str, pack: Callable[[bytes], bytes]
) -> None:
    """A hundred thousand bytes for each one: the first read brings one piece of them."""
    source = Source(pack(bytes(50_000_000)))
    read = decoded(source.read, codings)
    assert [len(await read()) for _ in range(3)] == [MAX_PIECE] * 3
    assert source.reads == 1


@pytest.mark.parametrize("codings", ["", "identity", "utf-8", "none, "])
async def test_what_is_not_coded_is_read_as_it_is(codings: str) -> None:
    """No layer lies between."""
    source = Source(DATA)
    assert decoded(source.read, codings) == source.read


@pytest.mark.parametrize("coding", ["br", "zstd", "compress"])
async def test_a_coding_that_was_not_asked_for(coding: str) -> None:
    """It is named, and so is what was."""
    with pytest.raises(UpstreamProtocol, match=rf"encoding {coding}, .* gzip and deflate"):
        decoded(Source(DATA).read, f"gzip, {coding.upper()}")


@pytest.mark.parametrize("codings", ["gzip", "deflate", "deflate, gzip"])
async def test_bytes_of_another_kind(codings: str) -> None:
    """An error of the client's, which the table knows."""
    with pytest.raises(httpx.DecodingError):
        await pieces(decoded(Source(b"\xff no coding").read, codings))


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_bytes_that_break_behind_good_ones(pack: Callable[[bytes], bytes]) -> None:
    """What came before is handed out."""
    packed = bytearray(pack(DATA))
    packed[-1] ^= 1
    codings = "gzip" if pack is gzip.compress else "deflate"
    read = decoded(Source(bytes(packed)).read, codings)
    assert await read() == DATA[:MAX_PIECE]
    with pytest.raises(httpx.DecodingError):
        await pieces(read)


@pytest.mark.parametrize(("codings", "pack"), CODINGS)
async def test_what_is_cut_off_ends_there(codings: str, pack: Callable[[bytes], bytes]) -> None:
    """Whether the answer is whole, its own end says."""
    packed = pack(DATA)
    found = b"".join(await pieces(decoded(Source(packed[:-20]).read, codings)))
    assert 0 < len(found) < len(DATA)
    assert DATA.startswith(found)
    assert await pieces(decoded(Source(packed[:1]).read, codings)) == []


async def test_what_stands_behind_the_end_is_read_over() -> None:
    """It is read to its end, so that the connection can be used again, and says nothing."""
    source = Source(gzip.compress(b"all") + b"more" * 1000, 100)
    assert await pieces(decoded(source.read, "gzip")) == [b"all"]
    assert source.reads > 40
