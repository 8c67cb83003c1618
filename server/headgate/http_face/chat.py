"""One chat call over HTTP, from the body of the request to the last event of the answer."""

from __future__ import annotations

import asyncio
import math
import re
import time
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from headgate.errors import (
    DeadlineExceeded,
    Draining,
    HeadgateError,
    InternalError,
    InvalidRequest,
    PermissionDenied,
    StreamInterrupted,
)
from headgate.guard import PeerGone
from headgate.http_face.body import Body, Dialect, read_body
from headgate.http_face.entry import caller_of, combined
from headgate.http_face.errors import error_body, error_response, in_json_terms, json_response
from headgate.http_face.middleware import request_id
from headgate.http_face.sse import EventStream
from headgate.http_face.translate import Answer, EventMaker, completion
from headgate.http_face.writer import Writer
from headgate.intake import KEY_HEADER
from headgate.running_calls import OutOfTime, RunningCalls
from headgate.upstream import Chunk, extend
from headgate.watch import Watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headgate.http_face.cors import Cors
    from headgate.http_face.options import HttpOptions
    from headgate.intake import Intake
    from headgate.progress import Progress
    from headgate.security import Access
    from headgate.upstream import Call, Upstream
    from headgate.watch import Watch

_log = structlog.get_logger("headgate")
_OTHER_MEDIA = ("multipart/", "application/x-www-form-urlencoded")


class HttpChat:
    """Answers chat calls; the arguments are those of `HttpFace`."""

    def __init__(
        self,
        corridor: Upstream,
        intake: Intake,
        *,
        access: Access,
        options: HttpOptions,
        cors: Cors,
        jitter: Callable[[], float],
        watch: Watch,
    ) -> None:
        self.calls = RunningCalls()
        self._corridor = corridor
        self._intake = intake
        self._access = access
        self._options = options
        self._cors = cors
        self._jitter = jitter
        self._watch = watch

    async def handle(self, request: web.Request, dialect: Dialect) -> web.StreamResponse:
        """One call, whatever happens; raises only what aiohttp answers itself."""
        writer = Writer(request, self._options.write_stall_timeout)
        stream = EventStream(writer)
        try:
            with self.calls.running():
                return await writer.deliver(await self._answer_or_error(request, dialect, stream))
        except PeerGone:
            return stream.response
        finally:
            writer.close()

    async def _answer_or_error(
        self, request: web.Request, dialect: Dialect, stream: EventStream
    ) -> web.StreamResponse:
        try:
            with Watching(self._watch, "http") as progress:
                progress.entered(request_id(), request.headers, request.path)
                return await self._answer(request, dialect, stream, progress)
        except (web.HTTPException, PeerGone):
            raise
        except InvalidRequest as wrong:
            error: HeadgateError = in_json_terms(wrong)
        except HeadgateError as known:
            error = known
        except Exception:  # noqa: BLE001 - the log has it under the request id, the caller does not
            _log.exception("a call failed unexpectedly", request_id=request_id(), path=request.path)
            error = InternalError()
        if not stream.started:
            return error_response(error, self._jitter())
        if isinstance(error, StreamInterrupted):
            error.metadata["position_sent"] = str(progress.deltas)
        await stream.fail(error_body(error))
        return stream.response

    async def _answer(
        self, request: web.Request, dialect: Dialect, stream: EventStream, progress: Progress
    ) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(self._options.default_deadline, self._options.max_deadline)
        try:
            with self.calls.in_time(deadline):
                self._guard(request)
                caller = progress.caller = await caller_of(request, self._access)
                body = await self._read(request, dialect)
                self._access.authorize(caller, "StreamChat" if body.request.stream else "Chat")
                call = self._admit(request, body, caller, progress, deadline)
                answer = _around(call)
                async with self._corridor.open(call) as chunks:
                    if not call.request.stream:
                        return json_response(completion(await _whole(chunks, progress), answer))
                    maker = EventMaker(answer, include_usage=body.include_usage)
                    await _pass_on(chunks, maker, stream, progress)
                return stream.response
        except OutOfTime as over:
            raise _ended(over, progress, stream) from None

    async def _read(self, request: web.Request, dialect: Dialect) -> Body:
        try:
            async with asyncio.timeout(self._options.write_stall_timeout):
                data = await _body_of(request, self._options.max_body_bytes)
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body of the request did not come") from None
        except web.RequestPayloadError:
            # aiohttp would read what is left, and log as an error of ours that it cannot be read.
            request.content.feed_eof()
            refusal = web.HTTPBadRequest(text="the body of the request cannot be read")
            refusal.force_close()
            raise refusal from None
        return read_body(data, dialect)

    def _guard(self, request: web.Request) -> None:
        """What can be refused before the body is read."""
        if self.calls.closed:
            raise Draining
        if not self._cors.allows(request.headers):
            raise PermissionDenied(
                "this server is not open to web pages of that origin (http.cors_origins)"
            )
        if request.content_type.startswith(_OTHER_MEDIA):
            text = f"{request.content_type} is not supported; send application/json"
            raise web.HTTPUnsupportedMediaType(text=text)
        size = request.content_length or 0
        if size > self._options.max_body_bytes:
            raise web.HTTPRequestEntityTooLarge(self._options.max_body_bytes, size)

    def _admit(
        self, request: web.Request, body: Body, caller: str, progress: Progress, deadline: float
    ) -> Call:
        headers = combined(request.headers)
        call = self._intake.admit(
            body.request,
            caller=caller,
            extra=body.extra,
            deadline=None if math.isinf(deadline) else deadline,
            prior_attempts=_count(headers.get("x-stainless-retry-count", "")),
            mesh_attempts=max(_count(headers.get("x-envoy-attempt-count", "")) - 1, 0),
            request_id=request_id(),
            observer=progress,
            idempotency_keys=("", headers.get(KEY_HEADER, "")),
            found=body.found,
        )
        progress.admit(call)
        return call


async def _body_of(request: web.Request, limit: int) -> bytes:
    """As `request.read`, which would keep a long prompt until its answer is over."""
    body = bytearray()
    async for piece in request.content.iter_chunked(limit):
        body += piece
        if len(body) > limit:
            raise web.HTTPRequestEntityTooLarge(limit, len(body))
    return bytes(body)


def _around(call: Call) -> Answer:
    return Answer(
        answer_id=f"chatcmpl-{call.request_id}",
        model=call.request.model or "",
        created=time.time(),
    )


async def _whole(chunks: AsyncIterator[Chunk], progress: Progress) -> Chunk:
    whole = Chunk(deltas=[], finishes={}, extra={})
    async for chunk in chunks:
        progress.heard(chunk)
        extend(whole, chunk)
    return whole


async def _pass_on(
    chunks: AsyncIterator[Chunk], maker: EventMaker, stream: EventStream, progress: Progress
) -> None:
    await stream.start()
    progress.status_sent = True
    sent = 0
    try:
        async for chunk in chunks:
            progress.heard(chunk)
            for event in maker.events(chunk):
                await stream.send(event)
                if maker.position > sent:
                    progress.delta_sent(maker.position - sent)
                    sent = maker.position
    finally:
        progress.deltas = maker.position
    for event in maker.tail():
        await stream.send(event)
    await stream.done()


def _ended(over: OutOfTime, progress: Progress, stream: EventStream) -> HeadgateError:
    if not over.cut:
        return DeadlineExceeded(progress.phase)
    if stream.started:
        return StreamInterrupted("this server is shutting down", cause="draining")
    return Draining()


def _count(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,4}", text) else 0
