"""Traces: what a caller's trace says goes on to the upstream, and spans go to an OTLP receiver.

`tracing_of` gives the gateway one of two: `Onward`, which only passes on, or `Traced`, which also
makes spans. OpenTelemetry is imported only for the second: it takes time and memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.tracing.onward import Onward

if TYPE_CHECKING:
    from headgate.config import Settings

__all__ = ["Onward", "tracing_of"]


def tracing_of(settings: Settings) -> Onward:
    """As `telemetry` says."""
    if settings.telemetry.traces_url is None:
        return Onward(settings.telemetry.propagators)
    from headgate.tracing.traced import Traced  # noqa: PLC0415 - see above

    return Traced(settings)
