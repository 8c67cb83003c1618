"""Every error a call can end with.

HeadgateError (a grpc.RpcError)
├── InvalidRequest     INVALID_REQUEST,                     wrong fields; see `violations`
│                      IDEMPOTENCY_MISMATCH
├── RateLimited        CALLER_LIMIT, QUEUE_FULL,            too much now; see `retry_after`
│                      WAIT_TOO_LONG, UPSTREAM_LIMIT
├── Unavailable        UPSTREAM_UNAVAILABLE, DRAINING,      nobody answered, or not in time
│                      UPSTREAM_TIMEOUT
├── UpstreamRefused    UPSTREAM_REJECTED,                   the upstream said no
│                      UPSTREAM_NOT_FOUND,
│                      UPSTREAM_CREDENTIALS
├── Interrupted        STREAM_INTERRUPTED                   cut after the first delta
├── DeadlineExceeded   DEADLINE                             the call's own timeout passed
├── Unauthenticated    UNAUTHENTICATED                      no or wrong credentials
├── PermissionDenied   PERMISSION_DENIED                    known, but not allowed
├── InternalFailure    INTERNAL, UPSTREAM_PROTOCOL          the gateway's log knows more
└── Cancelled                                               this side cancelled the call
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc

if TYPE_CHECKING:
    from collections.abc import Iterable

Trailers = tuple[tuple[str, str | bytes], ...]


class FieldViolation(NamedTuple):
    """One wrong field of a request: its path in the contract, and what is allowed."""

    field: str
    description: str


class HeadgateError(grpc.RpcError):
    """A call that did not end well.

    Attributes:
        reason: the machine-readable reason, as in the contract's `ErrorReason` without its prefix;
            empty when the status was not made by the gateway.
        retry_after: seconds after which a new try makes sense, or None.
        metadata: further facts (google.rpc.ErrorInfo), short strings.
        violations: every wrong field of the request (google.rpc.BadRequest).
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        details: str,
        *,
        reason: str = "",
        retry_after: float | None = None,
        metadata: dict[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        trailers: Trailers = (),
    ) -> None:
        super().__init__(details)
        self.reason = reason
        self.retry_after = retry_after
        self.metadata: dict[str, str] = metadata or {}
        self.violations: list[FieldViolation] = list(violations)
        self._code = code
        self._details = details
        self._trailers = trailers

    def code(self) -> grpc.StatusCode:
        """The gRPC status code."""
        return self._code

    def details(self) -> str:
        """The status message: one line for a person."""
        return self._details

    def trailing_metadata(self) -> Trailers:  # type: ignore[override]
        """The trailers as they came."""
        return self._trailers

    def __str__(self) -> str:
        """`details (REASON)`; without a reason the name of the code."""
        return f"{self._details or 'no details'} ({self.reason or self._code.name})"


class InvalidRequest(HeadgateError):
    """The request is wrong; `violations` names every wrong field at once.

    With IDEMPOTENCY_MISMATCH there are none: its key is in use for another request.
    """


class RateLimited(HeadgateError):
    """Too much at the moment: for this caller, for the queue, or for the upstream."""


class Unavailable(HeadgateError):
    """Nobody answered, or not in time; nothing of the answer was sent."""


class UpstreamRefused(HeadgateError):
    """The upstream said no, and would say so again."""


class Interrupted(HeadgateError):
    """The stream was cut after its first delta; what was read so far is all there is."""

    @property
    def position_sent(self) -> int | None:
        """How many upstream deltas had been sent (`ChatDelta.position`), or None if unknown."""
        position = self.metadata.get("position_sent", "")
        return int(position) if re.fullmatch("[0-9]{1,10}", position) else None


class DeadlineExceeded(HeadgateError):
    """The call's own timeout passed; metadata `phase` says where the time went, if known."""


class Unauthenticated(HeadgateError):
    """No credentials, or wrong ones."""


class PermissionDenied(HeadgateError):
    """The caller is known, and is not allowed to do this."""


class InternalFailure(HeadgateError):
    """The gateway, or the upstream's protocol, is broken; the gateway's log knows more."""


class Cancelled(HeadgateError):
    """This side cancelled the call."""


BY_REASON: Final[dict[str, type[HeadgateError]]] = {
    "INVALID_REQUEST": InvalidRequest,
    "CALLER_LIMIT": RateLimited,
    "QUEUE_FULL": RateLimited,
    "WAIT_TOO_LONG": RateLimited,
    "UPSTREAM_LIMIT": RateLimited,
    "UPSTREAM_REJECTED": UpstreamRefused,
    "UPSTREAM_NOT_FOUND": UpstreamRefused,
    "UPSTREAM_CREDENTIALS": UpstreamRefused,
    "UPSTREAM_UNAVAILABLE": Unavailable,
    "UPSTREAM_TIMEOUT": Unavailable,
    "UPSTREAM_PROTOCOL": InternalFailure,
    "STREAM_INTERRUPTED": Interrupted,
    "DEADLINE": DeadlineExceeded,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "DRAINING": Unavailable,
    "INTERNAL": InternalFailure,
    "IDEMPOTENCY_MISMATCH": InvalidRequest,
}

# For statuses that gRPC or a proxy made. RESOURCE_EXHAUSTED is missing with intent:
# gRPC says it of messages that are too large, and waiting does not make them smaller.
BY_CODE: Final[dict[grpc.StatusCode, type[HeadgateError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.ABORTED: Interrupted,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.INTERNAL: InternalFailure,
    grpc.StatusCode.CANCELLED: Cancelled,
}
