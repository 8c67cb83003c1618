"""Errors as statuses with details: complete, and small enough for every client's trailers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from headgate import errors
from headgate.errors import FieldViolation, HeadgateError, InvalidRequest
from headgate.rich_status import MAX_MESSAGE_BYTES, RichStatus, clip

if TYPE_CHECKING:
    from google.protobuf.message import Message

MAX_TRAILERS = 4096


def status(rich: RichStatus) -> status_pb2.Status:
    packed = dict(rich.trailers)["grpc-status-details-bin"]
    assert isinstance(packed, bytes)
    return status_pb2.Status.FromString(packed)


def detail(rich: RichStatus, kind: type[Message]) -> Any:
    """The detail of this kind, or None."""
    for packed in status(rich).details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


def size(rich: RichStatus) -> int:
    """What a client's limit on metadata counts: names and values, the message with them."""
    entries = [*rich.trailers, ("grpc-message", rich.message), ("grpc-status", "13")]
    return sum(len(k) + len(v if isinstance(v, bytes) else v.encode()) for k, v in entries)


def invalid(*violations: tuple[str, str]) -> RichStatus:
    return RichStatus(InvalidRequest([FieldViolation(*v) for v in violations]), jitter=0.5)


def test_every_violation_is_there() -> None:
    """Path and description, in order."""
    rich = invalid(("temperature", "9 is out of range"), ("messages[0].role", "is missing"))
    bad = detail(rich, error_details_pb2.BadRequest)
    assert [(v.field, v.description) for v in bad.field_violations] == [
        ("temperature", "9 is out of range"),
        ("messages[0].role", "is missing"),
    ]
    assert rich.message == "temperature: 9 is out of range (and 1 more)"
    info = detail(rich, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "headgate")


def test_a_thousand_violations_stay_small() -> None:
    """As many as fit, then how many more: none is lost from the count."""
    rich = invalid(*((f"messages[{i}].role", "is not a role; allowed: x") for i in range(1000)))
    violations = detail(rich, error_details_pb2.BadRequest).field_violations
    *named, more = violations
    assert [v.field for v in named] == [f"messages[{i}].role" for i in range(len(named))]
    assert len(named) > 20
    assert (more.field, more.description) == ("", f"and {1000 - len(named)} more")
    assert size(rich) < MAX_TRAILERS


@given(st.lists(st.tuples(st.text(max_size=2000), st.text(max_size=2000)), min_size=1, max_size=40))
def test_trailers_stay_under_their_limit(violations: list[tuple[str, str]]) -> None:
    """Whatever the fields are called and however long the sentences are."""
    rich = invalid(*violations)
    assert size(rich) < MAX_TRAILERS
    assert len(rich.message.encode()) <= MAX_MESSAGE_BYTES
    named = detail(rich, error_details_pb2.BadRequest).field_violations
    assert len(named) == len(violations) or named[-1].description.startswith("and ")


def test_the_longest_of_everything_stays_small() -> None:
    """Paths and sentences of 10,000 characters of 4 bytes each."""
    rich = invalid(*[("\U0001f600" * 10_000, "\U0001f600" * 10_000)] * 1000)
    assert size(rich) < MAX_TRAILERS


def test_a_long_message_takes_room_from_the_violations() -> None:
    """The message stands in the trailers twice; the short violations behind it fill the rest."""
    rich = invalid(("a" * 256, "b" * 600), *((f"f{i}", "is wrong") for i in range(1000)))
    assert len(rich.message.encode()) == MAX_MESSAGE_BYTES
    assert size(rich) < MAX_TRAILERS


def test_metadata_of_an_error_is_clipped() -> None:
    """ErrorInfo holds short facts."""
    rich = RichStatus(
        errors.UpstreamUnavailable("x" * 10_000, metadata={"a": "y" * 10_000}), jitter=0
    )
    info = detail(rich, error_details_pb2.ErrorInfo)
    assert len(info.metadata["a"]) == 256
    assert len(rich.message) == MAX_MESSAGE_BYTES
    assert size(rich) < MAX_TRAILERS


def plain(rich: RichStatus) -> dict[str, str | bytes]:
    return {k: v for k, v in rich.trailers if not k.endswith("-bin")}


def test_plain_trailers_say_the_same() -> None:
    """Reason, delay and pushback for stubs without google.rpc types."""
    error = errors.WaitTooLong("later", retry_after=1.5)
    rich = RichStatus(error, jitter=0.0)
    assert plain(rich) == {
        "headgate-reason": "WAIT_TOO_LONG",
        "headgate-retry-after-ms": "1500",
        "grpc-retry-pushback-ms": "1550",
    }
    retry = detail(rich, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1500
    assert status(rich).message == rich.message == "later"
    assert (status(rich).code, rich.code) == (8, grpc.StatusCode.RESOURCE_EXHAUSTED)


def test_without_a_delay_there_is_no_retry_info() -> None:
    """Nothing is made up, and the client is told to leave it."""
    rich = RichStatus(errors.UpstreamUnavailable("gone"), jitter=0.0)
    assert plain(rich) == {
        "headgate-reason": "UPSTREAM_UNAVAILABLE",
        "grpc-retry-pushback-ms": "-1",
    }
    assert detail(rich, error_details_pb2.RetryInfo) is None


@pytest.mark.parametrize("kind", [errors.CallerLimit, errors.QueueFull, errors.WaitTooLong])
def test_quotas_are_named(kind: type[HeadgateError]) -> None:
    """QuotaFailure says which limit it was."""
    quota = detail(RichStatus(kind("too much"), jitter=0), error_details_pb2.QuotaFailure)
    assert [(v.subject, v.description) for v in quota.violations] == [
        (kind.reason.value, "too much")
    ]


def test_a_delay_of_nothing_is_no_zero() -> None:
    """At least one millisecond in every plain trailer."""
    rich = RichStatus(errors.QueueFull("", retry_after=0.0), jitter=0.0)
    assert plain(rich)["headgate-retry-after-ms"] == "1"


@given(st.text(), st.integers(8, 64))
def test_clip(text: str, limit: int) -> None:
    """Never more bytes than allowed, never half a character, whole when it fits."""
    said = clip(text, limit)
    assert len(said.encode()) <= limit
    if len(text.encode()) <= limit:
        assert said == text
    else:
        assert text.startswith(said.removesuffix("..."))
