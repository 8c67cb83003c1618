"""An OTLP receiver: takes spans over HTTP and protobuf, as a collector does."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


class ReceivedSpan:
    """One span, with its ids in hex and its attributes as a dict."""

    def __init__(self, span: trace_pb2.Span) -> None:
        self.name = span.name
        self.trace_id = span.trace_id.hex()
        self.span_id = span.span_id.hex()
        self.parent_id = span.parent_span_id.hex()
        self.kind = trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
        self.failed = span.status.code == span.status.STATUS_CODE_ERROR
        self.status = span.status.message
        self.attributes = _values(span.attributes)
        self.events = [event.name for event in span.events]
        self.start, self.end = span.start_time_unix_nano, span.end_time_unix_nano

    def __repr__(self) -> str:
        return f"<ReceivedSpan {self.name} {self.attributes}>"


class Receiver:
    """What was received.

    Attributes:
        spans: in the order of their beginning, parents before their children.
        resources: the attributes of each export's resource.
        headers: of each export.
        asked: set when an export has come.
        answers: cleared, exports are not answered.
    """

    def __init__(self) -> None:
        self.url = ""
        self.resources: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.raw = b""
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self._spans: list[ReceivedSpan] = []

    @property
    def spans(self) -> list[ReceivedSpan]:
        return sorted(self._spans, key=lambda span: (span.start, -span.end))

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReceivedSpan:
        (span,) = self.named(name)
        return span

    async def take(self, request: web.Request) -> web.Response:
        self.asked.set()
        await self.answers.wait()
        assert request.content_type == "application/x-protobuf"
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.raw += body
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_values(batch.resource.attributes))
            spans = [span for scope in batch.scope_spans for span in scope.spans]
            self._spans += [ReceivedSpan(span) for span in spans]
        done = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=done, content_type="application/x-protobuf")


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver()
    app = web.Application()
    app.add_routes([web.post("/v1/traces", receiver.take)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = "http://127.0.0.1:{1}".format(*runner.addresses[0])
    try:
        yield receiver
    finally:
        receiver.answers.set()
        await runner.cleanup()


def _values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
