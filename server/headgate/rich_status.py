"""Errors as gRPC statuses with google.rpc details (AIP-193), small enough for any trailers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from headgate import status
from headgate.answer import duration
from headgate.errors import HeadgateError, InvalidRequest, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc
    from google.protobuf.message import Message

DOMAIN = "headgate"
MAX_MESSAGE_BYTES = 512
# gRPC clients give up on trailers of more than 8 KiB; all of ours stay under half of that.
MAX_VIOLATION_BYTES = 3 * 1024
MAX_METADATA_VALUE_BYTES = 256
_QUOTA = frozenset({Reason.CALLER_LIMIT, Reason.QUEUE_FULL, Reason.WAIT_TOO_LONG})


class RichStatus:
    """What `context.abort` takes: code, message, trailing metadata."""

    def __init__(self, error: HeadgateError, *, jitter: float) -> None:
        self.code: grpc.StatusCode = status.grpc_code(error)
        self.message = clip(error.message, MAX_MESSAGE_BYTES)
        self.trailers: list[tuple[str, str | bytes]] = [
            *self._details(error),
            ("headgate-reason", error.reason.value),
            ("grpc-retry-pushback-ms", _pushback(error, jitter)),
        ]
        if error.retry_after is not None:
            self.trailers.append(("headgate-retry-after-ms", _milliseconds(error.retry_after)))

    def _details(self, error: HeadgateError) -> Iterator[tuple[str, str | bytes]]:
        packed = []
        for detail in _details(error, self.message):
            wrapped = Any()
            wrapped.Pack(detail)
            packed.append(wrapped)
        number: int = self.code.value[0]
        rich = status_pb2.Status(code=number, message=self.message, details=packed)
        yield from rpc_status.to_status(rich).trailing_metadata


def _details(error: HeadgateError, message: str) -> Iterator[Message]:
    metadata = {k: clip(v, MAX_METADATA_VALUE_BYTES) for k, v in error.metadata.items()}
    yield error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=metadata)
    if isinstance(error, InvalidRequest):
        # The message stands in the trailers twice, as text and in the details.
        yield _bad_request(error, MAX_VIOLATION_BYTES - len(message.encode()))
    if error.retry_after is not None:
        yield error_details_pb2.RetryInfo(retry_delay=duration(error.retry_after))
    if error.reason in _QUOTA:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=error.reason.value, description=clip(error.message, 256))
        yield quota


def _bad_request(error: InvalidRequest, room: int) -> error_details_pb2.BadRequest:
    """As many violations as fit, then how many more there are."""
    bad = error_details_pb2.BadRequest()
    for count, wrong in enumerate(error.violations):
        bad.field_violations.add(field=clip(wrong.field, 256), description=clip(wrong.description))
        if bad.ByteSize() > room:
            del bad.field_violations[-1]
            left = len(error.violations) - count
            bad.field_violations.add(field="", description=f"and {left} more")
            break
    return bad


def clip(text: str, limit: int = MAX_MESSAGE_BYTES) -> str:
    """The text in at most `limit` UTF-8 bytes, cut between code points."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode(errors="ignore") + "..."


def _pushback(error: HeadgateError, jitter: float) -> str:
    seconds = status.pushback(error, jitter)
    return "-1" if seconds is None else _milliseconds(seconds)


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
