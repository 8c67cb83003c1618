"""gRPC statuses become typed errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from hypothesis import given
from hypothesis import strategies as st

from headgate_client import errors
from headgate_client.errors import BY_REASON, HeadgateError
from headgate_client.status import from_rpc, translated
from headgate_client.v1 import chat_pb2 as pb
from support.chat_client import Failure, error_info, failure

Code = grpc.StatusCode


def sync_error(failed: Failure) -> grpc.RpcError:
    """As grpc raises it: an RpcError that is a Call."""

    class Raised(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return failed.code

        def details(self) -> str:
            return failed.details

        def trailing_metadata(self) -> Any:
            return failed.trailers

    return Raised()


def aio_error(failed: Failure) -> grpc.RpcError:
    """As grpc.aio raises it."""
    trailing = grpc.aio.Metadata(*failed.trailers)
    return grpc.aio.AioRpcError(failed.code, grpc.aio.Metadata(), trailing, failed.details)


both = pytest.mark.parametrize("raised", [sync_error, aio_error])
Raise = Callable[[Failure], grpc.RpcError]


@both
def test_every_fact_of_a_rich_status_is_kept(raised: Raise) -> None:
    """Code, details, reason, delay, metadata and violations all come through."""
    wrong = BadRequest.FieldViolation(field="top_p", description="2 is not allowed; 0 to 1")
    failed = failure(
        Code.INVALID_ARGUMENT,
        "top_p: 2 is not allowed; 0 to 1",
        error_info("INVALID_REQUEST", hint="read"),
        RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000)),
        BadRequest(field_violations=[wrong]),
        QuotaFailure(),
    )
    error = from_rpc(raised(failed))
    assert type(error) is errors.InvalidRequest
    assert error.code() is Code.INVALID_ARGUMENT
    assert error.details() == "top_p: 2 is not allowed; 0 to 1"
    assert error.reason == "INVALID_REQUEST"
    assert error.retry_after == 2.5
    assert error.metadata == {"hint": "read"}
    assert error.violations == [("top_p", "2 is not allowed; 0 to 1")]
    assert "grpc-status-details-bin" in dict(error.trailing_metadata())
    assert str(error) == "top_p: 2 is not allowed; 0 to 1 (INVALID_REQUEST)"


@both
def test_plain_trailers_say_the_same(raised: Raise) -> None:
    """Without google.rpc.Status, `headgate-reason` and `headgate-retry-after-ms` are read."""
    plain = (("headgate-reason", "QUEUE_FULL"), ("headgate-retry-after-ms", "1250"))
    error = from_rpc(raised(Failure(Code.RESOURCE_EXHAUSTED, "full", plain)))
    assert type(error) is errors.RateLimited
    assert (error.reason, error.retry_after) == ("QUEUE_FULL", 1.25)


@both
def test_a_status_that_was_changed_on_the_way_falls_back(raised: Raise) -> None:
    """When details and google.rpc.Status disagree, or it is garbage, the plain trailers count."""
    rich = failure(Code.UNAVAILABLE, "one", error_info("DRAINING"))
    plain = ("headgate-reason", "UPSTREAM_TIMEOUT")
    changed = Failure(Code.UNAVAILABLE, "other", (*rich.trailers, plain))
    garbage = Failure(Code.UNAVAILABLE, "", (("grpc-status-details-bin", b"\xff\xff"), plain))
    for failed in (changed, garbage):
        error = from_rpc(raised(failed))
        assert type(error) is errors.Unavailable
        assert error.reason == "UPSTREAM_TIMEOUT"


def test_another_domains_reason_is_not_ours() -> None:
    """An ErrorInfo of a proxy does not name one of our reasons."""
    info = ErrorInfo(reason="QUEUE_FULL", domain="elsewhere")
    error = from_rpc(aio_error(failure(Code.UNAVAILABLE, "no", info)))
    assert (type(error), error.reason) == (errors.Unavailable, "")


def test_every_reason_of_the_contract_has_its_class() -> None:
    """The table is total: a reason that enters the contract must enter it."""
    reasons = {name.removeprefix("ERROR_REASON_") for name in pb.ErrorReason.keys()}  # noqa: SIM118
    assert reasons - {"UNSPECIFIED"} == BY_REASON.keys()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Code.CANCELLED, errors.Cancelled),
        (Code.UNKNOWN, HeadgateError),
        (Code.INVALID_ARGUMENT, errors.InvalidRequest),
        (Code.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (Code.NOT_FOUND, HeadgateError),
        (Code.ALREADY_EXISTS, HeadgateError),
        (Code.PERMISSION_DENIED, errors.PermissionDenied),
        (Code.RESOURCE_EXHAUSTED, HeadgateError),
        (Code.FAILED_PRECONDITION, HeadgateError),
        (Code.ABORTED, errors.Interrupted),
        (Code.OUT_OF_RANGE, HeadgateError),
        (Code.UNIMPLEMENTED, HeadgateError),
        (Code.INTERNAL, errors.InternalFailure),
        (Code.UNAVAILABLE, errors.Unavailable),
        (Code.DATA_LOSS, HeadgateError),
        (Code.UNAUTHENTICATED, errors.Unauthenticated),
    ],
)
def test_a_status_without_facts_goes_by_its_code(
    code: grpc.StatusCode, expected: type[HeadgateError]
) -> None:
    """Statuses that gRPC or a proxy made have no reason; an unknown reason changes nothing."""
    error = from_rpc(aio_error(Failure(code)))
    assert (type(error), error.reason, error.retry_after) == (expected, "", None)
    unknown = (("headgate-reason", "OF_TOMORROW"),)
    assert type(from_rpc(aio_error(Failure(code, "", unknown)))) is expected


def test_an_interrupted_stream_says_how_far_it_came() -> None:
    """`position_sent` is a number, or None when the server did not say."""
    info = error_info("STREAM_INTERRUPTED", cause="reset", position_sent="17")
    error = from_rpc(aio_error(failure(Code.ABORTED, "cut", info)))
    assert isinstance(error, errors.Interrupted)
    assert error.position_sent == 17
    silent = from_rpc(aio_error(Failure(Code.ABORTED)))
    assert isinstance(silent, errors.Interrupted)
    assert silent.position_sent is None


def test_a_lost_connection_after_the_first_delta_is_an_interruption() -> None:
    """An UNAVAILABLE of gRPC itself means two things: nobody there, or gone in the middle."""
    lost = aio_error(Failure(Code.UNAVAILABLE, "Socket closed"))
    error = from_rpc(lost, position=3)
    assert isinstance(error, errors.Interrupted)
    assert error.position_sent == 3
    assert error.code() is Code.UNAVAILABLE
    assert type(from_rpc(lost)) is errors.Unavailable


def test_only_grpc_errors_are_translated() -> None:
    """Our own errors and everybody else's pass through unchanged."""
    ours = errors.Cancelled(Code.CANCELLED, "here")
    for error in (ours, ValueError("no")):
        with pytest.raises(type(error)) as caught, translated():
            raise error
        assert caught.value is error


def test_a_translated_error_is_still_a_grpc_error() -> None:
    """Programs that catch grpc.RpcError and ask for code() and details() go on working."""
    with pytest.raises(grpc.RpcError) as caught, translated():
        raise aio_error(Failure(Code.UNAVAILABLE, "gone"))
    assert isinstance(caught.value, errors.Unavailable)
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


@given(
    st.sampled_from(list(Code)),
    st.text(),
    st.lists(
        st.tuples(
            st.sampled_from(["headgate-reason", "headgate-retry-after-ms", "x"]),
            st.text(),
        )
        | st.tuples(st.just("grpc-status-details-bin"), st.binary())
    ),
)
def test_no_trailer_can_break_the_translation(
    code: grpc.StatusCode, details: str, trailing: list[tuple[str, str | bytes]]
) -> None:
    """Whatever stands in the trailers, an error with the status's code comes out."""
    error = from_rpc(sync_error(Failure(code, details, tuple(trailing))))
    assert (error.code(), error.details()) == (code, details)
