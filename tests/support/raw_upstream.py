"""An HTTP upstream that can send any bytes at any time, and remembers what it saw."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from support.arrival import StampedSocket, listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


@dataclass
class Request:
    """One request; `at` is when its head arrived, on the monotonic clock (see `arrival`)."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """The upstream's end of a connection that has a request to answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, *parts: bytes) -> None:
        """Each part as one write of its own."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_gone(self) -> None:
        """Wait until the client has closed its end."""
        while await self.reader.read(65536):
            pass
        self.gone.set()


Script = "Callable[[Request, Connection], Awaitable[None]]"


class RawUpstream:
    """Answers the n-th request with the n-th script; the last one serves all further ones.

    Args:
        port: where it listens; 0: at any free port.

    Attributes:
        requests: in the order of arrival.
        open: connections that are open now.
        gone: how many connections the client closed while a script was running `until_gone`.
    """

    def __init__(
        self, *scripts: Callable[[Request, Connection], Awaitable[None]], port: int = 0
    ) -> None:
        self._scripts = list(scripts)
        self.port = port
        self.requests: list[Request] = []
        self.open = 0
        self.accepted = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        listener = listening(self.port)
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=2**26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for an event at this upstream that makes the condition true."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        await self._count(1)
        try:
            while (request := await _read_request(reader, _stamps(writer))) is not None:
                script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
                self.requests.append(request)
                await self._notify()
                await script(request, Connection(reader, writer))
                if writer.is_closing():
                    break
        except ConnectionError:
            pass
        except asyncio.CancelledError:
            # The streams module would log a cancelled handler; the server is closing.
            pass
        finally:
            writer.close()
            self._tasks.discard(task)
            await self._count(-1)

    async def _count(self, change: int) -> None:
        self.open += change
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _stamps(writer: asyncio.StreamWriter) -> Callable[[], float]:
    """When the bytes that were read last had arrived."""
    raw = getattr(writer.get_extra_info("socket"), "_sock", None)  # asyncio hides it in a wrapper
    return (lambda: raw.arrived) if isinstance(raw, StampedSocket) else time.monotonic


async def _read_request(
    reader: asyncio.StreamReader, arrived: Callable[[], float]
) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    at = arrived()
    start, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = start.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body, at)


def response(
    body: bytes = b"",
    *,
    status: str = "200 OK",
    media: str = "application/json",
    headers: Iterable[str] = (),
) -> bytes:
    """A whole response with a Content-Length."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {media}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stream_head(*, media: str = "text/event-stream", headers: Iterable[str] = ()) -> bytes:
    """The head of a chunked response."""
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {media}", "Transfer-Encoding: chunked", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunked(data: bytes) -> bytes:
    """One HTTP chunk (RFC 9112, section 7.1)."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


END = b"0\r\n\r\n"


def event(value: Any) -> bytes:
    """One server-sent event with a JSON value."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def delta(content: str | None = None, *, choice: int = 0, **fields: Any) -> dict[str, Any]:
    """A chat.completion.chunk with one choice."""
    finish = fields.pop("finish_reason", None)
    said = fields if content is None else {"content": content, **fields}
    return {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "scripted",
        "choices": [{"index": choice, "delta": said, "finish_reason": finish}],
    }


def finish(reason: str = "stop", *, choice: int = 0) -> dict[str, Any]:
    return delta(choice=choice, finish_reason=reason)


def completion(content: str = "Hello", *, reason: str = "stop", **fields: Any) -> dict[str, Any]:
    """A whole chat.completion."""
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "scripted",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **fields},
                "finish_reason": reason,
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }


def answers(body: bytes, **how: Any) -> Callable[[Request, Connection], Awaitable[None]]:
    """A script that sends one whole response."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(response(body, **how))

    return script


def says(*words: str, reason: str = "stop") -> Callable[[Request, Connection], Awaitable[None]]:
    """A script that streams the words, or sends them whole when no stream is asked for."""

    async def script(request: Request, connection: Connection) -> None:
        if not request.json.get("stream", True):
            body = completion("".join(words), reason=reason)
            await connection.send(response(json.dumps(body).encode()))
            return
        events = [event(delta(word)) for word in words] + [event(finish(reason)), DONE]
        await connection.send(stream_head(), *(chunked(data) for data in events), END)

    return script


def streams(*pieces: bytes, end: bool = True) -> Callable[[Request, Connection], Awaitable[None]]:
    """A script that sends these bytes as the chunks of an event stream."""

    async def script(_: Request, connection: Connection) -> None:
        await connection.send(stream_head(), *(chunked(piece) for piece in pieces))
        if end:
            await connection.send(END)
        else:
            connection.writer.close()

    return script
