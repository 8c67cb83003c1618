"""A line for each attempt that failed: where, how, which one; not what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from headgate.errors import Reason, UpstreamError
from headgate.logs.tracebacks import words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.errors import HeadgateError
    from headgate.http_upstream import AttemptReport

FAILED = "attempt failed"
# The caller's own doing, so nothing for an operator to look at.
_OF_THE_CALLER = frozenset({Reason.UPSTREAM_REJECTED, Reason.UPSTREAM_NOT_FOUND})
_log = structlog.get_logger("headgate")


class AttemptLog:
    """Hears of every attempt, in the task of its call.

    Args:
        url: of the upstream; its host is in every line.
        then: hears of it, too.
    """

    def __init__(self, url: str, then: Callable[[AttemptReport], None]) -> None:
        self._host = host_of(url)
        self._then = then

    def hear(self, report: AttemptReport) -> None:
        """An attempt is over."""
        if report.error is not None:
            self._tell(report, report.error)
        self._then(report)

    def _tell(self, report: AttemptReport, error: HeadgateError) -> None:
        tell = _log.info if error.reason in _OF_THE_CALLER else _log.warning
        tell(
            FAILED,
            host=self._host,
            attempt=report.number,
            reason=error.reason.value,
            seconds=round(report.ended, 4),
            **_details(report, error),
        )


def host_of(url: str) -> str:
    """`example.org:443`: no path, no user, no password."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _details(report: AttemptReport, error: HeadgateError) -> dict[str, object]:
    """Not the error's message: an upstream's own words may quote the prompt."""
    facts = {
        "status": report.status,
        "cause": _cause(report, error),
        "fault": _root(error),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _cause(report: AttemptReport, error: HeadgateError) -> str | None:
    """A word for what broke an answer that had begun, or the name of a timer."""
    if word := error.metadata.get("cause") or error.metadata.get("timeout"):
        return word
    begun = report.status is not None and report.status < 300
    return error.cause if begun and isinstance(error, UpstreamError) else None


def _root(error: BaseException) -> str | None:
    """What is behind it: the system's word, or the name of the exception."""
    found = error.__cause__
    while found is not None and found.__cause__ is not None:
        found = found.__cause__
    return None if found is None else words_of(found)
