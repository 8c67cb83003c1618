"""Chunks as OpenAI's JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headgate import wire
from headgate.http_face.translate import Answer, EventMaker, completion, encode_json
from headgate.upstream import Chunk, Delta, Head, ToolCallPiece, extend
from support.counted_text import CountedText
from support.scripted_upstream import ended, opened, said

ANSWER = Answer(answer_id="chatcmpl-7", model="asked-for", created=12.9)


def events_of(*chunks: Chunk, include_usage: bool = False) -> list[dict[str, Any]]:
    """All events of an answer, as a reader gets them."""
    maker = EventMaker(ANSWER, include_usage=include_usage)
    events = [event for chunk in chunks for event in maker.events(chunk)]
    return [json.loads(encode_json(event)) for event in (*events, *maker.tail())]


def whole_of(*chunks: Chunk) -> dict[str, Any]:
    whole = Chunk()
    for chunk in chunks:
        extend(whole, chunk)
    decoded: dict[str, Any] = json.loads(encode_json(completion(whole, ANSWER)))
    return decoded


def choices_of(*chunks: Chunk) -> list[dict[str, Any]]:
    return [choice for event in events_of(*chunks) for choice in event["choices"]]


def test_a_stream_is_role_deltas_and_finish() -> None:
    """One event for the role, one for every delta, one for the end."""
    assert choices_of(opened("Hel", "lo"), said("!"), ended()) == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None},
        {"index": 0, "delta": {"content": "Hel"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "lo"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "!"}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]


def test_every_event_says_who_answers() -> None:
    """Id, model and time of the upstream stand in every event; the time is a whole number."""
    head = Head("answer-1", "scripted-1", 1700000000.5, "fp-1")
    for event in events_of(Chunk(head=head, deltas=[Delta(0, "Hello")]), ended()):
        assert {name: event[name] for name in event if name != "choices"} == {
            "id": "answer-1",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": "scripted-1",
            "system_fingerprint": "fp-1",
        }
        assert type(event["created"]) is int


def test_what_the_upstream_did_not_say_is_filled_in() -> None:
    """A reader always finds an id, a time and a model."""
    whole = whole_of(Chunk(head=Head(), deltas=[Delta(0, "Hello")]), ended())
    assert (whole["id"], whole["created"], whole["model"]) == ("chatcmpl-7", 12, "asked-for")
    assert "system_fingerprint" not in whole


def test_each_choice_opens_with_its_role() -> None:
    """Choices come interleaved; each is introduced once, before its first word."""
    choices = choices_of(opened("a"), said("b", choice=1), said("c"), ended(choice=2))
    assert [(c["index"], "role" in c["delta"]) for c in choices] == [
        (0, True),
        (0, False),
        (1, True),
        (1, False),
        (0, False),
        (2, True),
        (2, False),
    ]


def test_an_end_without_a_word_is_no_event() -> None:
    """The upstream said [DONE] and no reason: the choice is there, a reason is not made up."""
    choices = choices_of(opened("Hello"), ended(""))
    assert [choice["finish_reason"] for choice in choices] == [None, None]
    assert whole_of(opened("Hello"), ended(""))["choices"][0]["finish_reason"] is None


def test_unknown_finish_reasons_are_kept() -> None:
    """The upstream's own word goes through."""
    assert choices_of(opened("x"), ended("eos_token"))[-1]["finish_reason"] == "eos_token"


def test_usage_is_the_last_event_and_has_no_choice() -> None:
    """Only when it is wanted, and once, although the upstream may say it several times."""
    chunks = (opened("x"), ended(usage=(3, 1)), Chunk(usage=wire.Usage(prompt_tokens=3)))
    last = events_of(*chunks, include_usage=True)[-1]
    assert (last["choices"], last["usage"]) == ([], {"prompt_tokens": 3})
    assert all("usage" not in event for event in events_of(*chunks))
    assert events_of(opened("x"), ended(), include_usage=True)[-1]["choices"] != []


def test_usage_details_go_through() -> None:
    """Cached and reasoning tokens stand where OpenAI has them."""
    usage = wire.Usage(
        prompt_tokens=5,
        prompt_tokens_details=wire.PromptTokensDetails(cached_tokens=4),
        completion_tokens_details=wire.CompletionTokensDetails(reasoning_tokens=2),
    )
    assert whole_of(opened("x"), Chunk(finishes={0: "stop"}, usage=usage))["usage"] == {
        "prompt_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_unknown_fields_of_the_upstream_stand_at_the_top() -> None:
    """They go with the next event and no other, and never over a field of the shape."""
    first = opened("x")
    first.extra = {"provider": "p"}
    chunks = (first, Chunk(finishes={0: "stop"}, extra={"timings": {"n": 1}, "id": "no"}))
    events = events_of(*chunks)
    assert [event.get("provider") for event in events] == ["p", None, None]
    assert [event.get("timings") for event in events] == [None, None, {"n": 1}]
    whole = whole_of(*chunks)
    assert (whole["timings"], whole["id"], events[-1]["id"]) == ({"n": 1}, "answer-1", "answer-1")


def test_a_whole_answer() -> None:
    """The deltas put together, each choice in its place."""
    whole = whole_of(opened("Hel", "lo"), said("Hi", choice=1), ended(), ended("length", choice=1))
    message = {"role": "assistant", "refusal": None}
    assert whole == {
        "id": "answer-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "scripted-1",
        "choices": [
            {
                "index": 0,
                "message": {**message, "content": "Hello"},
                "logprobs": None,
                "finish_reason": "stop",
            },
            {
                "index": 1,
                "message": {**message, "content": "Hi"},
                "logprobs": None,
                "finish_reason": "length",
            },
        ],
    }


def test_an_empty_answer_is_an_empty_text() -> None:
    """The published snippet reads `message.content`, which is then text too."""
    message = whole_of(Chunk(head=Head()), ended())["choices"][0]["message"]
    assert message["content"] == ""


def test_tool_calls_come_in_fragments_and_whole() -> None:
    """Id, type and name once; the arguments piece by piece, or joined."""
    chunks = (
        Chunk(head=Head(), deltas=[Delta(tool_calls=[ToolCallPiece(0, "call_1", "add", "")])]),
        Chunk(deltas=[Delta(tool_calls=[ToolCallPiece(0, arguments='{"a"')])]),
        Chunk(deltas=[Delta(tool_calls=[ToolCallPiece(1, "call_2", "sub", "{}")])]),
        Chunk(deltas=[Delta(tool_calls=[ToolCallPiece(0, arguments=":1}")])]),
        ended("tool_calls"),
    )
    fragments = [
        c["delta"]["tool_calls"] for c in choices_of(*chunks) if "tool_calls" in c["delta"]
    ]
    assert fragments == [
        [
            {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "add", "arguments": ""},
            }
        ],
        [{"index": 0, "function": {"arguments": '{"a"'}}],
        [
            {
                "index": 1,
                "id": "call_2",
                "type": "function",
                "function": {"name": "sub", "arguments": "{}"},
            }
        ],
        [{"index": 0, "function": {"arguments": ":1}"}}],
    ]
    message = whole_of(*chunks)["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}},
        {"id": "call_2", "type": "function", "function": {"name": "sub", "arguments": "{}"}},
    ]


def test_the_pieces_of_a_call_are_joined_once() -> None:
    """Added one by one, they would all be copied again with each."""
    counts: Counter[str] = Counter()
    texts = [CountedText(f"{i},", counts) for i in range(100)]
    pieces = [ToolCallPiece(0, name=text, arguments=text) for text in texts]
    message = whole_of(Chunk(deltas=[Delta(tool_calls=pieces)]))["choices"][0]["message"]
    whole = "".join(texts)
    assert message["tool_calls"][0]["function"] == {"name": whole, "arguments": whole}
    assert counts["added"] == 0


def test_reasoning_and_refusal_have_their_own_fields() -> None:
    """Neither is mixed into the content."""
    chunks = (
        Chunk(head=Head(), deltas=[Delta(reasoning="Hm"), Delta(reasoning=", no.")]),
        Chunk(deltas=[Delta(refusal="I will not.")]),
        ended(),
    )
    assert [choice["delta"] for choice in choices_of(*chunks)][1:4] == [
        {"reasoning_content": "Hm"},
        {"reasoning_content": ", no."},
        {"refusal": "I will not."},
    ]
    assert whole_of(*chunks)["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": "I will not.",
        "reasoning_content": "Hm, no.",
    }


def test_logprobs_go_with_their_delta_and_are_joined() -> None:
    """Lists of tokens are appended, and top_logprobs kept."""
    top = [wire.TopLogprob("He", -2.0)]
    first = wire.Logprobs(content=[wire.TokenLogprob("Hel", -0.5, [72], top)])
    second = wire.Logprobs(content=[wire.TokenLogprob("lo", -0.25)])
    chunks = (
        Chunk(head=Head(), deltas=[Delta(content="Hel", logprobs=first)]),
        Chunk(deltas=[Delta(content="lo", logprobs=second)]),
        ended(),
    )
    tokens = [c["logprobs"]["content"] for c in choices_of(*chunks) if c.get("logprobs")]
    assert [[token["token"] for token in said_with] for said_with in tokens] == [["Hel"], ["lo"]]
    whole = whole_of(*chunks)["choices"][0]["logprobs"]["content"]
    assert [(token["token"], len(token["top_logprobs"])) for token in whole] == [
        ("Hel", 1),
        ("lo", 0),
    ]


def test_position_counts_upstream_deltas() -> None:
    """A delta that holds several counts for several."""
    maker = EventMaker(ANSWER, include_usage=False)
    list(
        maker.events(Chunk(head=Head(), deltas=[Delta(content="ab", count=2), Delta(content="c")]))
    )
    assert maker.position == 3


TEXT = st.text(alphabet=st.characters(blacklist_categories=["Cs"]))


@given(st.lists(st.lists(st.tuples(st.integers(0, 2), TEXT, TEXT), max_size=4), max_size=5))
def test_stream_and_whole_answer_say_the_same(script: list[list[tuple[int, str, str]]]) -> None:
    """Joined by choice, the events of a stream are the texts of the whole answer."""
    deltas = [[Delta(c, text, thought) for c, text, thought in read] for read in script]
    chunks = [Chunk(head=Head()), *(Chunk(deltas=list(read)) for read in deltas)]
    joined: dict[int, list[str]] = {}
    for choice in choices_of(*chunks):
        texts = joined.setdefault(choice["index"], ["", ""])
        texts[0] += choice["delta"].get("content", "")
        texts[1] += choice["delta"].get("reasoning_content", "")
    whole = whole_of(*chunks)["choices"]
    messages = {choice["index"]: choice["message"] for choice in whole}
    assert joined == {
        index: [message["content"], message.get("reasoning_content", "")]
        for index, message in messages.items()
    }


@given(TEXT)
def test_the_json_is_ascii_and_one_line(text: str) -> None:
    """A reader that splits by lines, or decodes read by read, finds every event whole."""
    encoded = encode_json({"text": text})
    assert encoded.isascii()
    assert b"\n" not in encoded
    assert json.loads(encoded) == {"text": text}
