"""The chat's sentences about an answer: each one line, each from facts alone."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from headgate_client.errors import HeadgateError, Interrupted, Unavailable
from headgate_client.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.duration_pb2 import Duration


def error_line(error: HeadgateError, target: str) -> str:
    """What went wrong, and when to try again."""
    line = _one_line(_what(error, target))
    if error.retry_after is not None:
        line += f"; try again in {max(1, ceil(error.retry_after))} s"
    return line


def _what(error: HeadgateError, target: str) -> str:
    details = error.details() or error.code().name
    if isinstance(error, Unavailable) and not error.reason:
        return f"no headgate answers at {target}: {details}"
    if isinstance(error, Interrupted):
        return f"the answer was cut off: {details}"
    if len(error.violations) > 1:
        return "; ".join(f"{each.field}: {each.description}" for each in error.violations)
    return details


def waiting_line(queued: pb.Queued | None) -> str:
    """What the chat is waiting for."""
    if queued is None:
        return "waiting for the first word"
    line = f"waiting in line, place {queued.position}"
    if queued.HasField("estimated_wait"):
        line += f", about {max(1, ceil(_seconds(queued.estimated_wait)))} s"
    return line


def summary_line(finished: pb.StreamFinished) -> str:
    """Tokens, times and attempts of an answer, as far as they are known."""
    return " · ".join((*_ends(finished), *_tokens(finished.usage), *_times(finished.gateway)))


def _ends(finished: pb.StreamFinished) -> Iterator[str]:
    for choice in finished.choices:
        if choice.finish_reason == pb.FINISH_REASON_LENGTH:
            yield "stopped at the token limit"
        elif choice.finish_reason == pb.FINISH_REASON_CONTENT_FILTER:
            yield "stopped by a content filter"


def _tokens(usage: pb.Usage) -> Iterator[str]:
    counts = []
    if usage.HasField("prompt_tokens"):
        counts.append(f"{usage.prompt_tokens} in")
    if usage.HasField("completion_tokens"):
        counts.append(f"{usage.completion_tokens} out")
    if counts:
        yield f"tokens: {', '.join(counts)}"


def _times(gateway: pb.GatewayInfo) -> Iterator[str]:
    if gateway.attempts > 1:
        yield f"{gateway.attempts} attempts"
    if (waited := _seconds(gateway.queue_wait)) >= 0.05:
        yield f"waited {waited:.1f} s"
    if gateway.HasField("time_to_first_delta"):
        yield f"first word after {_seconds(gateway.time_to_first_delta):.1f} s"
    if gateway.HasField("upstream_time"):
        yield f"upstream {_seconds(gateway.upstream_time):.1f} s"


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _one_line(text: str) -> str:
    return " ".join(text.split())
