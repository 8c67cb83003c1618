"""Trace context from strangers, OpenTelemetry's own variables, and what is imported for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import grpc
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headgate.config import TelemetrySettings, load
from headgate.ending import Ending, ending_of
from headgate.errors import Draining, InternalError, Reason, Refused, UpstreamUnavailable
from headgate.guard import PeerGone
from headgate.request_id import request_id_of
from headgate.tracing import names
from headgate.tracing.onward import Carried, as_headers
from headgate.wire import ChatRequest
from support.processes import clean_environment

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
BOTH = ("tracecontext", "baggage")


@pytest.mark.parametrize(
    "parent", [f"00-{TRACE}-01", f"00-{TRACE}-00", f"01-{TRACE}-01", f"cc-{TRACE}-01-later"]
)
def test_valid_trace_context_goes_on(parent: str) -> None:
    """Of this version and of later ones (Trace Context, section 3.2.2), with its state."""
    fields = Carried({"traceparent": parent, "tracestate": "a=1"}, BOTH).fields
    assert fields == {"traceparent": parent, "tracestate": "a=1"}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "junk",
        f"ff-{TRACE}-01",
        f"00-{TRACE}-01-more",
        f"00-{TRACE.upper()}-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        f"00-{TRACE}-01\n",
    ],
)
def test_what_is_no_trace_context_goes_nowhere(parent: str) -> None:
    """Nor does a state without it."""
    assert Carried({"traceparent": parent, "tracestate": "a=1"}, BOTH).fields == {}


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage"]), st.text()))
def test_whatever_goes_on_can_stand_in_a_header(headers: dict[str, str]) -> None:
    """One line of ASCII, and bounded."""
    for _, value in as_headers(Carried(headers, BOTH).fields):
        assert value.isascii()
        assert b"\n" not in value
        assert b"\r" not in value
    long = {"traceparent": f"00-{TRACE}-01", "tracestate": "a" * 513, "baggage": "b" * 8193}
    assert list(Carried(long, BOTH).fields) == ["traceparent"]


@given(st.text())
def test_a_request_id_can_stand_in_a_header_and_a_log(given_id: str) -> None:
    """The caller's own if it can, else a new one."""
    made = request_id_of(given_id)
    assert 0 < len(made) <= 128
    assert made.isascii()
    assert made.isprintable()
    assert not set(made) & set("\"' \\")


OTLP = "OTEL_EXPORTER_OTLP_"


@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        ({f"{OTLP}ENDPOINT": "http://c:4318"}, {"traces_url": "http://c:4318/v1/traces"}),
        ({f"{OTLP}ENDPOINT": "http://c/otlp/"}, {"traces_url": "http://c/otlp/v1/traces"}),
        ({f"{OTLP}TRACES_ENDPOINT": "http://c/x"}, {"traces_url": "http://c/x"}),
        ({f"{OTLP}ENDPOINT": "http://c:4317", f"{OTLP}PROTOCOL": "grpc"}, {"traces_url": None}),
        ({f"{OTLP}ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, {"traces_url": None}),
        ({f"{OTLP}ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, {"traces_url": None}),
        ({"OTEL_SERVICE_NAME": "x"}, {"service_name": "x"}),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=y,a=b%20c"},
            {"service_name": "y", "attributes": {"a": "b c"}},
        ),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
            {"sample_ratio": 0.25},
        ),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {"sample_ratio": 0}),
        ({"OTEL_PROPAGATORS": "b3,tracecontext"}, {"propagators": ["tracecontext"]}),
        ({"OTEL_PROPAGATORS": "none"}, {"propagators": []}),
    ],
)
def test_opentelemetrys_variables(variables: dict[str, str], settings: dict[str, Any]) -> None:
    """Those that say the same as a setting count as that setting."""
    telemetry = load({}, variables, None).telemetry
    assert {name: getattr(telemetry, name) for name in settings} == settings


def test_our_own_names_win_over_opentelemetrys() -> None:
    """And a wrong value names the variable that it is from."""
    variables = {"OTEL_SERVICE_NAME": "theirs", "HEADGATE_TELEMETRY__SERVICE_NAME": "ours"}
    settings = load({}, variables, None)
    assert settings.telemetry.service_name == "ours"
    with pytest.raises(Exception, match="from OTEL_TRACES_SAMPLER_ARG"):
        load({}, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, None)


@pytest.mark.parametrize(
    "url", ["c:4318", "ftp://c", "http://", "http://u:p@c", "http://c/?key=x", "http://c/ x"]
)
def test_an_endpoint_holds_no_secret(url: str) -> None:
    """Exporters write it into their messages."""
    with pytest.raises(ValidationError):
        TelemetrySettings(otlp_endpoint=url)


def test_a_url_without_a_path_gets_the_usual_one() -> None:
    """As the specification's base endpoints do."""
    urls = ["http://c:4318", "http://c:4318/", "http://c/own"]
    found = [TelemetrySettings(otlp_endpoint=url).traces_url for url in urls]
    assert found == ["http://c:4318/v1/traces", "http://c:4318/v1/traces", "http://c/own"]


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (None, Ending("OK")),
        (UpstreamUnavailable(""), Ending("UNAVAILABLE", "UPSTREAM_UNAVAILABLE", 503)),
        (Draining(), Ending("UNAVAILABLE", "DRAINING", 503)),
        (InternalError(), Ending("INTERNAL", "INTERNAL", 500)),
        (ValueError(), Ending("INTERNAL", "INTERNAL", 500)),
        (PeerGone(), Ending("CANCELLED", http=None)),
        (web.HTTPRequestTimeout(), Ending("INVALID_ARGUMENT", "INVALID_REQUEST", 408)),
        # Nobody has cancelled this task, so it is a fault of ours.
        (asyncio.CancelledError(), Ending("INTERNAL", "INTERNAL", 500)),
    ],
)
async def test_how_a_call_ends(error: BaseException | None, ending: Ending) -> None:
    """In the words of both faces."""
    assert ending_of(error, None, 0.0) == ending


def test_every_refusal_has_a_reason() -> None:
    """So that no ending is without one."""
    assert all(isinstance(kind.reason, Reason) for kind in Refused.__subclasses__())


def test_faults_are_those_of_the_conventions() -> None:
    """Of a server, codes that are its own doing; every code is one of gRPC's."""
    codes = [code.name for code in grpc.StatusCode]
    faults = [code for code in codes if names.is_fault("grpc", Ending(code))]
    assert faults == [
        *("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
    ]
    assert [names.is_fault("http", Ending("X", http=status)) for status in (400, 503, None)] == [
        *(False, True, False)
    ]


def test_every_parameter_of_the_table_is_the_requests() -> None:
    """A name that has changed there must change here."""
    assert names._PARAMETERS.keys() <= set(ChatRequest.__struct_fields__)


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        ("headgate.gateway", "opentelemetry"),
        ("headgate.workers.supervisor", "grpc"),
        ("headgate.workers.supervisor", "opentelemetry"),
        ("headgate.cli", "structlog"),
    ],
)
def test_nothing_is_imported_that_is_not_needed(module: str, missing: str) -> None:
    """The SDK takes time and memory; a supervisor has no gRPC."""
    program = f"import sys, {module}; print({missing!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean_environment(),
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "False\n"
