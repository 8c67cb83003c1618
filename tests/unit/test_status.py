"""One table from reasons to statuses: a row per reason, and what clients are told of retries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from grpc import StatusCode

from headgate import errors
from headgate.errors import FieldViolation, HeadgateError, Reason
from headgate.status import MIN_PUSHBACK, TABLE, grpc_code, http_status, pushback
from headgate.v1 import chat_pb2 as pb

Code = StatusCode
# As in the contract's comments on ErrorReason, and the HTTP statuses beside them.
ROWS: list[tuple[HeadgateError, StatusCode, int]] = [
    (errors.InvalidRequest([FieldViolation("n", "no")]), Code.INVALID_ARGUMENT, 400),
    (errors.IdempotencyMismatch(), Code.INVALID_ARGUMENT, 400),
    (errors.CallerLimit(""), Code.RESOURCE_EXHAUSTED, 429),
    (errors.QueueFull(""), Code.RESOURCE_EXHAUSTED, 429),
    (errors.WaitTooLong(""), Code.RESOURCE_EXHAUSTED, 429),
    (errors.Draining(), Code.UNAVAILABLE, 503),
    (errors.Unauthenticated(""), Code.UNAUTHENTICATED, 401),
    (errors.PermissionDenied(""), Code.PERMISSION_DENIED, 403),
    (errors.DeadlineExceeded("queued"), Code.DEADLINE_EXCEEDED, 504),
    (errors.UpstreamLimit(""), Code.RESOURCE_EXHAUSTED, 429),
    (errors.UpstreamRejected(""), Code.FAILED_PRECONDITION, 502),
    (errors.UpstreamRejected("", invalid=True), Code.INVALID_ARGUMENT, 400),
    (errors.UpstreamNotFound(""), Code.NOT_FOUND, 404),
    (errors.UpstreamCredentials(""), Code.FAILED_PRECONDITION, 502),
    (errors.UpstreamUnavailable(""), Code.UNAVAILABLE, 503),
    *(
        (errors.UpstreamTimeout(phase, 1), Code.UNAVAILABLE, 504)
        for phase in ("connect", "first_token", "idle", "total")
    ),
    (errors.UpstreamProtocol(""), Code.INTERNAL, 502),
    (errors.StreamInterrupted("", cause="cut"), Code.ABORTED, 502),
    (errors.InternalError(), Code.INTERNAL, 500),
]


def name(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, HeadgateError) else None


@pytest.mark.parametrize(("error", "code", "http"), ROWS, ids=name)
def test_row(error: HeadgateError, code: StatusCode, http: int) -> None:
    """The gRPC code and the HTTP status of every error."""
    assert (grpc_code(error), http_status(error)) == (code, http)


def test_every_reason_has_a_row_and_a_test() -> None:
    """The table, the tree of errors and the contract's enum name the same reasons."""
    contract = {word.removeprefix("ERROR_REASON_") for word in pb.ErrorReason.keys()}  # noqa: SIM118 - a protobuf enum is no dict
    assert set(TABLE) == set(Reason)
    assert {error.reason for error, _, _ in ROWS} == set(Reason)
    assert {reason.value for reason in Reason} == contract - {"UNSPECIFIED"}


def test_the_front_page_tells_of_every_reason() -> None:
    """In its table of errors, which has no other reasons either."""
    page = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = page[page.index("| reason | gRPC | HTTP |") :].partition("\n\n")[0]
    told = {
        reason
        for cell in re.findall(r"(?m)^\| ([A-Z_, ]+) \|", table)
        for reason in cell.split(", ")
    }
    assert told == {reason.value for reason in Reason}


def retry_after(error: HeadgateError, seconds: float) -> HeadgateError:
    error.retry_after = seconds
    return error


@pytest.mark.parametrize("error", [row[0] for row in ROWS], ids=name)
@pytest.mark.parametrize("seconds", [None, 0.0, 1.5])
@pytest.mark.parametrize("jitter", [0.0, 0.999])
def test_pushback_is_never_zero(error: HeadgateError, seconds: float | None, jitter: float) -> None:
    """Zero makes clients sit until their deadline; only our own refusals invite a retry."""
    before = error.retry_after
    error.retry_after = seconds
    try:
        wait = pushback(error, jitter)
    finally:
        error.retry_after = before
    refused = isinstance(error, errors.Refused)
    invited = isinstance(error, errors.Draining) or (refused and seconds is not None)
    assert (wait is not None) == invited
    assert wait is None or wait >= MIN_PUSHBACK


def test_pushback_is_behind_the_slot() -> None:
    """A client that comes back when it is told to is not too early."""
    wait = pushback(retry_after(errors.WaitTooLong(""), 2.0), 0.5)
    assert wait is not None
    assert 2.0 < wait <= 2.0 + 2 * MIN_PUSHBACK


def test_only_these_are_retried_by_the_gateway() -> None:
    """The tree's own word for it: upstream trouble that may pass, and never the total timer."""
    retryable = {name(error) for error, _, _ in ROWS if error.retryable}
    assert retryable == {"UpstreamLimit", "UpstreamUnavailable", "UpstreamTimeout"}
    assert not errors.UpstreamTimeout("total", 1).retryable


@pytest.mark.parametrize("error", [row[0] for row in ROWS], ids=name)
def test_a_twin_is_the_same_error_for_another_caller(error: HeadgateError) -> None:
    """All that callers see of it, but its metadata can be added to."""
    twin = error.twin()
    assert type(twin) is type(error)
    assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
    twin.metadata["position_sent"] = "7"
    assert "position_sent" not in error.metadata
