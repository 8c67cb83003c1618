"""A caller of an OpenAI-style HTTP endpoint that costs little: one call at a time a connection."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import TYPE_CHECKING, cast

from bench.cost import stamps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.cost.answers import Answer

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
BUFFER = 128 << 10
_DONE = b"data: [DONE]"


def request(
    url_path: str, headers: Mapping[str, str], model: str, tokens: int, *, stream: bool
) -> bytes:
    """A whole one."""
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "Tell me of the sea."}],
            "max_tokens": tokens,
            "stream": stream,
        }
    ).encode()
    named = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **headers,
    }
    lines = [f"POST {url_path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection(asyncio.Protocol):
    """Answers may have a length, or chunks."""

    def __init__(self, on_free: Callable[[Connection], None]) -> None:
        self._on_free = on_free
        self._answer: Answer | None = None
        self._rest = b""
        self._text = b""
        self._chunked = self._in_body = self._done = False
        self._left = 0
        self._status = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        # So that no connection at full speed keeps the loop from the others, and from its timers.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(f"connection lost: {error}")

    def call(self, data: bytes, answer: Answer) -> None:
        self._answer = answer
        self._in_body = self._done = False
        self._rest = self._text = b""
        self.transport.write(data)

    def cancel(self) -> None:
        self.transport.abort()
        self._end("cancelled")

    def data_received(self, data: bytes) -> None:
        now = stamps.now()
        data = self._rest + data if self._rest else data
        if not self._in_body:
            head, found, body = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = data
                return
            self._read_head(head)
            data = body
        if self._chunked:
            self._read_chunks(data, now)
        else:
            self._rest = data
            if len(data) >= self._left:
                self._text += data
                self._rest = b""
                self._end(self._status)

    def _read_head(self, head: bytes) -> None:
        self._in_body = True
        self._chunked = _CHUNKED.search(head) is not None
        length = _LENGTH.search(head)
        self._left = int(length[1]) if length else 0
        status = head[9:12]
        self._status = "" if status == b"200" else f"HTTP {status.decode()}"

    def _read_chunks(self, data: bytes, now: int) -> None:
        at = 0
        while (line := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:line].partition(b";")[0], 16)
            stop = line + 2 + size
            if len(data) < stop + 2:
                break
            if size == 0:
                self._rest = b""
                whole = self._done or self._status
                self._end(self._status if whole else "no [DONE]")
                return
            self._hear(data[line + 2 : stop], now)
            at = stop + 2
        self._rest = data[at:]

    def _hear(self, text: bytes, now: int) -> None:
        """Events that are whole; most often the text is exactly one."""
        if self._text or not text.endswith(b"\n\n") or text.count(b"\n\n") > 1:
            *events, self._text = (self._text + text).split(b"\n\n")
        else:
            events = [text]
        for event in events:
            if _DONE in event:
                self._done = True
            elif self._answer is not None:
                self._answer.hear(event, now)

    def _end(self, failure: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end(failure)
            if not self.transport.is_closing():
                self._on_free(self)
