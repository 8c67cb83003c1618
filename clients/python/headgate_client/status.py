"""A gRPC status with its trailers becomes one of our errors: here and nowhere else."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from headgate_client.errors import (
    BY_CODE,
    BY_REASON,
    FieldViolation,
    HeadgateError,
    Interrupted,
    Trailers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.any_pb2 import Any as AnyMessage

DOMAIN: Final = "headgate"

_COUNT: Final = re.compile(r"[0-9]{1,15}")

# What gRPC says when a connection breaks under a stream.
_BROKEN: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}


class _Ended(Protocol):
    """What the errors of grpc and of grpc.aio share."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


@dataclass
class _Facts:
    reason: str = ""
    retry_after: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[FieldViolation] = field(default_factory=list)


@contextmanager
def translated() -> Iterator[None]:
    """Turn a grpc.RpcError that leaves the body into a HeadgateError."""
    try:
        yield
    except HeadgateError:
        raise
    except grpc.RpcError as error:
        raise from_rpc(error) from error


def from_rpc(error: grpc.RpcError, *, position: int = 0) -> HeadgateError:
    """Build the typed error from what grpc or grpc.aio raised.

    Facts come from google.rpc.Status (AIP-193) and, where that is missing or broken,
    from the plain trailers `headgate-reason` and `headgate-retry-after-ms`.
    `position` is how far the stream had come: a connection that breaks after
    the first delta has interrupted the answer, whoever made the status.
    """
    ended = cast("_Ended", error)
    trailers = tuple(ended.trailing_metadata() or ())
    facts = _plain(trailers)
    _read_rich(ended, facts)
    return _kind(ended.code(), facts, position)(
        ended.code(),
        ended.details() or "",
        reason=facts.reason,
        retry_after=facts.retry_after,
        metadata=facts.metadata,
        violations=facts.violations,
        trailers=trailers,
    )


def _kind(code: grpc.StatusCode, facts: _Facts, position: int) -> type[HeadgateError]:
    if position and not facts.reason and code in _BROKEN:
        facts.metadata.setdefault("position_sent", str(position))
        return Interrupted
    return BY_REASON.get(facts.reason) or BY_CODE.get(code, HeadgateError)


def _plain(trailers: Trailers) -> _Facts:
    texts = {key: value for key, value in trailers if isinstance(value, str)}
    milliseconds = texts.get("headgate-retry-after-ms", "")
    return _Facts(
        reason=texts.get("headgate-reason", ""),
        retry_after=int(milliseconds) / 1000 if _COUNT.fullmatch(milliseconds) else None,
    )


def _read_rich(ended: _Ended, facts: _Facts) -> None:
    try:
        status = rpc_status.from_call(cast("grpc.Call", ended))
        for detail in status.details if status else ():
            _read_detail(detail, facts)
    except (ValueError, DecodeError):  # not the gateway's own, or changed on the way
        return


def _read_detail(detail: AnyMessage, facts: _Facts) -> None:
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    if detail.Unpack(info) and info.domain == DOMAIN:
        facts.reason = info.reason
        facts.metadata.update(info.metadata)
    elif detail.Unpack(retry):
        facts.retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    elif detail.Unpack(bad):
        facts.violations += [
            FieldViolation(each.field, each.description) for each in bad.field_violations
        ]
