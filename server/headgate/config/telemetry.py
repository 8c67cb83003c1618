"""The section `telemetry`: where traces go, and which of them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from headgate.config.section import Section
from headgate.config.values import (  # noqa: TC001 - pydantic looks them up at run time
    Headers,
    Number,
    Propagators,
    Table,
    Text,
)

TRACES_PATH = "/v1/traces"


def _endpoint(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be the URL of an OTLP receiver, such as http://127.0.0.1:4318")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must not hold a user, password or query; use telemetry.otlp_headers")
    return text


def _named(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


class TelemetrySettings(Section):
    """Traces over OTLP, by HTTP and protobuf; nothing is traced without an endpoint."""

    otlp_endpoint: Annotated[Text, AfterValidator(_endpoint)] = Field(
        default=None,
        description="Where traces are sent by OTLP over HTTP; a URL without a path gets /v1/traces."
        " OTEL_EXPORTER_OTLP_ENDPOINT counts where this is not set.",
    )
    otlp_headers: Headers = Field(
        default={},
        description="Headers of every export; their values are secrets: no flag.",
    )
    sample_ratio: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=1.0,
        description="The share of calls that are traced, from 0 to 1; where the caller has decided,"
        " its word counts.",
    )
    service_name: Annotated[str, AfterValidator(_named)] = Field(
        default="headgate", description="The `service.name` of the spans."
    )
    attributes: Table = Field(
        default={},
        description='Further attributes of the service, such as {"service.version": "7"}.',
    )
    propagators: Propagators = Field(
        default=["tracecontext", "baggage"],
        description="What of a caller's trace goes on to the upstream, whether we trace or not:"
        " traceparent and tracestate, baggage; an empty list: nothing.",
    )

    @property
    def traces_url(self) -> str | None:
        """Where spans are posted."""
        if self.otlp_endpoint is None or urlsplit(self.otlp_endpoint).path.strip("/"):
            return self.otlp_endpoint
        return self.otlp_endpoint.rstrip("/") + TRACES_PATH
