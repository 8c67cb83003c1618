"""Counts attempts at the upstream: how each ended, how long it took, what it cost."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from headgate.telemetry import buckets
from headgate.telemetry.children import children

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from headgate import wire
    from headgate.http_upstream import AttemptReport

_KNOWN = frozenset(int(status) for status in HTTPStatus)


class AttemptMeter:
    """Hears of every attempt when it is over.

    Args:
        registry: where the metrics are put.
        caller_label: the label that a caller has.
    """

    def __init__(self, registry: CollectorRegistry, caller_label: Callable[[str], str]) -> None:
        self._caller_label = caller_label
        self._attempts = children(
            Counter(
                "headgate_attempts",
                "Attempts at the upstream that ended: its HTTP status (none: no answer) and the"
                " outcome, which is OK, CANCELLED or the reason of the failure.",
                ["status", "outcome"],
                registry=registry,
            )
        )
        self._tokens = children(
            Counter(
                "headgate_tokens",
                "Tokens, as the upstream counts them; cached ones are among the prompt's, reasoning"
                " ones among the completion's.",
                ["caller", "kind"],
                registry=registry,
            )
        )
        self._connect = _histogram(
            registry,
            "headgate_upstream_connect_seconds",
            "From an attempt's start to its connection, new or kept alive.",
            buckets.CONNECT,
        )
        self._response = _histogram(
            registry,
            "headgate_upstream_response_seconds",
            "From writing a request to the head of the upstream's answer.",
            buckets.FIRST_CONTENT,
        )
        self._first_content = _histogram(
            registry,
            "headgate_upstream_first_content_seconds",
            "From writing a request to the first content of its answer.",
            buckets.FIRST_CONTENT,
        )
        self._duration = _histogram(
            registry,
            "headgate_upstream_duration_seconds",
            "From writing a request to the end of its answer, however it ended.",
            buckets.CALL,
        )

    def hear(self, report: AttemptReport) -> None:
        """An attempt is over."""
        self._attempts(_status(report.status), report.outcome).inc()
        if report.connected is not None:
            self._connect.observe(report.connected)
        if (written := report.written) is not None:
            if report.responded is not None:
                self._response.observe(report.responded - written)
            if report.first_content is not None:
                self._first_content.observe(report.first_content - written)
            self._duration.observe(report.ended - written)
        if report.usage is not None:
            self._count(report.usage, self._caller_label(report.caller))

    def _count(self, usage: wire.Usage, caller: str) -> None:
        prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
        for kind, tokens in (
            ("prompt", usage.prompt_tokens),
            ("completion", usage.completion_tokens),
            ("cached", prompt.cached_tokens if prompt else None),
            ("reasoning", completion.reasoning_tokens if completion else None),
        ):
            if tokens and 0 < tokens < 2**31:  # figures that no count can be are left out
                self._tokens(caller, kind).inc(tokens)


def _histogram(
    registry: CollectorRegistry, name: str, text: str, bounds: tuple[float, ...]
) -> Histogram:
    return Histogram(name, text, buckets=bounds, registry=registry)


def _status(status: int | None) -> str:
    """An upstream may invent numbers, and none of them shall be a series of its own."""
    if status is None:
        return "none"
    return str(status) if status in _KNOWN else "other"
