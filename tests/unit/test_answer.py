"""Chunks to the contract's answers: nothing that the upstream said is lost or made up."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from headgate import wire
from headgate.answer import (
    chat_response,
    delta_event,
    duration,
    finish_reason,
    finished_event,
    gateway_info,
    started_event,
    timestamp,
    usage,
)
from headgate.progress import Progress
from headgate.translate import to_struct
from headgate.upstream import Chunk, Delta, Head, ToolCallPiece
from headgate.v1 import chat_pb2 as pb
from support.counted_text import CountedText

GATEWAY = pb.GatewayInfo(attempts=1)
LOGPROBS = wire.Logprobs(
    content=[
        wire.TokenLogprob(
            token="He",
            logprob=-0.5,
            bytes=[72, 101],
            top_logprobs=[wire.TopLogprob(token="Ha", logprob=-9.0)],
        )
    ],
    refusal=[wire.TokenLogprob(token="No", logprob=-1.0)],
)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "STOP"),
        ("length", "LENGTH"),
        ("tool_calls", "TOOL_CALLS"),
        ("function_call", "TOOL_CALLS"),
        ("content_filter", "CONTENT_FILTER"),
        ("", "UNSPECIFIED"),
        ("eos_token", "OTHER"),
        ("STOP", "OTHER"),
    ],
)
def test_finish_reason(word: str, reason: str) -> None:
    """Known words have their value, unknown ones are OTHER."""
    assert pb.FinishReason.Name(finish_reason(word)) == f"FINISH_REASON_{reason}"


def test_a_delta_has_everything() -> None:
    """Texts of every kind, tool-call pieces, logprobs and the position."""
    pieces = [ToolCallPiece(0, "c1", "f", "{"), ToolCallPiece(1, arguments="}")]
    delta = Delta(2, "a", "b", "c", pieces, LOGPROBS)

    event = delta_event(delta, 7)

    token = pb.TokenLogprob(
        token="He", logprob=-0.5, bytes=b"He", top=[pb.TopLogprob(token="Ha", logprob=-9.0)]
    )
    assert event.delta == pb.ChatDelta(
        choice_index=2,
        content="a",
        reasoning_content="b",
        refusal="c",
        tool_calls=[
            pb.ToolCallDelta(index=0, id="c1", name="f", arguments="{"),
            pb.ToolCallDelta(index=1, arguments="}"),
        ],
        logprobs=pb.Logprobs(content=[token], refusal=[pb.TokenLogprob(token="No", logprob=-1.0)]),
        position=7,
    )


def test_an_empty_piece_keeps_its_place() -> None:
    """A call's first piece may have no arguments yet, and choice 0 is the default."""
    event = delta_event(Delta(tool_calls=[ToolCallPiece(0, "c1", "f")]), 1)
    assert [call.id for call in event.delta.tool_calls] == ["c1"]
    assert not event.delta.HasField("logprobs")


def test_started_uses_the_upstreams_time() -> None:
    """The gateway's own time stands in only where the upstream said none."""
    said = started_event(Head("c-1", "m", 1700000000.5, "fp"), 99.0).started
    unsaid = started_event(Head(), 99.0).started

    assert (said.id, said.model, said.system_fingerprint) == ("c-1", "m", "fp")
    assert said.create_time.ToMilliseconds() == 1700000000500
    assert unsaid == pb.StreamStarted(create_time=timestamp(99.0))


def test_finished_lists_choices_in_order() -> None:
    """Reasons by rising index, the raw word beside the enum, usage and extra of the stream."""
    tail = Chunk(usage=wire.Usage(prompt_tokens=3), extra={"timings": {"ms": 4.5}})

    finished = finished_event({2: "weird", 0: "stop", 1: ""}, tail, GATEWAY).finished

    assert [(c.index, c.finish_reason, c.finish_reason_raw) for c in finished.choices] == [
        (0, pb.FINISH_REASON_STOP, "stop"),
        (1, pb.FINISH_REASON_UNSPECIFIED, ""),
        (2, pb.FINISH_REASON_OTHER, "weird"),
    ]
    assert finished.usage == pb.Usage(prompt_tokens=3)
    assert finished.extra == to_struct({"timings": {"ms": 4.5}})
    assert finished.gateway == GATEWAY


def test_what_was_not_said_is_unset() -> None:
    """No usage and no extra are not zeroes and empty objects."""
    finished = finished_event({}, Chunk(), GATEWAY).finished
    assert not finished.HasField("usage")
    assert not finished.HasField("extra")


def whole(**fields: Any) -> pb.ChatResponse:
    return chat_response(Chunk(**fields), 99.0, GATEWAY)


def test_interleaved_choices_come_apart() -> None:
    """Three choices whose deltas alternate: each gets its own text, in order."""
    deltas = [Delta(i % 3, content=f"{i}") for i in range(9)]

    response = whole(deltas=deltas, finishes={1: "length", 0: "stop", 2: "stop"})

    assert [c.message.content for c in response.choices] == ["036", "147", "258"]
    assert [c.index for c in response.choices] == [0, 1, 2]
    assert {c.message.role for c in response.choices} == {pb.ROLE_ASSISTANT}
    assert response.choices[1].finish_reason == pb.FINISH_REASON_LENGTH


def test_a_message_is_joined_from_its_deltas() -> None:
    """Text, reasoning, refusal, tool calls and logprobs, each in the order it came."""
    deltas = [
        Delta(reasoning="I "),
        Delta(reasoning="think"),
        Delta(content="Hel", logprobs=LOGPROBS),
        Delta(content="lo", logprobs=LOGPROBS),
        Delta(refusal="no"),
        Delta(tool_calls=[ToolCallPiece(0, "a", "f", "{"), ToolCallPiece(1, "b", "g", "[")]),
        Delta(tool_calls=[ToolCallPiece(1, arguments="]"), ToolCallPiece(0, arguments="}")]),
    ]

    (choice,) = whole(deltas=deltas, finishes={0: "tool_calls"}).choices

    assert choice.message == pb.ChatMessage(
        role=pb.ROLE_ASSISTANT,
        content="Hello",
        reasoning_content="I think",
        refusal="no",
        tool_calls=[
            pb.FunctionCall(id="a", name="f", arguments="{}"),
            pb.FunctionCall(id="b", name="g", arguments="[]"),
        ],
    )
    assert [token.token for token in choice.logprobs.content] == ["He", "He"]


def test_the_pieces_of_a_call_are_joined_once() -> None:
    """Added one by one, they would all be copied again with each, and kept by protobuf."""
    counts: Counter[str] = Counter()
    texts = [CountedText(f"{i},", counts) for i in range(100)]
    pieces = [ToolCallPiece(0, name=text, arguments=text) for text in texts]

    (choice,) = whole(deltas=[Delta(tool_calls=pieces)]).choices

    (call,) = choice.message.tool_calls
    assert call.name == call.arguments == "".join(texts)
    assert counts["added"] == 0


def test_a_choice_that_said_nothing_is_there() -> None:
    """An empty answer is an answer: the reason says why."""
    (choice,) = whole(finishes={0: "content_filter"}).choices
    assert choice.message == pb.ChatMessage(role=pb.ROLE_ASSISTANT)
    assert choice.finish_reason == pb.FINISH_REASON_CONTENT_FILTER
    assert not choice.HasField("logprobs")


def test_the_head_of_a_whole_answer() -> None:
    """Id, model, time and fingerprint; without a head the gateway's time."""
    said = whole(head=Head("c-1", "m", 5.0, "fp"))
    assert (said.id, said.model, said.system_fingerprint) == ("c-1", "m", "fp")
    assert said.create_time == timestamp(5.0)
    assert whole().create_time == timestamp(99.0)


def test_usage_keeps_what_was_said() -> None:
    """Cached and reasoning tokens stand in details on the wire; zero is not unset."""
    said = wire.Usage(
        prompt_tokens=3,
        completion_tokens=0,
        total_tokens=3,
        prompt_tokens_details=wire.PromptTokensDetails(cached_tokens=2),
        completion_tokens_details=wire.CompletionTokensDetails(reasoning_tokens=1),
    )
    assert usage(said) == pb.Usage(
        prompt_tokens=3, completion_tokens=0, total_tokens=3, cached_tokens=2, reasoning_tokens=1
    )
    assert usage(wire.Usage(total_tokens=4)) == pb.Usage(total_tokens=4)
    assert usage(None) is None


@pytest.mark.parametrize("odd", [-1, 2**31, 10**30])
def test_figures_that_no_count_can_be_are_left_out(odd: int) -> None:
    """The others beside it stay."""
    said = usage(wire.Usage(prompt_tokens=odd, total_tokens=2**31 - 1))
    assert said == pb.Usage(total_tokens=2**31 - 1)


def test_gateway_info() -> None:
    """Attempts and times as they were followed; no first delta is unset."""
    now = [0.0]
    progress = Progress(lambda: now[0])
    progress.attempt_started()
    now[0] = 0.25
    unset = gateway_info(progress, system_prompt_applied=False)
    progress.delta_sent()
    info = gateway_info(progress, system_prompt_applied=True)

    assert not unset.HasField("time_to_first_delta")
    assert info == pb.GatewayInfo(
        attempts=1,
        queue_wait=duration(0),
        time_to_first_delta=duration(0.25),
        upstream_time=duration(0.25),
        overhead=duration(0),
        system_prompt_applied=True,
    )


def test_durations_are_exact_to_the_nanosecond() -> None:
    """Seconds and nanoseconds have the same sign, as protobuf wants it."""
    assert duration(1.5).ToNanoseconds() == 1_500_000_000
    assert duration(-0.25).ToNanoseconds() == -250_000_000
    assert timestamp(0.000000001).ToNanoseconds() == 1
