"""One HTTP/1.1 request and its response on a connection that somebody else opened (RFC 9112)."""

from __future__ import annotations

import asyncio
import math
import ssl
from typing import TYPE_CHECKING

import httptools
import httpx

from headgate.timer import RESOLUTION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp.client_proto import ResponseHandler

# The same holds for the trailers of a body.
MAX_HEAD = 64 * 1024
# So many bytes may wait for a reader before the peer is slowed down.
MAX_WAITING = 64 * 1024
# The parser of an exchange that was left.
_DEAF = httptools.HttpResponseParser(object())


class NotHTTP(httpx.RemoteProtocolError):
    """What came is no HTTP/1.1 response."""


class NoAnswer(httpx.ReadError):
    """The peer closed before its response had a head."""


class Truncated(httpx.ReadError):
    """The connection ended, or made no sense any more, in the middle of the body."""


class Exchange(asyncio.Protocol):
    """Writes the request, and holds what has arrived of the response until it is read.

    A body is handed out to its last byte before a broken connection is reported: what had arrived
    may be the end of an answer that was whole, and a whole answer is no failure (promise 2).

    Args:
        transport: of the connection; this object becomes its protocol.
        owner: the protocol that it has otherwise; hears of the connection's end, too, because a
            pool that is closed waits for it.

    Attributes:
        status: of the response, once `respond` has returned.
        headers: names and values as they came, likewise.
        complete: all of the response has come, read or not.
    """

    def __init__(self, transport: asyncio.Transport, owner: ResponseHandler) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self._transport = transport
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._arrived: list[bytes] = []
        self._waiting = 0
        self._bodiless = 0  # bytes since the last of the body
        self._waiter: asyncio.Future[None] | None = None
        self._until = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf
        self._error: Exception | None = None
        self._lost = False
        self._take: Callable[[bytes], bool] | None = None
        self._has_head = False
        self._keep_alive = False
        self._sent = False
        self._reading_paused = False
        self._writing_paused = False
        if hasattr(transport, "set_read_buffer_limits"):
            # TLS. While we read nothing, uvloop's would go on taking what comes, and throw it away
            # at the connection's end; so nothing may be taken ahead.
            transport.set_read_buffer_limits(high=1, low=0)
        transport.set_protocol(self)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on the connection."""
        return self.complete and self._keep_alive and self._sent and not self._lost

    async def request(self, parts: Sequence[bytes]) -> None:
        """Write the request; returns when it has left, or when the peer does not want it all.

        Raises:
            NoAnswer: the connection is closed already.
        """
        if self._lost or self._transport.is_closing():
            raise NoAnswer("closed before the request was written")
        self._transport.write(b"".join(parts))
        while self._writing_paused and not (self._has_head or self._error or self._lost):
            await self._next()
        self._sent = not self._writing_paused

    async def respond(self) -> None:
        """Wait for the head of the response.

        Raises:
            NotHTTP, NoAnswer: it does not come.
            httpx.ReadError: the connection was reset.
        """
        while not self._has_head:
            if self._error is not None:
                raise self._error
            await self._next()

    def limit(self, until: float) -> None:
        """No read may wait beyond this instant of the loop's clock; inf: no limit."""
        self._until = until

    def offer(self, take: Callable[[bytes], bool] | None) -> None:
        """What arrives while a read waits is first offered to `take`, which says if it takes it.

        The read then goes on waiting, until the limit that `take` may have moved.
        """
        self._take = take

    async def read(self) -> bytes:
        """All of the body that has arrived, at least one byte; nothing at its end.

        Raises:
            TimeoutError: nothing arrived before the limit.
            Truncated: the connection ended before the body did.
        """
        while not self._arrived:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._next()
        data = self._arrived[0] if len(self._arrived) == 1 else b"".join(self._arrived)
        self._arrived.clear()
        self._waiting = 0
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    def leave(self) -> None:
        """The response is not read any more."""
        self._disarm()
        self._parser = _DEAF  # ours has our methods: a cycle, which only the collector would free
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        if not self._sent:
            self._transport.abort()  # closing would wait until the peer took the whole request

    def give_back(self) -> None:
        """Let the owner have the connection again; only when it is `reusable`."""
        self._transport.set_protocol(self._owner)

    # What the transport says.

    def data_received(self, data: bytes) -> None:
        if self._parser is _DEAF or self._error is not None:
            return
        self._bodiless += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._make_no_sense(error)
        if self._bodiless > MAX_HEAD and not self.complete:
            self._go_on_too_long()
        if self._waiting > MAX_WAITING and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        if not self._taken():
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self.complete or self._error is not None or self._owner.transport is None:
            pass  # without a transport its owner has closed it, which is no fault of the peer's
        elif not self._has_head:
            self._error = _without_head(exc)
        elif exc is None and self._ends_with_connection():
            self.complete = True
        else:
            self._error = Truncated("the connection ended before the body did")
            self._error.__cause__ = exc
        self._wake()
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake()

    # What the parser says.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # else it is a trailer, which nobody asks for
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._arrived.append(body)
        self._waiting += len(body)
        self._bodiless = 0

    def on_message_complete(self) -> None:
        if self._has_head:
            self.complete = True
            self._keep_alive = self._parser.should_keep_alive()
        else:  # an interim response (RFC 9110, section 15.2): the real one follows
            self.headers.clear()

    def on_message_begin(self) -> None:
        if self.complete:  # a second answer to one request; whose is it?
            raise NotHTTP("bytes behind the answer")  # ends the parser, before it tells of them

    def _make_no_sense(self, error: Exception) -> None:
        if self.complete:
            self._lost = True  # bytes behind the end spoil the connection, not the answer
            return
        fault = Truncated("the body is broken") if self._has_head else NotHTTP("no response")
        fault.__cause__ = error
        self._fail(fault)

    def _go_on_too_long(self) -> None:
        if self._has_head:
            self._fail(Truncated(f"the trailers are larger than {MAX_HEAD} bytes"))
        else:
            self._fail(NotHTTP(f"the head is larger than {MAX_HEAD} bytes"))

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._transport.close()

    def _ends_with_connection(self) -> bool:
        """Neither length nor chunks: the body goes on until the peer closes."""
        return not any(
            name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self.headers
        )

    def _next(self) -> asyncio.Future[None]:
        """What comes next: it is not a coroutine, because every token waits here."""
        waiter = self._waiter = self._loop.create_future()
        if self._until < self._looks_at:
            self._arm()
        return waiter

    def _arm(self) -> None:
        self._disarm()
        self._looks_at = self._until
        self._timer = self._loop.call_at(self._until, self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._looks_at = math.inf

    def _taken(self) -> bool:
        take, waiter = self._take, self._waiter
        if take is None or waiter is None or waiter.done() or len(self._arrived) != 1:
            return False
        if self.complete or self._error is not None or self._reading_paused:
            return False
        if not take(self._arrived[0]):
            return False
        self._arrived.clear()
        self._waiting = 0
        return True

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _look(self) -> None:
        """One handle for thousands of reads: it looks whether its time was moved on."""
        self._disarm()
        if self._until == math.inf:
            return
        if self._loop.time() <= self._until - RESOLUTION:
            self._arm()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())


def _without_head(exc: Exception | None) -> Exception:
    if exc is None:
        return NoAnswer("closed without an answer")
    error: Exception = exc if isinstance(exc, ssl.SSLError) else httpx.ReadError("reset")
    if error is not exc:
        error.__cause__ = exc
    return error
