"""The table from an upstream's HTTP status, or an error object in its answer, to our errors."""

from __future__ import annotations

from typing import Any

from headgate.errors import (
    UpstreamCredentials,
    UpstreamError,
    UpstreamLimit,
    UpstreamNotFound,
    UpstreamRejected,
    UpstreamUnavailable,
)

MAX_MESSAGE = 400
# Messages stand a few levels deep; what is deeper was not written for people.
MAX_LEVELS = 10
_CREDENTIALS = frozenset({401, 402, 403})
_INVALID = frozenset({400, 413, 422})
_TRANSIENT = frozenset({408, 409, 425})


def error_for_status(
    status: int, message: str = "", retry_after: float | None = None
) -> UpstreamError:
    """The error that an HTTP status other than 2xx stands for.

    Args:
        status: RFC 9110 status code.
        message: the upstream's own words; they reach the caller only where the request was at
            fault, because elsewhere they may speak of our key or of the upstream's insides.
        retry_after: seconds, when the upstream named them.
    """
    words = f": {message}" if message else ""
    if status == 429:
        return UpstreamLimit(
            "the upstream's rate limit was hit (429)", status=status, retry_after=retry_after
        )
    if status in _CREDENTIALS:
        return UpstreamCredentials(
            f"the upstream refused the gateway's credentials or account ({status})", status=status
        )
    if status in _INVALID:
        return UpstreamRejected(
            f"the upstream rejected the request ({status}){words}", status=status, invalid=True
        )
    if status == 404:
        return UpstreamNotFound(f"the upstream found nothing there (404){words}", status=status)
    if status >= 500 or status in _TRANSIENT:
        return UpstreamUnavailable(
            f"the upstream answered with status {status}", status=status, retry_after=retry_after
        )
    return UpstreamRejected(f"the upstream answered with status {status}", status=status)


def error_in_body(error: object) -> UpstreamError:
    """The error for an error object in a 200: by its numeric code as if that were the status."""
    status = _numeric_code(error)
    if status is None:
        found: UpstreamError = UpstreamUnavailable("the upstream reported an error in its answer")
    else:
        found = error_for_status(status, message_of(error))
    found.cause = "error_event"
    return found


def message_of(value: Any, levels: int = MAX_LEVELS) -> str:
    """The upstream's own words, from any of the shapes in use, as one bounded line."""
    if levels == 0:
        return ""
    if isinstance(value, dict):
        for key in ("error", "message", "detail", "msg"):
            if value.get(key):
                return (_place(value.get("loc")) + message_of(value[key], levels - 1))[:MAX_MESSAGE]
        return ""
    if isinstance(value, list):
        return message_of(value[0], levels - 1) if value else ""
    return " ".join(value.split())[:MAX_MESSAGE] if isinstance(value, str) else ""


def _place(loc: object) -> str:
    """Where a fault is, in the words of FastAPI, such as `body.messages.0.role: `."""
    if not isinstance(loc, list):
        return ""
    steps = [str(step) for step in loc if isinstance(step, str | int)]
    return " ".join(".".join(steps).split()) + ": " if steps else ""


def _numeric_code(error: object) -> int | None:
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code.isascii() and code.isdigit():
        code = int(code[:4])
    if isinstance(code, bool) or not isinstance(code, int) or not 400 <= code <= 599:
        return None
    return code
