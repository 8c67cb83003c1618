"""The section `metrics`: where an operator looks."""

from __future__ import annotations

from pydantic import Field

from headgate.config.section import Section
from headgate.config.values import HttpListen  # noqa: TC001 - pydantic looks it up at run time


class MetricsSettings(Section):
    listen: HttpListen = Field(
        default=None,
        description="Where `/metrics` (Prometheus), `/state`, `/healthz` and `/readyz` are served,"
        " in plain text and to everybody who reaches it: HOST:PORT.",
    )
