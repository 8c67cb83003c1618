"""Makes spans of every call that its caller, or chance, wants traced."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headgate.tracing.onward import Onward
from headgate.tracing.pipeline import Pipeline
from headgate.tracing.spans import CallSpans, Studio

if TYPE_CHECKING:
    from headgate.config import Settings
    from headgate.ending import Ending
    from headgate.progress import Progress
    from headgate.watch import Watch


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
        return _Spanned(inner, self._studio)

    async def aclose(self) -> None:
        """Send the last spans, within a few seconds."""
        await self._pipeline.aclose()


class _Spanned:
    """A Watch; see `Traced`."""

    def __init__(self, inner: Watch, studio: Studio) -> None:
        self._inner = inner
        self._studio = studio

    def begin(self, face: str, method: str = "unknown") -> Progress:
        progress = self._inner.begin(face, method)
        progress.follower = CallSpans(self._studio, progress, face, method)
        return progress

    def end(self, progress: Progress, ending: Ending) -> None:
        try:
            if isinstance(progress.follower, CallSpans):
                progress.follower.end(ending)
        finally:
            self._inner.end(progress, ending)
