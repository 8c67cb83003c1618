"""The life of one request: look at the status, read until the end, know how it ended."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import msgspec

from headgate.errors import (
    StreamInterrupted,
    UpstreamError,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from headgate.http_upstream.decoding import decoded
from headgate.http_upstream.foreign import CONNECT_TIMEOUT, FOREIGN_ERRORS, translate
from headgate.http_upstream.report import AttemptReport
from headgate.reply import Reply
from headgate.retry_after import retry_after
from headgate.sse import EventTooLarge, SSEDecoder
from headgate.timer import RESOLUTION, Timer
from headgate.upstream import Chunk, extend
from headgate.upstream_status import error_for_status, message_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import httpx

    from headgate.config import UpstreamSettings
    from headgate.errors import HeadgateError, TimeoutPhase
    from headgate.http_upstream.transport import Body
    from headgate.secrets import Secrets
    from headgate.upstream import Call, Gate

MAX_ERROR_BODY = 64 * 1024
ERROR_BODY_TIMEOUT = 5.0
# After the finish only the usage may still come; nobody waits long for that.
TAIL_TIMEOUT = 5.0
DRAIN_TIMEOUT = 0.05
_BOM = b"\xef\xbb\xbf"
_SSE_STARTS = (b"data:", b":", b"event:", b"id:", b"retry:")


class Attempt:
    """The life of one request: send, look at the status, read until the end.

    Attributes:
        error: why it failed, if it did.
        waited: seconds at the throttle's gate, which no timer counts.
    """

    def __init__(
        self,
        send: Callable[[Call, Gate], Awaitable[httpx.Response]],
        call: Call,
        settings: UpstreamSettings,
        secrets: Secrets,
    ) -> None:
        self.error: HeadgateError | None = None
        self.waited = 0.0
        self._send = send
        self._call = call
        self._settings = settings
        self._secrets = secrets
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._total_at = self._started + settings.total_timeout - call.spent
        self._began = time.monotonic()  # finer than uvloop's milliseconds
        self._timer = Timer()
        self._reply = Reply()
        self._decoder = SSEDecoder(max_event_bytes=self._settings.max_event_bytes)
        self._body: Body | None = None
        self._read_more: Callable[[], Awaitable[bytes]] | None = None
        self._at_end = False
        self._patience = settings.idle_timeout
        self._handed_out = False
        self._report = AttemptReport(call.caller, number=call.attempt)

    async def connected(self) -> bool:
        """The transport's question; a wait at the throttle's gate is on no timer of ours."""
        if self._report.connected is None:
            self._report.connected = self._elapsed()
        opened = True
        if self._call.gate is not None:
            self._timer.limit(math.inf)
            opened = await self._pass(self._call.gate)
        seconds, _ = self._opening_limit()
        self._timer.until(min(self._loop.time() + seconds, self._total_at))
        if opened:
            self._report.written = self._elapsed()
        return opened

    async def _pass(self, gate: Gate) -> bool:
        began = self._loop.time()
        try:
            return await gate.connected()
        finally:
            waited = self._loop.time() - began
            self.waited += waited
            self._total_at += waited

    def written(self) -> None:
        if self._call.gate is not None:
            self._call.gate.written()

    async def first(self) -> Chunk:
        """Everything up to the first content, or the whole of an answer that has none."""
        seconds, phase = self._opening_limit()
        try:
            with self._timer.limit(seconds):
                response = await self._send(self._call, self)
                self._body = cast("Body", response.stream)
                self._report.status = response.status_code
                self._report.responded = self._elapsed()
                chunk = await self._opening(response, self._body)
        except CONNECT_TIMEOUT as error:
            raise self._fail(self._ours(error)) from error
        except TimeoutError as error:
            if self._total_is_over:
                phase = "total"
            raise self._fail(UpstreamTimeout(phase, self._bound(phase))) from error
        except UpstreamError as error:
            raise self._fail(error) from error.__cause__
        except FOREIGN_ERRORS as error:
            raise self._fail(self._ours(error)) from error
        self._timer.close()
        self._patience = self._idle()
        self._handed_out = True
        self._report.first_content = self._elapsed()
        self._report.usage = chunk.usage
        return chunk

    async def chunks(self, first: Chunk) -> AsyncGenerator[Chunk, None]:
        """The answer from its first Chunk; ends normally only when it is finished."""
        yield first
        self._offer(self._take)
        try:
            while not self._over:
                chunk = await self._pull()
                if chunk is not None:
                    self._report.usage = chunk.usage or self._report.usage
                    yield chunk
            self._reply.end()
        except UpstreamError as error:
            raise self._fail(error) from error.__cause__
        finally:
            self._offer(None)

    async def close(self) -> None:
        """Give the connection back, or cut it when the answer was not read to its end."""
        self._timer.close()
        if self._body is None:
            return
        try:
            if self._reply.done and not self._at_end:
                # The end of the body is most often here already; a connection that is read to its
                # end can be used again.
                self._body.limit(self._loop.time() + DRAIN_TIMEOUT)
                with suppress(TimeoutError, *FOREIGN_ERRORS):
                    await self._read()
        finally:  # also for who is cancelled while it waits
            await self._body.aclose()

    @property
    def spent(self) -> float:
        """Seconds so far, without those at the gate."""
        return self._loop.time() - self._started - self.waited

    def finished_report(self) -> AttemptReport:
        """What became of it; asked once, after `close`."""
        error, report = self.error, replace(self._report, ended=self._elapsed(), error=self.error)
        # The traceback of an error has this object: a cycle, which only the collector would free.
        self.error = self._reply.failure = None
        if error is not None:
            report.outcome = error.reason.value
        elif self._handed_out and self._reply.finished:
            report.outcome = "OK"
        return report

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    @property
    def _over(self) -> bool:
        return self._at_end or self._reply.done or self._reply.failure is not None

    async def _opening(self, response: httpx.Response, body: Body) -> Chunk:
        if not response.is_success:
            raise await self._refusal(response, body)
        self._read_more = decoded(body.read, response.headers.get("content-encoding", ""))
        start = await self._start()
        if start.startswith(b"{"):
            return self._reply.feed_body(await self._whole(start))
        _check_is_stream(start, response.headers.get("content-type", ""))
        return await self._stream_start(start)

    async def _start(self) -> bytes:
        """The first bytes that are not white space; empty at the end of an empty body."""
        start = b""
        while (not start or _may_become(start)) and (data := await self._read()) is not None:
            start = (start + data).removeprefix(_BOM).lstrip()
        return start

    async def _whole(self, start: bytes) -> bytes:
        body = bytearray(start)
        self._check_size(len(body))
        while (data := await self._read()) is not None:
            body += data
            self._check_size(len(body))
        return bytes(body)

    async def _stream_start(self, start: bytes) -> Chunk:
        streaming = self._call.request.stream
        whole = Chunk(deltas=[], finishes={}, extra={})
        what = "answer before its first content" if streaming else "answer"
        self._feed_into(whole, start)
        size = len(start)
        while not self._over:
            if streaming and (self._reply.committed or self._reply.finished):
                return whole
            self._check_size(size, what)
            data = await self._read()
            self._feed_into(whole, data)
            size += len(data or b"")
        if not (streaming and self._reply.committed):
            self._reply.end()
        return whole

    async def _pull(self) -> Chunk | None:
        """One read after the first content, under the idle and total timers.

        Once the answer is finished only its usage can still come: a fault is then the end.
        """
        self._await_more()
        try:
            self._check_total()
            chunk = self._feed(await self._read())
        except TimeoutError as error:
            phase: TimeoutPhase = "total" if self._total_is_over else "idle"
            fault: UpstreamError = UpstreamTimeout(phase, self._bound(phase))
            fault.__cause__ = error
        except UpstreamError as error:
            fault = error
        except FOREIGN_ERRORS as error:
            fault = self._ours(error)
            fault.__cause__ = error
        else:
            if chunk is not None and chunk.finishes:
                self._patience = self._idle()
            return chunk
        if not self._reply.finished:
            raise fault
        self._at_end = True
        return None

    def _offer(self, take: Callable[[bytes], bool] | None) -> None:
        body = self._body
        if body is not None and self._call.taker is not None and self._read_more == body.read:
            body.offer(take)

    def _take(self, data: bytes) -> bool:
        """A lone delta that comes while `_pull` waits goes to whom it is for, and wakes nobody."""
        assert self._call.taker is not None  # noqa: S101 - else nothing is offered
        event = self._decoder.lone(data)
        delta = None if event is None else self._reply.lone(event)
        if delta is None or not self._call.taker.take(delta):
            return False
        self._await_more()
        return True

    def _await_more(self) -> None:
        """The next read may wait as long as the idle and the total timer let it."""
        assert self._body is not None  # noqa: S101 - the first content came through it
        self._body.limit(min(self._loop.time() + self._patience, self._total_at))

    @property
    def _total_is_over(self) -> bool:
        return self._loop.time() > self._total_at - RESOLUTION

    def _check_total(self) -> None:
        """A reader that is slower than the upstream never waits, so no timer would run out."""
        assert self._body is not None  # noqa: S101 - the first content came through it
        if self._total_is_over and not self._body.complete:
            raise TimeoutError

    def _opening_limit(self) -> tuple[float, TimeoutPhase]:
        """A unary upstream is silent until it has generated everything (promise 10)."""
        left = self._settings.total_timeout - self._call.spent
        first_token = self._settings.first_token_timeout
        if self._call.request.stream and first_token < left:
            return first_token, "first_token"
        return left, "total"

    def _idle(self) -> float:
        """Seconds that the next read may wait."""
        idle = self._settings.idle_timeout
        if self._reply.finished and self._reply.choices >= (self._call.request.n or 1):
            return min(idle, TAIL_TIMEOUT)
        return idle

    async def _read(self) -> bytes | None:
        """Bytes as they come; None at the end of the body."""
        assert self._read_more is not None  # noqa: S101 - set before the first read
        data = await self._read_more()
        if data:
            return data
        self._at_end = True
        return None

    def _feed(self, data: bytes | None) -> Chunk | None:
        try:
            events = self._decoder.close() if data is None else self._decoder.feed(data)
        except EventTooLarge as error:
            raise UpstreamProtocol(
                f"the upstream sent an event of more than {self._settings.max_event_bytes} bytes"
                " (upstream.max_event_bytes)"
            ) from error
        return self._reply.feed(events)

    def _feed_into(self, whole: Chunk, data: bytes | None) -> None:
        chunk = self._feed(data)
        if chunk is not None:
            extend(whole, chunk)

    def _check_size(self, size: int, what: str = "answer") -> None:
        limit = self._settings.max_response_bytes
        if size > limit:
            raise UpstreamProtocol(
                f"the upstream's {what} is larger than {limit} bytes (upstream.max_response_bytes)"
            )

    async def _refusal(self, response: httpx.Response, body: Body) -> UpstreamError:
        said = b""
        with suppress(TimeoutError, UpstreamProtocol, *FOREIGN_ERRORS):
            read = decoded(body.read, response.headers.get("content-encoding", ""))
            async with asyncio.timeout(ERROR_BODY_TIMEOUT):
                while len(said) <= MAX_ERROR_BODY and (data := await read()):
                    said += data
        wait = retry_after(response.headers, time.time())
        message = message_of(_json_or_text(response, said))
        return error_for_status(response.status_code, message, wait)

    def _bound(self, phase: TimeoutPhase) -> float:
        seconds: float = getattr(self._settings, f"{phase}_timeout")
        return seconds

    def _ours(self, error: Exception) -> UpstreamError:
        return translate(error, connect_timeout=self._settings.connect_timeout)

    def _fail(self, error: UpstreamError) -> UpstreamError:
        """After the first Chunk was handed out, every fault is an interruption."""
        error.message = self._secrets.conceal(error.message)
        if self._handed_out:
            error = StreamInterrupted(
                f"the answer was interrupted: {error.message}", cause=error.cause, failure=error
            )
        self.error = error
        return error


def _may_become(start: bytes) -> bool:
    """Whether the next bytes can still make it one of those that are looked for."""
    return any(
        len(start) < len(whole) and whole.startswith(start) for whole in (_BOM, *_SSE_STARTS)
    )


def _check_is_stream(start: bytes, media: str) -> None:
    if not start:
        raise UpstreamUnavailable("the upstream's answer was empty")
    if start.startswith(b"<"):
        raise UpstreamUnavailable("the upstream answered with a web page")
    if not media.lower().startswith("text/event-stream") and not start.startswith(_SSE_STARTS):
        raise UpstreamProtocol("the upstream's answer is neither JSON nor an event stream")


def _json_or_text(response: httpx.Response, body: bytes) -> object:
    """What a refusal says; a web page says nothing, a plain text is what many servers send."""
    try:
        return cast("object", msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        plain = response.headers.get("content-type", "").lower().startswith("text/plain")
        return body.decode(errors="replace") if plain else None
