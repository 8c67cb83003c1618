"""One table from our reasons to what callers see: a gRPC status, an HTTP status, a pushback."""

from __future__ import annotations

from typing import NamedTuple

from grpc import StatusCode

from headgate.errors import (
    Draining,
    HeadgateError,
    Reason,
    Refused,
    UpstreamRejected,
)


class Row(NamedTuple):
    grpc: StatusCode
    http: int


TABLE: dict[Reason, Row] = {
    Reason.INVALID_REQUEST: Row(StatusCode.INVALID_ARGUMENT, 400),
    Reason.CALLER_LIMIT: Row(StatusCode.RESOURCE_EXHAUSTED, 429),
    Reason.QUEUE_FULL: Row(StatusCode.RESOURCE_EXHAUSTED, 429),
    Reason.WAIT_TOO_LONG: Row(StatusCode.RESOURCE_EXHAUSTED, 429),
    Reason.UPSTREAM_LIMIT: Row(StatusCode.RESOURCE_EXHAUSTED, 429),
    # An upstream that cannot take the request at all; a request at fault has the row below.
    Reason.UPSTREAM_REJECTED: Row(StatusCode.FAILED_PRECONDITION, 502),
    Reason.UPSTREAM_NOT_FOUND: Row(StatusCode.NOT_FOUND, 404),
    # Our key or account, so an HTTP caller must not take it for a 401 of its own.
    Reason.UPSTREAM_CREDENTIALS: Row(StatusCode.FAILED_PRECONDITION, 502),
    Reason.UPSTREAM_UNAVAILABLE: Row(StatusCode.UNAVAILABLE, 503),
    Reason.UPSTREAM_TIMEOUT: Row(StatusCode.UNAVAILABLE, 504),
    Reason.UPSTREAM_PROTOCOL: Row(StatusCode.INTERNAL, 502),
    Reason.STREAM_INTERRUPTED: Row(StatusCode.ABORTED, 502),
    Reason.DEADLINE: Row(StatusCode.DEADLINE_EXCEEDED, 504),
    Reason.UNAUTHENTICATED: Row(StatusCode.UNAUTHENTICATED, 401),
    Reason.PERMISSION_DENIED: Row(StatusCode.PERMISSION_DENIED, 403),
    Reason.DRAINING: Row(StatusCode.UNAVAILABLE, 503),
    Reason.INTERNAL: Row(StatusCode.INTERNAL, 500),
    Reason.IDEMPOTENCY_MISMATCH: Row(StatusCode.INVALID_ARGUMENT, 400),
}
_INVALID_UPSTREAM = Row(StatusCode.INVALID_ARGUMENT, 400)

# Pushback 0 makes grpcio 1.76 and 1.85 sit until the deadline, so nothing goes below this.
MIN_PUSHBACK = 0.05


def row(error: HeadgateError) -> Row:
    """The status of an error (design section 5)."""
    if isinstance(error, UpstreamRejected) and error.invalid:
        return _INVALID_UPSTREAM
    return TABLE[error.reason]


def grpc_code(error: HeadgateError) -> StatusCode:
    return row(error).grpc


def http_status(error: HeadgateError) -> int:
    return row(error).http


def pushback(error: HeadgateError, jitter: float) -> float | None:
    """Seconds after which a client's own retry is welcome; None tells it not to (gRFC A6).

    Only what was refused before anything went upstream may be tried again, and only when it is
    known when: every other status comes after the last attempt (promise 11).

    Args:
        error: the error that the call ends with.
        jitter: a random number from 0 to 1.
    """
    if isinstance(error, Draining):
        return MIN_PUSHBACK * (1 + jitter)
    if isinstance(error, Refused) and error.retry_after is not None:
        return error.retry_after + MIN_PUSHBACK * (1 + jitter)
    return None
