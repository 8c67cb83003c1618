"""Makes spans of every call that its caller, or chance, wants traced."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headgate.ending import ending_of
from headgate.tracing.onward import Onward
from headgate.tracing.pipeline import Pipeline
from headgate.tracing.spans import CallSpans, Studio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.config import Settings
    from headgate.progress import Progress, Watch


class Traced(Onward):
    """See `Onward`; with an endpoint."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.telemetry.propagators)
        self._pipeline = Pipeline(settings.telemetry)
        upstream = urlsplit(settings.upstream.url or "")
        self._studio = Studio(
            tracer=self._pipeline.tracer,
            kinds=self.kinds,
            provider="openai" if settings.profile == "openai" else "openai_compatible",
            host=upstream.hostname or "",
            port=upstream.port or (443 if upstream.scheme == "https" else 80),
        )

    def around(self, inner: Watch) -> Watch:
        """The Watch that also makes spans."""

        @contextmanager
        def watch(face: str, method: str = "unknown") -> Iterator[Progress]:
            with inner(face, method) as progress:
                spans = CallSpans(self._studio, progress, face, method)
                progress.follower = spans
                try:
                    yield progress
                except BaseException as error:
                    spans.end(ending_of(error, progress.call, time.monotonic()))
                    raise
                spans.end(ending_of(None, progress.call, time.monotonic()))

        return watch

    async def aclose(self) -> None:
        """Send the last spans, within a few seconds."""
        await self._pipeline.aclose()
