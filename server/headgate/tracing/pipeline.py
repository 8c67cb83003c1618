"""OpenTelemetry's SDK: from spans that ended to an OTLP receiver, in threads of its own."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from headgate import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from headgate.config import TelemetrySettings

LAST_FLUSH = 3.0
"""Seconds that the last spans may take to leave; a receiver that is down must not hold a stop."""

_log = structlog.get_logger("headgate")


class _Exporter(OTLPSpanExporter):
    """May be shut more than once, and says nothing of it."""

    _shut = False

    def shutdown(self) -> None:
        if not self._shut:
            self._shut = True
            super().shutdown()  # type: ignore[no-untyped-call]


class Pipeline:
    """Spans are put into a bounded queue and sent in batches; when it is full they are dropped.

    Args:
        settings: with an endpoint.

    Attributes:
        tracer: makes the spans.
    """

    def __init__(self, settings: TelemetrySettings) -> None:
        headers = {name: text.get_secret_value() for name, text in settings.otlp_headers.items()}
        self._exporter = _Exporter(endpoint=settings.traces_url, headers=headers)
        self._processor = BatchSpanProcessor(self._exporter)
        # Nothing global, and nothing at exit: `aclose` is the end.
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
            resource=_resource(settings),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self.tracer: Tracer = provider.get_tracer("headgate", __version__)

    async def aclose(self) -> None:
        """Send what has ended, and give up what cannot be sent in LAST_FLUSH."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            with suppress(RuntimeError):  # the loop did not wait for us
                loop.call_soon_threadsafe(done.set)

        # A daemon, so that a receiver that neither answers nor refuses holds up nothing.
        threading.Thread(target=shut, name="last-spans", daemon=True).start()
        try:
            async with asyncio.timeout(LAST_FLUSH):
                await done.wait()
        except TimeoutError:
            _log.warning("spans given up", why="the OTLP receiver does not take them")
            self._exporter.shutdown()


def _resource(settings: TelemetrySettings) -> Resource:
    return Resource.create(
        {
            "service.version": __version__,
            "service.instance.id": str(uuid.uuid4()),
            "process.pid": os.getpid(),
            **settings.attributes,
            "service.name": settings.service_name,
        }
    )
