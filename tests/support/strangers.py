"""What strangers send: things that are no call, too large, too slow, or without credentials.

Each strike has a connection of its own and ends when the server has answered or closed it, or
after HOLD seconds when it is one that waits for the server to lose patience.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, NamedTuple

from headgate.v1 import chat_pb2 as pb
from support.http2 import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    head,
    message,
    settings,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine
    from typing import Any

    Strike = Callable[["Target"], Coroutine[Any, Any, str]]

CHAT = "/headgate.v1.ChatService/Chat"
GARBAGE = bytes(range(128, 256)) * 4
ASK = pb.ChatRequest(messages=[pb.ChatMessage(role=pb.ROLE_USER, content="Hello")])
BODY = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "stream": False}).encode()
BEGUN = frame(SETTINGS, 0, 0, b"") + frame(SETTINGS, ACK, 0, b"")
OPENING = PREFACE + BEGUN


class Target(NamedTuple):
    """Where to strike.

    Attributes:
        address: HOST:PORT.
        token: a good one, for what is wrong in another way.
        tls: None for plain text.
        hold: seconds that a slow stranger stays.
    """

    address: str
    token: str
    tls: ssl.SSLContext | None = None
    hold: float = 5.0


class Line:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, target: Target, *, plain: bool = False) -> Line:
        host, _, port = target.address.rpartition(":")
        tls = None if plain else target.tls
        name = "localhost" if tls else None
        return cls(*await asyncio.open_connection(host, int(port), ssl=tls, server_hostname=name))

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def closes(self, seconds: float) -> bool:
        """Whether the server closes it within this time; what it says is read away."""
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    async def status(self) -> str:
        """Of an HTTP/1.1 answer; `closed` without one."""
        try:
            line = await self._reader.readline()
        except OSError:
            return "closed"
        words = line.decode(errors="replace").split()
        return words[1] if len(words) > 1 else "closed"

    async def stream_end(self) -> str:
        """`ended` when call 1 has, `reset`, `goaway`, or `closed`."""
        try:
            while True:
                header = await self._reader.readexactly(9)
                size = int.from_bytes(header[:3], "big")
                await self._reader.readexactly(size)
                kind, flags = header[3], header[4]
                if kind == RST_STREAM:
                    return "reset"
                if kind == GOAWAY:
                    return "goaway"
                if kind in {HEADERS, DATA} and flags & END_STREAM:
                    return "ended"
        except (asyncio.IncompleteReadError, OSError):
            return "closed"

    def drop(self) -> None:
        self._writer.transport.abort()


async def _until_closed(target: Target, data: bytes, *, plain: bool = False) -> str:
    line = await Line.to(target, plain=plain)
    line.send(data)
    closed = await line.closes(target.hold)
    line.drop()
    return "closed" if closed else "held"


async def _call(target: Target, payload: bytes) -> str:
    line = await Line.to(target)
    line.send(OPENING + payload)
    end = await line.stream_end()
    line.drop()
    return end


async def _post(target: Target, data: bytes) -> str:
    line = await Line.to(target)
    line.send(data)
    status = await line.status()
    line.drop()
    return status


async def _drip(target: Target, data: bytes) -> str:
    """A byte now and then."""
    line = await Line.to(target)
    loop = asyncio.get_running_loop()
    end, closed = loop.time() + target.hold, False
    for byte in data:
        line.send(bytes([byte]))
        closed = await line.closes(0.5)
        if closed or loop.time() >= end:
            break
    line.drop()
    return "closed" if closed else "held"


async def garbage(target: Target) -> str:
    return await _until_closed(target, GARBAGE)


async def another_protocol(target: Target) -> str:
    return await _until_closed(target, b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n")


async def plain_text(target: Target) -> str:
    """Where TLS is spoken; where it is not, this is garbage of another kind."""
    return await _until_closed(target, b"\x16\x03\x01\xff\xff" + GARBAGE, plain=True)


async def half_a_handshake(target: Target) -> str:
    """A TLS record that does not get whole, or a preface that does not."""
    return await _until_closed(
        target, b"\x16\x03\x01\x02\x00\x01" if target.tls else b"PRI", plain=True
    )


async def silence(target: Target) -> str:
    return await _until_closed(target, b"", plain=True)


async def large_frame(target: Target) -> str:
    return await _call(target, b"\xff\xff\xff" + bytes([DATA, 0, 0, 0, 0, 1]))


async def broken_headers(target: Target) -> str:
    return await _call(target, frame(HEADERS, 4, 1, GARBAGE))


async def large_metadata(target: Target) -> str:
    return await _call(target, head(1, CHAT, target.address, x_large="x" * 65_536))


async def large_message(target: Target) -> str:
    """It only says so: 2 GiB are refused before they are sent."""
    call = head(1, CHAT, target.address, authorization=f"Bearer {target.token}")
    return await _call(target, call + message(1, b"x" * 100, length=2**31 - 1))


async def no_message(target: Target) -> str:
    call = head(1, CHAT, target.address, authorization=f"Bearer {target.token}")
    return await _call(target, call + message(1, GARBAGE))


async def wrong_token(target: Target) -> str:
    call = head(1, CHAT, target.address, authorization="Bearer headgate_stolen")
    return await _call(target, call + message(1, ASK.SerializeToString()))


async def no_token(target: Target) -> str:
    return await _call(target, head(1, CHAT, target.address) + message(1, ASK.SerializeToString()))


async def no_method(target: Target) -> str:
    return await _call(target, head(1, "/no.Such/Method", target.address) + message(1, b""))


async def no_body(target: Target) -> str:
    """A call whose message does not come."""
    return await _until_closed(
        target,
        OPENING + head(1, CHAT, target.address, authorization=f"Bearer {target.token}"),
    )


async def resets(target: Target) -> str:
    """Twenty calls on one connection, each taken back at once."""
    calls = [
        head(number, CHAT, target.address) + frame(RST_STREAM, 0, number, b"\0\0\0\x08")
        for number in range(1, 41, 2)
    ]
    line = await Line.to(target)
    line.send(OPENING + b"".join(calls))
    await line.closes(0.2)
    line.drop()
    return "dropped"


async def slow_preface(target: Target) -> str:
    return await _drip(target, PREFACE + settings())


def _head(target: Target, length: int | str, *more: str, token: str | None = None) -> bytes:
    lines = [
        "POST /api HTTP/1.1",
        f"Host: {target.address}",
        f"Content-Length: {length}",
        *([] if token is None else [f"Authorization: Bearer {token}"]),
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def http_no_length(target: Target) -> str:
    return await _post(target, _head(target, "many"))


async def http_large_head(target: Target) -> str:
    return await _post(target, _head(target, 0, f"x-large: {'x' * 65_536}"))


async def http_large_body(target: Target) -> str:
    return await _post(target, _head(target, 2**40, token=target.token) + b"x" * 100)


async def http_no_json(target: Target) -> str:
    deep = b"[" * 5_000
    return await _post(target, _head(target, len(deep), token=target.token) + deep)


async def http_no_token(target: Target) -> str:
    return await _post(target, _head(target, len(BODY)) + BODY)


async def http_wrong_token(target: Target) -> str:
    return await _post(target, _head(target, len(BODY), token="headgate_stolen") + BODY)


async def http_no_path(target: Target) -> str:
    return await _post(target, b"GET /no/such/path HTTP/1.1\r\nHost: gate\r\n\r\n")


async def http_slow_head(target: Target) -> str:
    return await _drip(target, _head(target, 100))


async def http_slow_body(target: Target) -> str:
    return await _until_closed(target, _head(target, 1000, token=target.token) + b'{"messages"')


class Kind(NamedTuple):
    """A way to strike, and the ends that are right."""

    category: str
    strike: Strike
    ends: frozenset[str]


def _kinds(category: str, ends: str, *strikes: Strike) -> list[Kind]:
    return [Kind(category, strike, frozenset(ends.split())) for strike in strikes]


OVER_GRPC = [
    *_kinds("malformed", "closed", garbage, another_protocol, plain_text),
    *_kinds("malformed", "ended reset goaway closed", broken_headers),
    *_kinds("malformed", "ended", no_message, no_method),
    *_kinds("malformed", "dropped", resets),
    *_kinds("oversized", "goaway closed", large_frame),
    *_kinds("oversized", "ended reset", large_metadata, large_message),
    *_kinds("slow", "held closed", half_a_handshake, silence, slow_preface, no_body),
    *_kinds("unauthenticated", "ended", wrong_token, no_token),
]
OVER_HTTP = [
    *_kinds("malformed", "400 closed", garbage, plain_text, http_no_length),
    *_kinds("malformed", "400", http_no_json),
    *_kinds("malformed", "404", http_no_path),
    *_kinds("oversized", "400 431", http_large_head),
    *_kinds("oversized", "413", http_large_body),
    *_kinds("slow", "held closed", half_a_handshake, silence, http_slow_head, http_slow_body),
    *_kinds("unauthenticated", "401", http_no_token, http_wrong_token),
]
