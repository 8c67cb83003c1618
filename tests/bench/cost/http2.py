"""A caller of gRPC that costs little: it writes requests from prebuilt bytes and counts frames.

A gRPC library's reader needs more CPU for a message than the gateway, so on few cores it would be
the bottleneck that is measured. This one speaks as much of HTTP/2 (RFC 9113) as a client needs
towards a server of gRPC's: it answers settings and pings, keeps both flow-control windows and
resets streams. Header blocks are written without compression and never indexed, and read only for
`grpc-status`, which gRPC's core writes as plain text when the header table's size is 0.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections import deque
from typing import TYPE_CHECKING, cast

from bench.cost import stamps
from headgate.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from bench.cost.answers import Answer

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK, _PADDED = 1, 4, 1, 8
_STREAM_WINDOW = 4 << 20
_CONNECTION_WINDOW = 256 << 20
_CANCEL = struct.pack(">I", 8)
_STATUS = re.compile(rb"grpc-status[\x01\x02](\d{1,2})")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload) << 8 | kind) + struct.pack(">BI", flags, stream) + payload


def _failure(trailers: bytes) -> str:
    """Empty when they hold the status OK; gRPC's server indexes neither name nor value."""
    found = _STATUS.search(trailers)
    if found is None:
        return f"trailers {trailers!r}"
    return "" if found[1] == b"0" else f"status {found[1].decode()}"


def _text(value: str) -> bytes:
    if len(value) > 126:
        raise ValueError(f"{value!r} is too long for a literal of one length byte")
    return bytes([len(value)]) + value.encode()


def header_block(method: str, authority: str) -> bytes:
    """Of one call, as literals without indexing (RFC 7541, section 6.2.2)."""
    named = {"te": "trailers", "user-agent": "grpc-bench/1.0"}
    return (
        b"\x83\x86\x04"  # POST, http, and a path
        + _text(f"/headgate.v1.ChatService/{method}")
        + b"\x01"
        + _text(authority)
        + b"\x0f\x10"
        + _text("application/grpc")
        + b"".join(b"\x00" + _text(name) + _text(value) for name, value in named.items())
    )


def request(model: str, tokens: int) -> bytes:
    """One, as a gRPC message with its prefix."""
    asked = pb.ChatRequest(
        messages=[pb.ChatMessage(role=pb.ROLE_USER, content="Tell me of the sea.")],
        model=model,
        max_tokens=tokens,
    ).SerializeToString()
    return struct.pack(">BI", 0, len(asked)) + asked


class Channel(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.streams: dict[int, Answer] = {}
        self._next = 1
        self._rest = b""
        self._unread = 0
        self._window = 65535
        self._waiting: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        host, port = transport.get_extra_info("peername")[:2]
        self._blocks = {
            method: header_block(method, f"{host}:{port}") for method in ("Chat", "StreamChat")
        }
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _STREAM_WINDOW)
        more = struct.pack(">I", _CONNECTION_WINDOW - 65535)
        self._transport.write(
            _PREFACE + frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW, 0, 0, more)
        )

    def connection_lost(self, error: Exception | None) -> None:
        for answer in list(self.streams.values()):
            answer.end(f"connection lost: {error}")
        self.streams.clear()

    def call(self, method: str, message: bytes, answer: Answer) -> int:
        """Begin a call; gives the number of its stream."""
        number, self._next = self._next, self._next + 2
        self.streams[number] = answer
        data = frame(_HEADERS, _END_HEADERS, number, self._blocks[method])
        data += frame(_DATA, _END_STREAM, number, message)
        if self._waiting or len(message) > self._window:
            self._waiting.append(data)
        else:
            self._window -= len(message)
            self._transport.write(data)
        return number

    def cancel(self, number: int) -> None:
        if answer := self.streams.pop(number, None):
            self._transport.write(frame(_RST, 0, number, _CANCEL))
            answer.end("cancelled")

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        at, now = 0, stamps.now()
        data = self._rest + data if self._rest else data
        end = len(data)
        while end - at >= 9:
            stop = at + 9 + int.from_bytes(data[at : at + 3], "big")
            if stop > end:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            if data[at + 3] == _DATA:
                self._data(stream, data[at + 9 : stop], now)
                if data[at + 4] & _END_STREAM:
                    self._over(stream, "ended without a status")
            else:
                self._other(data[at + 3], data[at + 4], stream, data[at + 9 : stop])
            at = stop
        self._rest = data[at:]

    def _data(self, stream: int, payload: bytes, now: int) -> None:
        self._unread += len(payload)
        if self._unread > _CONNECTION_WINDOW // 2:
            self._grant(0, self._unread)
            self._unread = 0
        answer = self.streams.get(stream)
        if answer is None:
            return
        answer.unread += len(payload)
        if answer.unread > _STREAM_WINDOW // 2:
            self._grant(stream, answer.unread)
            answer.unread = 0
        if answer.rest:
            payload = answer.rest + payload
        at, end = 0, len(payload)
        while end - at >= 5:
            stop = at + 5 + int.from_bytes(payload[at + 1 : at + 5], "big")
            if stop > end:
                break
            answer.hear(payload[at:stop], now)
            at = stop
        answer.rest = payload[at:]

    def _grant(self, stream: int, size: int) -> None:
        self._transport.write(frame(_WINDOW, 0, stream, struct.pack(">I", size)))

    def _other(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _HEADERS and flags & _END_STREAM:
            self._over(stream, _failure(payload))
        elif kind == _RST:
            self._over(stream, f"reset {payload.hex()}")
        elif kind == _SETTINGS and not flags & _ACK:
            self._transport.write(frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW and stream == 0:
            self._window += int.from_bytes(payload, "big")
            self._send_what_waits()
        elif kind == _GOAWAY:
            self._transport.close()

    def _send_what_waits(self) -> None:
        while self._waiting and self._window > len(self._waiting[0]):
            data = self._waiting.popleft()
            self._window -= len(data)
            self._transport.write(data)

    def _over(self, stream: int, failure: str) -> None:
        if answer := self.streams.pop(stream, None):
            answer.end(failure)
