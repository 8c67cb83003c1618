"""OpenTelemetry's own environment variables, for those that say the same as a setting of ours.

What the SDK reads by itself (OTEL_BSP_*, OTEL_SPAN_*, OTEL_EXPORTER_OTLP_TIMEOUT, _COMPRESSION and
_CERTIFICATE) it still reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

_OTLP = "OTEL_EXPORTER_OTLP_"
_TRUE = "true"


class Found(NamedTuple):
    """A setting's value, and the variable that it is from."""

    value: object
    variable: str


def from_otel(env: Mapping[str, str]) -> dict[str, Found]:
    """What the standard variables say, by the dotted names of our settings."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == _TRUE:
        return {}
    found = {**_exporter(env), **_sampler(env)}
    if name := env.get("OTEL_SERVICE_NAME"):
        found["telemetry.service_name"] = Found(name, "OTEL_SERVICE_NAME")
    if pairs := _pairs(env.get("OTEL_RESOURCE_ATTRIBUTES", "")):
        name = pairs.pop("service.name", "")
        if name and "telemetry.service_name" not in found:
            found["telemetry.service_name"] = Found(name, "OTEL_RESOURCE_ATTRIBUTES")
        found["telemetry.attributes"] = Found(pairs, "OTEL_RESOURCE_ATTRIBUTES")
    if words := env.get("OTEL_PROPAGATORS"):
        known = [word for word in words.split(",") if word in {"tracecontext", "baggage"}]
        found["telemetry.propagators"] = Found(known, "OTEL_PROPAGATORS")
    return found


def _exporter(env: Mapping[str, str]) -> dict[str, Found]:
    """The endpoint, unless the variables ask for something else than OTLP over HTTP."""
    protocol = env.get(f"{_OTLP}TRACES_PROTOCOL") or env.get(f"{_OTLP}PROTOCOL")
    if env.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp" or protocol not in {None, "http/protobuf"}:
        return {}
    found = {}
    if url := env.get(f"{_OTLP}TRACES_ENDPOINT"):
        found["telemetry.otlp_endpoint"] = Found(url, f"{_OTLP}TRACES_ENDPOINT")
    elif url := env.get(f"{_OTLP}ENDPOINT"):
        found["telemetry.otlp_endpoint"] = Found(url.rstrip("/") + "/v1/traces", f"{_OTLP}ENDPOINT")
    for variable in (f"{_OTLP}TRACES_HEADERS", f"{_OTLP}HEADERS"):
        if pairs := _pairs(env.get(variable, "")):
            found["telemetry.otlp_headers"] = Found(pairs, variable)
            break
    return found


def _sampler(env: Mapping[str, str]) -> dict[str, Found]:
    kind = env.get("OTEL_TRACES_SAMPLER", "").removeprefix("parentbased_")
    always = {"always_on": "1", "always_off": "0"}
    if kind in always:
        return {"telemetry.sample_ratio": Found(always[kind], "OTEL_TRACES_SAMPLER")}
    if kind == "traceidratio" and (ratio := env.get("OTEL_TRACES_SAMPLER_ARG")):
        return {"telemetry.sample_ratio": Found(ratio, "OTEL_TRACES_SAMPLER_ARG")}
    return {}


def _pairs(text: str) -> dict[str, str]:
    """`name=value,name=value`, values percent-encoded (W3C Baggage, section 3.2)."""
    parts = (part.partition("=") for part in text.split(","))
    return {name.strip(): unquote(value.strip()) for name, equals, value in parts if equals}
