"""The spans of one call: the call itself, and in it its waits, its attempts and its stream."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bind_contextvars

from headgate.tracing import names
from headgate.tracing.onward import PARENT, STATE, Carried, as_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.ending import Ending
    from headgate.errors import HeadgateError
    from headgate.progress import Progress
    from headgate.upstream import Call

_read = TraceContextTextMapPropagator().extract


@dataclass(frozen=True, kw_only=True, slots=True)
class Studio:
    """What the spans of all calls are made with.

    Attributes:
        tracer: makes them.
        kinds: see `onward.Carried`.
        provider: the GenAI conventions' word for who answers.
        host, port: of the upstream.
    """

    tracer: Tracer
    kinds: frozenset[str]
    provider: str
    host: str
    port: int


class CallSpans:
    """The Follower of one call, and its Trail.

    A call that is not sampled has one span, which is not recorded: its id goes upstream, so that
    the decision holds there too.

    Args:
        studio: see there.
        progress: of the call.
        face: grpc or http.
        method: of gRPC.
    """

    def __init__(self, studio: Studio, progress: Progress, face: str, method: str) -> None:
        self._studio = studio
        self._progress = progress
        self._face = face
        self._method = method
        self._began = time.time_ns()
        self._fields: dict[str, str] = {}
        self._root: Span | None = None
        self._inside: Context | None = None  # set only for a call that is recorded
        self._queue: Span | None = None
        self._attempt: Span | None = None
        self._attempt_began = 0
        self._stream: Span | None = None

    def entered(self, headers: Mapping[str, str]) -> None:
        self._fields = Carried(headers, self._studio.kinds).fields
        name, attributes = names.call_name(self._face, self._method, self._progress.path)
        root = self._root = self._studio.tracer.start_span(
            name,
            context=_read(self._fields, context=Context()),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=self._began,
        )
        if root.is_recording():
            self._inside = set_span_in_context(root, Context())
            bind_contextvars(trace_id=f"{root.get_span_context().trace_id:032x}")

    def admitted(self, call: Call) -> None:
        call.trail = self

    def queued(self) -> None:
        if self._inside is not None and self._queue is None:
            self._queue = self._studio.tracer.start_span(names.QUEUE, context=self._inside)

    def attempt_started(self) -> None:
        if self._inside is None:
            return
        if self._queue is not None:
            self._queue.end()
            self._queue = None
        studio, progress = self._studio, self._progress
        name, attributes = names.attempt_name(progress.call, progress.attempts, studio.provider)
        attributes |= {"server.address": studio.host, "server.port": studio.port}
        self._attempt_began = time.time_ns()
        self._attempt = studio.tracer.start_span(
            name,
            context=self._inside,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=self._attempt_began,
        )

    def responded(self, status: int) -> None:
        if self._attempt is not None:
            self._attempt.set_attribute(names.UPSTREAM_STATUS, status)

    def attempt_ended(self, error: HeadgateError | None) -> None:
        if self._attempt is None:
            return
        self._attempt.set_attributes(names.answered(self._progress))
        if error is not None:
            self._attempt.set_attribute(names.ERROR, error.reason.value)
            if cause := error.metadata.get("cause") or error.metadata.get("timeout"):
                self._attempt.set_attribute(names.CAUSE, cause)
            _fail(self._attempt, error.reason.value)
        self._attempt.end()
        self._attempt = None

    def first_delta(self) -> None:
        if self._inside is None or self._root is None:
            return
        now = time.time_ns()
        self._root.add_event(names.FIRST_DELTA, timestamp=now)
        if self._attempt is not None:
            self._attempt.add_event(names.FIRST_DELTA, timestamp=now)
            seconds = (now - self._attempt_began) / 1e9
            self._attempt.set_attribute(names.TIME_TO_FIRST, seconds)
        self._stream = self._studio.tracer.start_span(
            names.STREAM, context=self._inside, start_time=now
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        fields = dict(self._fields)
        span = self._attempt or self._root
        if span is not None and "tracecontext" in self._studio.kinds:
            context = span.get_span_context()
            ids = f"{context.trace_id:032x}-{context.span_id:016x}"
            fields[PARENT] = f"00-{ids}-{context.trace_flags:02x}"
            if state := context.trace_state.to_header():
                fields[STATE] = state
        return as_headers(fields)

    def said(self, messages: str, answer: str) -> None:
        if self._inside is not None and self._root is not None:
            self._root.set_attributes({names.INPUT: messages, names.OUTPUT: answer})

    def end(self, ending: Ending) -> None:
        """The call is over, and with it whatever it was at."""
        root = self._root
        if root is None or self._inside is None:
            return
        for span in (self._queue, self._attempt, self._stream):
            if span is not None:
                if not ending.ok:
                    _fail(span, ending.reason or ending.code)
                span.end()
        self._queue = self._attempt = self._stream = None
        root.set_attributes(names.ended(self._face, ending, self._progress))
        if names.is_fault(self._face, ending):
            _fail(root, ending.reason or ending.code)
        root.end()
        self._inside = None


def _fail(span: Span, reason: str) -> None:
    """An error, by its reason alone: messages may quote what was sent."""
    span.set_status(Status(StatusCode.ERROR, reason))
