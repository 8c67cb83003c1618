"""What an upstream's answer means (promises 1 and 2, without sockets)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headgate.errors import (
    UpstreamCredentials,
    UpstreamError,
    UpstreamLimit,
    UpstreamProtocol,
    UpstreamUnavailable,
)
from headgate.reply import Reply
from headgate.sse import Event
from headgate.upstream import Chunk, extend
from headgate.validate import MAX_CHOICES
from support.raw_upstream import completion, delta, finish


def events(*values: Any) -> list[Event]:
    return [Event(v if isinstance(v, bytes) else json.dumps(v).encode()) for v in values]


def feed(reply: Reply, *values: Any) -> Chunk:
    return reply.feed(events(*values)) or Chunk()


def texts(chunk: Chunk) -> list[str]:
    return [said.content for said in chunk.deltas]


def test_content_commits_and_a_role_does_not() -> None:
    """Only content counts as the first delta; a role, an empty text and a ping do not."""
    reply = Reply()

    feed(reply, delta(role="assistant"), delta(""), {"type": "ping"})
    assert not reply.committed

    assert texts(feed(reply, delta("Hi"))) == ["Hi"]
    assert reply.committed


def test_the_first_chunk_carries_the_head() -> None:
    """Who answers is told once, with the first chunk that says anything."""
    reply = Reply()

    first, second = feed(reply, delta("a")), feed(reply, delta("b"))

    assert first.head is not None
    assert (first.head.id, first.head.model, first.head.created) == ("c-1", "scripted", 1700000000)
    assert second.head is None


def test_finished_when_every_choice_seen_has_its_reason() -> None:
    """Two choices: one reason is not enough."""
    reply = Reply()

    feed(reply, delta("a"), delta("b", choice=1), finish())
    assert not reply.finished
    with pytest.raises(UpstreamUnavailable):
        reply.end()

    chunk = feed(reply, finish("length", choice=1))
    assert reply.finished
    assert chunk.finishes == {1: "length"}
    reply.end()


def test_more_choices_than_anybody_can_ask_for_are_no_answer() -> None:
    """An upstream that names ever new ones would be remembered for each (promise 7)."""
    reply = Reply()
    feed(reply, *(delta("a", choice=index) for index in range(MAX_CHOICES)))
    assert reply.failure is None

    feed(reply, delta("b", choice=5), delta("c", choice=MAX_CHOICES))

    assert reply.choices == MAX_CHOICES
    with pytest.raises(UpstreamProtocol, match="more than 128 choices"):
        reply.end()


def test_a_whole_answer_has_no_more_choices_than_can_be_asked_for() -> None:
    """Also where they are numbered by where they stand."""
    choices = [{"message": {"content": "a"}, "finish_reason": "stop"}] * (MAX_CHOICES + 1)
    with pytest.raises(UpstreamProtocol, match="more than 128 choices"):
        Reply().feed_body(json.dumps({"choices": choices}).encode())


def test_done_finishes_with_an_empty_word() -> None:
    """`[DONE]` without a finish reason is an end, with nothing known about why."""
    reply = Reply()

    chunk = feed(reply, delta("a"), b"[DONE]")

    assert chunk.finishes == {0: ""}
    assert reply.finished
    reply.end()


def test_nothing_after_done_counts() -> None:
    """What an upstream says behind its own end is not part of the answer."""
    reply = Reply()

    chunk = feed(reply, delta("a"), finish(), b"[DONE]", delta("b"), {"error": "late"})

    assert texts(chunk) == ["a"]
    reply.end()


@pytest.mark.parametrize("last", [b"[DONE]", None])
def test_an_answer_without_a_choice_is_a_failed_attempt(last: bytes | None) -> None:
    """No choice at all is retryable, whether the upstream said that it is done or not."""
    reply = Reply()
    feed(reply, *([last] if last else []))

    with pytest.raises(UpstreamUnavailable, match="no choice") as caught:
        reply.end()
    assert caught.value.retryable


def test_content_before_an_error_in_the_same_read_is_delivered() -> None:
    """A prefix of the answer stays the caller's; the error comes behind it."""
    reply = Reply()

    chunk = feed(reply, delta("a"), {"error": {"message": "overloaded", "code": 529}}, delta("b"))

    assert texts(chunk) == ["a"]
    with pytest.raises(UpstreamUnavailable):
        reply.end()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "slow down", "code": 429}, UpstreamLimit),
        ({"message": "no", "code": "401"}, UpstreamCredentials),
        ({"message": "?", "code": "rate_limit_exceeded"}, UpstreamUnavailable),
        ("overloaded", UpstreamUnavailable),
        ({"message": "?", "code": True}, UpstreamUnavailable),
    ],
)
def test_an_error_object_counts_by_its_numeric_code(
    error: object, kind: type[UpstreamError]
) -> None:
    """An error in a 200 is what its code says, else the upstream is unavailable."""
    reply = Reply()
    feed(reply, {"error": error})

    with pytest.raises(kind):
        reply.end()


def test_an_error_event_by_name() -> None:
    """`event: error` is an error whatever its data looks like."""
    reply = Reply()
    reply.feed([Event(b'{"message": "boom", "code": 429}', "error")])

    with pytest.raises(UpstreamLimit):
        reply.end()


def test_a_fault_after_the_finish_is_no_fault() -> None:
    """Once the answer is whole, an error or garbage does not take it back."""
    for garbage in (b"{", b'{"error": "late"}'):
        reply = Reply()
        feed(reply, delta("a"), finish())
        feed(reply, garbage)
        reply.end()


def test_usage_and_unknown_fields_are_kept() -> None:
    """Usage comes last; what has no field of ours is handed on as extra."""
    reply = Reply()
    feed(reply, delta("a"), finish())

    tail = {"choices": [], "usage": {"prompt_tokens": 2}, "timings": {"ms": 4}}
    chunk = feed(reply, tail)

    assert chunk.usage is not None
    assert chunk.usage.prompt_tokens == 2
    assert chunk.extra == {"timings": {"ms": 4}}


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"prompt_tokens": 7.0, "total_tokens": "9"}, {"prompt_tokens": 7, "total_tokens": 9}),
        ({"prompt_tokens": 7, "total_tokens": 1.5}, {"prompt_tokens": 7}),
        ({"prompt_tokens": 7, "total_tokens": 1e30}, {"prompt_tokens": 7}),
        ({"prompt_tokens": 7, "prompt_tokens_details": 3}, {"prompt_tokens": 7}),
        (
            {"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2.0}},
            {"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2}},
        ),
        ("many", None),
    ],
)
def test_figures_that_are_no_counts_cost_no_answer(said: Any, read: Any) -> None:
    """Whole or streamed; what is a count all the same is kept."""
    tail = {"choices": [], "usage": said}
    whole = Reply().feed_body(json.dumps(completion("Hi") | {"usage": said}).encode())
    streamed = feed(Reply(), delta("Hi"), finish(), tail)
    for chunk in (whole, streamed):
        assert texts(chunk) == ["Hi"]
        assert msgspec.to_builtins(chunk.usage) == read


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ([THOUGHT], "", "Hm."),
        ([THOUGHT, {"type": "text", "text": "Hi"}], "Hi", "Hm."),
        ([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}], "Hi", "Hm."),
        ([{"type": "text", "text": "Hi"}, {"type": "image"}, "odd"], "Hi", ""),
    ],
)
def test_content_in_parts(content: Any, text: str, reasoning: str) -> None:
    """As Mistral's reasoning models send it, whole and streamed."""
    whole = Reply().feed_body(json.dumps(completion(content)).encode())
    streamed = feed(Reply(), delta(content))
    for chunk in (whole, streamed):
        said = [(each.content, each.reasoning) for each in chunk.deltas]
        assert said == [(text, reasoning)]


@pytest.mark.parametrize(
    ("logprobs", "kept"),
    [
        ({"content": [{"token": "Hi", "logprob": -0.5, "top_logprobs": None}]}, [("Hi", -0.5)]),
        ({"content": [{"token": "Hi", "logprob": None}]}, None),
        (-0.5, None),
        ([], None),
    ],
)
def test_odd_log_probabilities_cost_no_answer(logprobs: Any, kept: Any) -> None:
    """What is one all the same is kept."""
    body = completion("Hi")
    body["choices"][0]["logprobs"] = logprobs
    chunk = Reply().feed_body(json.dumps(body).encode())
    (said,) = chunk.deltas
    assert said.content == "Hi"
    read = said.logprobs and [(t.token, t.logprob) for t in said.logprobs.content or ()]
    assert read == kept


def test_an_error_without_the_key_is_one_all_the_same() -> None:
    """Behind content it is no end of an answer."""
    reply = Reply()
    feed(reply, delta("Hi"))
    error = {"object": "error", "message": "out of memory", "code": 500}
    reply.feed([*events(error), Event(b"[DONE]")])
    with pytest.raises(UpstreamUnavailable):
        reply.end()


def test_odd_figures_in_an_answer_that_is_cut() -> None:
    """That it is cut counts more."""
    with pytest.raises(UpstreamUnavailable):
        Reply().feed_body(b'{"usage": [], "choices": [')


def test_a_poorer_usage_takes_nothing_back() -> None:
    """Figures that a later event leaves out stay, in one read and over several; others change."""
    full = {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    poor = {"choices": [], "usage": {"prompt_tokens": 6}}
    empty: dict[str, Any] = {"choices": [], "usage": {}}
    reply = Reply()

    one_read = feed(reply, delta("a"), finish() | {"usage": full}, poor)
    later = feed(reply, empty)

    for chunk in (one_read, later):
        assert chunk.usage is not None
        assert msgspec.to_builtins(chunk.usage) == full | {"prompt_tokens": 6}


def test_unknown_fields_are_bounded_over_all_events() -> None:
    """They all leave in one message, behind the last delta."""
    reply, whole = Reply(), Chunk()
    for number in range(100):
        extend(whole, feed(reply, {f"k{number}": "x" * 10_000}))
    assert list(whole.extra) == [f"k{number}" for number in range(6)]


def test_reasoning_under_either_name() -> None:
    """`reasoning` and `reasoning_content` are the same thing."""
    reply = Reply()

    chunk = feed(reply, delta(reasoning="hm"), delta(reasoning_content="so"))

    assert [said.reasoning for said in chunk.deltas] == ["hm", "so"]


def test_tool_call_fragments_get_index_and_id() -> None:
    """Fragments without index or id belong to the call that was opened last."""
    reply = Reply()
    calls = [
        {"id": "a", "function": {"name": "f", "arguments": ""}},
        {"function": {"arguments": '{"x"'}},
        {"function": {"arguments": ":1}"}},
        {"id": "b", "function": {"name": "g", "arguments": {"y": 2}}},
    ]

    chunk = feed(reply, *(delta(tool_calls=[call]) for call in calls))

    pieces = [piece for said in chunk.deltas for piece in said.tool_calls]
    assert [(p.index, p.id, p.name, p.arguments) for p in pieces] == [
        (0, "a", "f", ""),
        (0, "", "", '{"x"'),
        (0, "", "", ":1}"),
        (1, "b", "g", '{"y":2}'),
    ]


def test_parallel_calls_that_all_say_index_zero_stay_apart() -> None:
    """A new id is a new call, and gets an index of its own."""
    reply = Reply()
    calls = [{"index": 0, "id": i, "function": {"name": "f", "arguments": "{}"}} for i in "ab"]

    chunk = feed(reply, delta(tool_calls=calls))

    assert [(p.index, p.id) for p in chunk.deltas[0].tool_calls] == [(0, "a"), (1, "b")]


def test_a_call_without_an_id_gets_one() -> None:
    """A caller must be able to answer a tool call, so it needs an id."""
    reply = Reply()

    chunk = feed(reply, delta(tool_calls=[{"index": 0, "function": {"name": "f"}}]))

    assert chunk.deltas[0].tool_calls[0].id


def test_a_whole_body_is_one_chunk() -> None:
    """A unary answer says everything at once."""
    chunk = Reply().feed_body(json.dumps(completion("Hello", reason="length")).encode())

    assert texts(chunk) == ["Hello"]
    assert chunk.finishes == {0: "length"}
    assert chunk.usage is not None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"choices": [{"message": {"content": "Hel', UpstreamUnavailable),
        (b'{"choices": []}', UpstreamUnavailable),
        (b"{}", UpstreamUnavailable),
        (b'{"choices": 3}', UpstreamProtocol),
        (b"{not json}", UpstreamProtocol),
        (b'{"choices": [{"message": {"content": {"a": 1}}}]}', UpstreamProtocol),
        (b"{" + b'"a":[' * 5000, UpstreamError),
    ],
)
def test_a_broken_body_is_never_an_answer(body: bytes, kind: type[UpstreamError]) -> None:
    """Cut, empty, and misshapen bodies have their own reasons (design section 5)."""
    with pytest.raises(kind):
        Reply().feed_body(body)


def test_a_character_cut_in_two_halves_is_joined() -> None:
    """Surrogates in two deltas are one character; a lone one never gets through."""
    reply = Reply()
    halves = [rb"\ud83d", rb"\ude00", rb"\ud83d", b"x"]

    chunk = feed(reply, *(b'{"choices":[{"delta":{"content":"%s"}}]}' % h for h in halves))

    assert "".join(texts(chunk)) == "\U0001f600\ufffdx"


def test_the_cut_event_at_the_end_counts_when_it_is_whole() -> None:
    """Some upstreams end without the blank line; half an event is half an answer."""
    whole, half = Reply(), Reply()
    whole.feed([Event(json.dumps(finish()).encode(), cut=True)])
    half.feed([*events(delta("a")), Event(json.dumps(finish()).encode()[:-9], cut=True)])

    whole.end()
    with pytest.raises(UpstreamUnavailable):
        half.end()


def test_a_huge_delta_is_split_between_code_points() -> None:
    """No message carries more than 256 KiB of text, and nothing is lost."""
    text = "aé\U0001f600" * 100_000

    chunk = feed(Reply(), delta(text))

    assert "".join(texts(chunk)) == text
    assert max(len(t.encode()) for t in texts(chunk)) <= 256 * 1024
    assert [said.count for said in chunk.deltas] == [1] * len(chunk.deltas)


def test_names_and_ids_of_tool_calls_are_text_too() -> None:
    """Many calls in one event, each with a long name: as many messages as it takes."""
    name, arguments = "é" * 10_000, "x" * 300_000
    calls = [
        {"index": n, "id": f"{n}" * 10_000, "function": {"name": name, "arguments": arguments}}
        for n in range(3)
    ]

    chunk = feed(Reply(), delta(tool_calls=calls))

    pieces = [piece for said in chunk.deltas for piece in said.tool_calls]
    texts_of = [
        "".join(p.id + p.name + p.arguments for p in said.tool_calls) for said in chunk.deltas
    ]
    assert max(len(text.encode()) for text in texts_of) <= 256 * 1024
    assert [(p.index, p.id, p.name) for p in pieces if p.name] == [
        (n, f"{n}" * 10_000, name) for n in range(3)
    ]
    for n in range(3):
        assert "".join(p.arguments for p in pieces if p.index == n) == arguments


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": {"prompt_tokens": 10**12, "completion_tokens": -4}},
        {"created": 1e300},
        {"created": -5},
    ],
)
def test_figures_that_do_not_fit_are_no_reason_to_fail(odd: dict[str, Any]) -> None:
    """Nonsense beside the text must not lose the text."""
    chunk = feed(Reply(), delta("a") | odd)

    assert texts(chunk) == ["a"]
