"""Every error that a caller can see, and one base for all of them.

HeadgateError
├── InvalidRequest         INVALID_REQUEST       fields out of range, nothing to say
├── IdempotencyMismatch    IDEMPOTENCY_MISMATCH  the key names another request
├── Refused                                      by a rule of ours, before anything went upstream
│   ├── CallerLimit        CALLER_LIMIT          the caller's own allowance
│   ├── QueueFull          QUEUE_FULL            no room, or displaced by a shorter line
│   ├── WaitTooLong        WAIT_TOO_LONG         the slot would come too late
│   └── Draining           DRAINING              this server is going away
├── Unauthenticated        UNAUTHENTICATED       no or wrong credentials
├── PermissionDenied       PERMISSION_DENIED     known, but not allowed
├── DeadlineExceeded       DEADLINE              the caller's deadline, with the phase
├── UpstreamError                                what the upstream did
│   ├── UpstreamLimit      UPSTREAM_LIMIT        429                                  retryable
│   ├── UpstreamRejected   UPSTREAM_REJECTED     400, 413, 422 and other 3xx and 4xx
│   ├── UpstreamNotFound   UPSTREAM_NOT_FOUND    404
│   ├── UpstreamCredentials UPSTREAM_CREDENTIALS 401, 402, 403: our key, not the caller's
│   ├── UpstreamUnavailable UPSTREAM_UNAVAILABLE refused, reset, cut, 5xx             retryable
│   ├── UpstreamTimeout    UPSTREAM_TIMEOUT      connect, first token, idle, total    retryable
│   ├── UpstreamProtocol   UPSTREAM_PROTOCOL     an answer that is no answer
│   └── StreamInterrupted  STREAM_INTERRUPTED    cut after the first delta
└── InternalError          INTERNAL              anything else; no detail leaves the process

`retryable` says what the gateway itself may do, and only before the first content delta.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal, NamedTuple, Self


class Reason(StrEnum):
    """The machine-readable reasons (AIP-193): the proto's ErrorReason without its prefix."""

    INVALID_REQUEST = "INVALID_REQUEST"
    CALLER_LIMIT = "CALLER_LIMIT"
    QUEUE_FULL = "QUEUE_FULL"
    WAIT_TOO_LONG = "WAIT_TOO_LONG"
    UPSTREAM_LIMIT = "UPSTREAM_LIMIT"
    UPSTREAM_REJECTED = "UPSTREAM_REJECTED"
    UPSTREAM_NOT_FOUND = "UPSTREAM_NOT_FOUND"
    UPSTREAM_CREDENTIALS = "UPSTREAM_CREDENTIALS"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    UPSTREAM_TIMEOUT = "UPSTREAM_TIMEOUT"
    UPSTREAM_PROTOCOL = "UPSTREAM_PROTOCOL"
    STREAM_INTERRUPTED = "STREAM_INTERRUPTED"
    DEADLINE = "DEADLINE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    DRAINING = "DRAINING"
    INTERNAL = "INTERNAL"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"


class HeadgateError(Exception):
    """A failure with a message that is safe to show to the caller.

    Attributes:
        reason: the machine-readable reason.
        retryable: whether the gateway may make another attempt (before the first delta).
        message: one line for a person; never text of an internal error.
        retry_after: seconds after which a new try makes sense, when that is known.
        metadata: further facts for google.rpc.ErrorInfo, short strings.
    """

    reason: ClassVar[Reason]
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.metadata = metadata or {}

    def twin(self) -> Self:
        """The same error for another caller: raised by itself, with metadata of its own."""
        twin = type(self).__new__(type(self), *self.args)
        twin.__dict__.update(self.__dict__, metadata=dict(self.metadata))
        return twin


class FieldViolation(NamedTuple):
    """One wrong field of a request: its path in the contract, and what is allowed."""

    field: str
    description: str


class InvalidRequest(HeadgateError):
    """Carries every wrong field at once (google.rpc.BadRequest)."""

    reason = Reason.INVALID_REQUEST

    def __init__(self, violations: list[FieldViolation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first.field}: {first.description}{more}")
        self.violations = violations


class IdempotencyMismatch(HeadgateError):
    """The key was used for another request, whose answer would be the wrong one."""

    reason = Reason.IDEMPOTENCY_MISMATCH

    def __init__(self) -> None:
        super().__init__(
            "idempotency_key: is in use for another method or body; take a new key for each request"
        )


class Refused(HeadgateError):
    """Refused by a rule of the gateway; nothing went upstream, so it is no upstream failure."""


class CallerLimit(Refused):
    reason = Reason.CALLER_LIMIT


class QueueFull(Refused):
    reason = Reason.QUEUE_FULL


class WaitTooLong(Refused):
    reason = Reason.WAIT_TOO_LONG


class Draining(Refused):
    reason = Reason.DRAINING

    def __init__(self, message: str = "this server is shutting down; try another") -> None:
        super().__init__(message)


class Unauthenticated(HeadgateError):
    reason = Reason.UNAUTHENTICATED


class PermissionDenied(HeadgateError):
    reason = Reason.PERMISSION_DENIED


class DeadlineExceeded(HeadgateError):
    """The caller's deadline passed; `phase` says where the time went."""

    reason = Reason.DEADLINE

    def __init__(self, phase: str) -> None:
        super().__init__(f"the deadline passed while {phase}", metadata={"phase": phase})


class UpstreamError(HeadgateError):
    """The upstream's doing; `status` is its HTTP status where it gave one.

    `cause` is the word that a StreamInterrupted carries when this ends a stream that has begun:
    cut, broken, error_event or the name of a timer.
    """

    cause: str = "cut"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        metadata = dict(metadata or {})
        if status is not None:
            metadata["upstream_status"] = str(status)
        super().__init__(message, retry_after=retry_after, metadata=metadata)
        self.status = status


class UpstreamLimit(UpstreamError):
    reason = Reason.UPSTREAM_LIMIT
    retryable = True


class UpstreamRejected(UpstreamError):
    """`invalid` tells a bad request (400, 413, 422) from an upstream that cannot take it at all."""

    reason = Reason.UPSTREAM_REJECTED

    def __init__(self, message: str, *, status: int | None = None, invalid: bool = False) -> None:
        super().__init__(message, status=status)
        self.invalid = invalid


class UpstreamNotFound(UpstreamError):
    reason = Reason.UPSTREAM_NOT_FOUND


class UpstreamCredentials(UpstreamError):
    reason = Reason.UPSTREAM_CREDENTIALS


class UpstreamUnavailable(UpstreamError):
    reason = Reason.UPSTREAM_UNAVAILABLE
    retryable = True


TimeoutPhase = Literal["connect", "first_token", "idle", "total"]


class UpstreamTimeout(UpstreamError):
    """A timer of the gateway ran out; the total timer spans all attempts and is never retried."""

    reason = Reason.UPSTREAM_TIMEOUT

    def __init__(self, phase: TimeoutPhase, seconds: float) -> None:
        name = phase.replace("_", " ")
        super().__init__(
            f"the upstream took longer than {seconds:g} s ({name} timeout)",
            metadata={"timeout": phase},
        )
        self.phase = phase
        self.retryable = phase != "total"
        self.cause = f"{phase}_timeout"


class UpstreamProtocol(UpstreamError):
    reason = Reason.UPSTREAM_PROTOCOL
    cause = "broken"


class StreamInterrupted(UpstreamError):
    """Cut, stalled or broken after the first delta; the face adds how far it had come.

    `failure` is what it would have been before that delta, when it was the upstream's.
    """

    reason = Reason.STREAM_INTERRUPTED

    def __init__(self, message: str, *, cause: str, failure: UpstreamError | None = None) -> None:
        super().__init__(message, metadata={"cause": cause})
        self.failure = failure


class InternalError(HeadgateError):
    """Stands in for any error that is not one of ours; the log has the real one."""

    reason = Reason.INTERNAL

    def __init__(self) -> None:
        super().__init__("internal error; the log has the details under the request id")
