"""The mock upstream, a process of its own: an OpenAI-style endpoint that costs next to nothing.

    python mock.py [--gap SECONDS]

Prints its port. The name of the model says what happens to a streamed request, `max_tokens` how
many tokens come:

- `paced`: the first token at once, then one each gap. One timer serves all streams: it writes the
  same bytes to each whose turn it is, so thousands of streams cost a system call a token;
- `full`: as fast as the reader reads, in writes of 64 tokens;
- `standing`: one token, and then nothing until the caller goes;
- `reset`: three tokens, then the connection is reset;
- `error`: 500, streamed or not.

Every token is an event and an HTTP chunk of its own, with a stamp (see stamps.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import struct
import sys
from typing import TYPE_CHECKING, cast

import uvloop

from bench.cost import stamps

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 0.001
BLOCK = 64
END = b"0\r\n\r\n"

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
_SPLIT = re.compile(rb"[0-9a-fA-F]+\r\n")


def _chunked(data: str) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data.encode())


def _event(choices: str, rest: str = "") -> bytes:
    return _chunked(
        'data: {"id":"chatcmpl-7f3a9c1e5b2d4860","object":"chat.completion.chunk",'
        f'"created":1767225600,"model":"mock","choices":[{choices}]{rest}}}\n\n'
    )


def _delta(delta: str, finish: str = "null") -> str:
    return f'{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{finish}}}'


_USAGE = '"usage":{"prompt_tokens":9,"completion_tokens":100,"total_tokens":109}'
_BEFORE, _AFTER = _event(_delta(f'"content":" {"0" * stamps.WIDTH}"')).split(b"0" * stamps.WIDTH)
_ROLE = _event(_delta('"role":"assistant","content":""'))
_FINISH = (
    _event(_delta("", '"stop"')) + _event("", f",{_USAGE}") + _chunked("data: [DONE]\n\n") + END
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def _whole(status: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


_UNARY = _whole(
    "200 OK",
    '{"id":"chatcmpl-7f3a9c1e5b2d4860","object":"chat.completion","created":1767225600,'
    '"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":'
    f'"{"The sea is wide and deep. " * 10}"}},"logprobs":null,"finish_reason":"stop"}}],{_USAGE}}}',
)
_ERROR = _whole("500 Oops", '{"error":{"message":"mock","type":"server_error","code":null}}')


def _token(stamp: int) -> bytes:
    return _BEFORE + b"%08d" % stamp + _AFTER


class Wheel:
    """Gives each stream that stands on it a token each gap, at the phase at which it came.

    Attributes:
        late: the longest time that a tick came after the one before, in seconds.
    """

    def __init__(self, gap: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: list[set[Connection]] = [set() for _ in range(round(gap / TICK))]
        self._at = self._now()
        self.late = 0.0
        self._loop.call_later(TICK, self._turn)

    def add(self, connection: Connection) -> set[Connection]:
        slot = self._slots[self._now() % len(self._slots)]
        slot.add(connection)
        return slot

    def _now(self) -> int:
        return int(self._loop.time() / TICK)

    def _turn(self) -> None:
        now = self._now()
        self.late = max(self.late, (now - self._at) * TICK)
        while self._at < now:
            self._at += 1
            if slot := self._slots[self._at % len(self._slots)]:
                token = _token(stamps.now())
                for connection in tuple(slot):
                    connection.tick(token)
        self._loop.call_later(TICK, self._turn)


class Mock:
    """What all connections share, and what they did so far."""

    def __init__(self, gap: float) -> None:
        self.wheel = Wheel(gap)
        self.requests = self.tokens = self.open = 0

    def report(self) -> str:
        late, self.wheel.late = self.wheel.late, 0.0
        said = {"requests": self.requests, "tokens": self.tokens, "open": self.open, "late": late}
        return json.dumps(said)


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, mock: Mock) -> None:
        self._mock = mock
        self._buffer = b""
        self._left = 0
        self._slot: set[Connection] | None = None
        self._full = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._mock.open += 1

    def connection_lost(self, _: Exception | None) -> None:
        self._mock.open -= 1
        self._off_the_wheel()
        self._full = False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._full:
            self._pour()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        if _CHUNKED.search(head):
            if not rest.endswith(END):
                return
            body = b"".join(_SPLIT.split(rest.replace(b"\r\n0\r\n\r\n", b"")))
        else:
            length = _LENGTH.search(head)
            body = rest
            if length and len(body) < int(length[1]):
                return
        self._buffer = b""
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self._transport.write(_whole("200 OK", self._mock.report()))
            return
        self._mock.requests += 1
        asked = json.loads(body)
        model = asked["model"]
        if model == "error":
            self._transport.write(_ERROR)
        elif not asked.get("stream"):
            self._transport.write(_UNARY)
        else:
            self._left = asked.get("max_tokens") or asked.get("max_completion_tokens") or 1
            self._streams[model](self)

    def _paced(self) -> None:
        self._transport.write(_STREAM_HEAD + _ROLE)
        self.tick(_token(stamps.now()))
        if self._left:
            self._slot = self._mock.wheel.add(self)

    def tick(self, token: bytes) -> None:
        """Write one token, and the end after the last."""
        self._left -= 1
        self._mock.tokens += 1
        if self._left:
            self._transport.write(token)
        else:
            self._transport.write(token + _FINISH)
            self._off_the_wheel()

    def _off_the_wheel(self) -> None:
        if self._slot is not None:
            self._slot.discard(self)
            self._slot = None

    def _standing(self) -> None:
        self._transport.write(_STREAM_HEAD + _ROLE + _token(stamps.now()))

    def _fast(self) -> None:
        self._transport.write(_STREAM_HEAD + _ROLE)
        self._full = True
        self._pour()

    def _pour(self) -> None:
        while self._left >= BLOCK and not self._paused:
            self._transport.write(_BLOCK)
            self._left -= BLOCK
            self._mock.tokens += BLOCK
        if self._left < BLOCK and self._full:
            self._full = False
            self._transport.write(_token(0) * self._left + _FINISH)

    def _reset(self) -> None:
        self._transport.write(_STREAM_HEAD + _ROLE + _token(stamps.now()) * 3)
        asyncio.get_running_loop().call_later(0.05, self._cut)

    def _cut(self) -> None:
        if not self._transport.is_closing():
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    _streams: dict[str, Callable[[Connection], None]] = {  # noqa: RUF012 - a table of methods
        "paced": _paced,
        "standing": _standing,
        "full": _fast,
        "reset": _reset,
    }


_BLOCK = _token(0) * BLOCK


async def serve(gap: float) -> None:
    loop = asyncio.get_running_loop()
    mock = Mock(gap)
    server = await loop.create_server(lambda: Connection(mock), "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--gap", type=float, default=0.1, help="seconds between two tokens")
    uvloop.run(serve(parser.parse_args().gap))
