"""The one table from what happened to the names that OpenTelemetry has for it.

RPC conventions as of 1.45, where they are stable; `rpc.system`, `rpc.service` and
`rpc.grpc.status_code` are the names before that, which most tools still look for. The GenAI
conventions are in development, so whatever changes there changes here alone. What has no name in
either is under `headgate.`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc import StatusCode

from headgate.ending import http_status
from headgate.logs.calls import labels_of, name_or_class, tokens_of

if TYPE_CHECKING:
    from headgate.ending import Ending
    from headgate.progress import Progress
    from headgate.upstream import Call

Attributes = dict[str, str | int | float | bool | list[str]]

SERVICE = "headgate.v1.ChatService"
QUEUE, STREAM = "queue", "stream"
FIRST_DELTA = "first_delta"

PROVIDER = "gen_ai.provider.name"
INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
TIME_TO_FIRST = "gen_ai.response.time_to_first_chunk"
UPSTREAM_STATUS = "http.response.status_code"
ERROR = "error.type"
ATTEMPT = "headgate.attempt"
CAUSE = "headgate.cause"

# The request's own name of each parameter, and the conventions'.
_PARAMETERS = {
    "model": "gen_ai.request.model",
    "stream": "gen_ai.request.stream",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}
_TOKENS = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
# RPC conventions, section on errors: of a server these are its own fault, the rest the caller's.
_FAULTS = frozenset(
    {"DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"}
)


def call_name(face: str, method: str, path: str) -> tuple[str, Attributes]:
    """Of the span of a whole call: its name, and what is known as it begins."""
    if face == "http":
        return f"POST {path}", {
            "http.request.method": "POST",
            "http.route": path,
            "url.path": path,
        }
    full = f"{SERVICE}/{method}"
    return full, {
        "rpc.system.name": "grpc",
        "rpc.method": full,
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
    }


def ended(face: str, ending: Ending, progress: Progress) -> Attributes:
    """What is known of a call when it is over."""
    found: Attributes = {
        "headgate.request_id": progress.request_id,
        "headgate.attempts": progress.attempts,
        "headgate.queue_wait": round(progress.queued_so_far(), 6),
    }
    if face == "http":
        if status := http_status(ending, progress):
            found["http.response.status_code"] = status
    else:
        found["rpc.response.status_code"] = ending.code
        found["rpc.grpc.status_code"] = StatusCode[ending.code].value[0]
    if ending.reason:
        found["headgate.reason"] = ending.reason
    if is_fault(face, ending):
        found[ERROR] = ending.reason or ending.code
    if progress.deltas:
        found["headgate.deltas"] = progress.deltas
    if progress.caller:
        found["headgate.caller"] = name_or_class(progress.caller)
    if progress.call is not None:
        labels = labels_of(progress.call.labels)
        found |= {f"headgate.label.{name}": text for name, text in labels.items()}
    return found


def is_fault(face: str, ending: Ending) -> bool:
    """Whether the call's span counts as an error of this server."""
    if face == "http":
        return ending.http is not None and ending.http >= 500
    return ending.code in _FAULTS


def attempt_name(call: Call | None, number: int, provider: str) -> tuple[str, Attributes]:
    """Of the span of one attempt."""
    found: Attributes = {
        "gen_ai.operation.name": "chat",
        PROVIDER: provider,
        ATTEMPT: number,
    }
    if call is None:
        return "chat", found
    for name, attribute in _PARAMETERS.items():
        value = getattr(call.request, name)
        if value is not None:
            found[attribute] = value
    model = call.request.model
    return (f"chat {model}" if model else "chat"), found


def answered(progress: Progress) -> Attributes:
    """What the upstream said of its answer."""
    found: Attributes = {}
    if progress.head is not None:
        if progress.head.model:
            found["gen_ai.response.model"] = progress.head.model
        if progress.head.id:
            found["gen_ai.response.id"] = progress.head.id
    if progress.finishes:
        found["gen_ai.response.finish_reasons"] = [
            word for _, word in sorted(progress.finishes.items())
        ]
    for name, count in tokens_of(progress.usage).items():
        if count is not None:
            found[_TOKENS[name]] = count
    return found
