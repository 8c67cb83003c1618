"""HTTP/2 by hand, for peers that no library would let one be (RFC 9113, RFC 7541)."""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4
MAX_FRAME = 16_384


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**options: int) -> bytes:
    """A SETTINGS frame; `window` is the only option."""
    pairs = [struct.pack(">HI", INITIAL_WINDOW_SIZE, options["window"])] if options else []
    return frame(SETTINGS, 0, 0, b"".join(pairs))


def _string(text: str) -> bytes:
    """A string as it is, behind its length in 7 bits and more (RFC 7541, section 5)."""
    word = text.encode()
    length, prefix = len(word), bytearray()
    if length < 127:
        prefix.append(length)
    else:
        prefix.append(127)
        length -= 127
        while length >= 128:
            prefix.append(length % 128 + 128)
            length //= 128
        prefix.append(length)
    return bytes(prefix) + word


def head(stream: int, path: str, authority: str, **more: str) -> bytes:
    """HEADERS of a gRPC call, and as many CONTINUATIONs as it takes; `_` stands for `-`."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
    } | {name.replace("_", "-"): value for name, value in more.items()}
    # Literals without indexing.
    block = b"".join(b"\0" + _string(name) + _string(value) for name, value in fields.items())
    pieces = [block[at : at + MAX_FRAME] for at in range(0, len(block), MAX_FRAME)]
    kinds = [HEADERS] + [CONTINUATION] * (len(pieces) - 1)
    flags = [0] * (len(pieces) - 1) + [END_HEADERS]
    return b"".join(
        frame(kind, flag, stream, piece)
        for kind, flag, piece in zip(kinds, flags, pieces, strict=True)
    )


def message(stream: int, payload: bytes, *, length: int | None = None) -> bytes:
    """DATA with the only message of a call, whatever its length is said to be."""
    prefix = struct.pack(">BI", 0, len(payload) if length is None else length)
    return frame(DATA, END_STREAM if length is None else 0, stream, prefix + payload)
