"""Chunks to the contract's answers: deltas for a stream, one whole message for a unary call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from headgate.translate import to_struct
from headgate.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headgate import wire
    from headgate.progress import Progress
    from headgate.upstream import Chunk, Delta, Head, ToolCallPiece

# Pieces by choice, by tool call (None: the message itself) and by field. They are joined at the
# end, because protobuf keeps every text that a field ever had for as long as its message lives.
_Texts = dict[tuple[int, int | None, str], list[str]]

_FINISH_REASONS = {
    "": pb.FINISH_REASON_UNSPECIFIED,
    "stop": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
    "tool_calls": pb.FINISH_REASON_TOOL_CALLS,
    "function_call": pb.FINISH_REASON_TOOL_CALLS,
    "content_filter": pb.FINISH_REASON_CONTENT_FILTER,
}


def finish_reason(word: str) -> pb.FinishReason.ValueType:
    """The enum for the upstream's word; words without a value of their own are OTHER."""
    return _FINISH_REASONS.get(word, pb.FINISH_REASON_OTHER)


def delta_event(delta: Delta, position: int) -> pb.StreamChatResponse:
    """One delta; `position` counts the upstream deltas up to and with this one."""
    event = pb.StreamChatResponse()
    message = event.delta
    message.position = position
    if delta.choice:
        message.choice_index = delta.choice
    if delta.content:
        message.content = delta.content
    if delta.reasoning:
        message.reasoning_content = delta.reasoning
    if delta.refusal:
        message.refusal = delta.refusal
    for piece in delta.tool_calls:
        message.tool_calls.append(_tool_call_delta(piece))
    if delta.logprobs is not None:
        message.logprobs.CopyFrom(logprobs(delta.logprobs))
    return event


def _tool_call_delta(piece: ToolCallPiece) -> pb.ToolCallDelta:
    return pb.ToolCallDelta(
        index=piece.index, id=piece.id, name=piece.name, arguments=piece.arguments
    )


def started_event(head: Head, created: float) -> pb.StreamChatResponse:
    """Who answers; `created` stands in where the upstream did not say when."""
    started = pb.StreamStarted(
        id=head.id,
        model=head.model,
        create_time=timestamp(head.created or created),
        system_fingerprint=head.system_fingerprint,
    )
    return pb.StreamChatResponse(started=started)


def finished_event(
    finishes: Mapping[int, str], tail: Chunk, gateway: pb.GatewayInfo
) -> pb.StreamChatResponse:
    """The last event; `tail` holds the usage and the extra fields of the whole stream."""
    finished = pb.StreamFinished(
        choices=[
            pb.ChoiceFinish(index=i, finish_reason=finish_reason(word), finish_reason_raw=word)
            for i, word in sorted(finishes.items())
        ],
        usage=usage(tail.usage),
        gateway=gateway,
        extra=to_struct(tail.extra),
    )
    return pb.StreamChatResponse(finished=finished)


def chat_response(chunk: Chunk, created: float, gateway: pb.GatewayInfo) -> pb.ChatResponse:
    """A unary answer from the one Chunk that holds all of it."""
    head = chunk.head
    response = pb.ChatResponse(
        create_time=timestamp((head.created if head else 0) or created),
        choices=_choices(chunk),
        usage=usage(chunk.usage),
        gateway=gateway,
        extra=to_struct(chunk.extra),
    )
    if head is not None:
        response.id = head.id
        response.model = head.model
        response.system_fingerprint = head.system_fingerprint
    return response


def _choices(chunk: Chunk) -> list[pb.ChatChoice]:
    choices: dict[int, pb.ChatChoice] = {}
    for index in sorted({delta.choice for delta in chunk.deltas} | chunk.finishes.keys()):
        word = chunk.finishes.get(index, "")
        choices[index] = pb.ChatChoice(
            index=index,
            message=pb.ChatMessage(role=pb.ROLE_ASSISTANT),
            finish_reason=finish_reason(word),
            finish_reason_raw=word,
        )
    texts: _Texts = {}
    for delta in chunk.deltas:
        _collect(delta, choices[delta.choice], texts)
    for (index, call, field), pieces in texts.items():
        message = choices[index].message
        setattr(message if call is None else message.tool_calls[call], field, "".join(pieces))
    return list(choices.values())


def _collect(delta: Delta, choice: pb.ChatChoice, texts: _Texts) -> None:
    for field, text in (
        ("content", delta.content),
        ("reasoning_content", delta.reasoning),
        ("refusal", delta.refusal),
    ):
        if text:
            texts.setdefault((delta.choice, None, field), []).append(text)
    for piece in delta.tool_calls:
        call = _call(choice.message, piece.index)
        if piece.id and not call.id:
            call.id = piece.id
        for field, text in (("name", piece.name), ("arguments", piece.arguments)):
            if text:
                texts.setdefault((delta.choice, piece.index, field), []).append(text)
    if delta.logprobs is not None:
        choice.logprobs.MergeFrom(logprobs(delta.logprobs))


def _call(message: pb.ChatMessage, index: int) -> pb.FunctionCall:
    while len(message.tool_calls) <= index:
        message.tool_calls.add()
    return message.tool_calls[index]


def usage(said: wire.Usage | None) -> pb.Usage | None:
    """What the upstream said of tokens; None when it said nothing."""
    if said is None:
        return None
    prompt, completion = said.prompt_tokens_details, said.completion_tokens_details
    return pb.Usage(
        prompt_tokens=_count(said.prompt_tokens),
        completion_tokens=_count(said.completion_tokens),
        total_tokens=_count(said.total_tokens),
        cached_tokens=_count(prompt.cached_tokens if prompt else None),
        reasoning_tokens=_count(completion.reasoning_tokens if completion else None),
    )


def _count(said: int | None) -> int | None:
    """Figures that no count can be are left out; the answer is worth more than they are."""
    return said if said is not None and 0 <= said < 2**31 else None


def logprobs(said: wire.Logprobs) -> pb.Logprobs:
    return pb.Logprobs(content=_tokens(said.content), refusal=_tokens(said.refusal))


def _tokens(tokens: Iterable[wire.TokenLogprob] | None) -> list[pb.TokenLogprob]:
    return [
        pb.TokenLogprob(
            token=token.token,
            logprob=token.logprob,
            bytes=bytes(token.bytes or ()),
            top=[
                pb.TopLogprob(token=top.token, logprob=top.logprob, bytes=bytes(top.bytes or ()))
                for top in token.top_logprobs
            ],
        )
        for token in tokens or ()
    ]


def gateway_info(progress: Progress, *, system_prompt_applied: bool) -> pb.GatewayInfo:
    """How the call went through the gateway."""
    first = progress.time_to_first_delta
    return pb.GatewayInfo(
        attempts=progress.attempts,
        queue_wait=duration(progress.queue_wait),
        time_to_first_delta=None if first is None else duration(first),
        upstream_time=duration(progress.upstream_so_far()),
        overhead=duration(progress.overhead()),
        system_prompt_applied=system_prompt_applied,
    )


def duration(seconds: float) -> Duration:
    """Of 0 or more seconds."""
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)


def timestamp(seconds: float) -> Timestamp:
    """Of seconds since the epoch."""
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Timestamp(seconds=whole, nanos=nanos)
