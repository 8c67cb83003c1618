"""Whatever an upstream sends: our errors or answers that protobuf takes, never anything else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from headgate.answer import chat_response, delta_event, finished_event, started_event
from headgate.errors import UpstreamError
from headgate.merge import merge
from headgate.reply import Reply
from headgate.sse import SSEDecoder, encode_event
from headgate.upstream import Chunk, extend
from headgate.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.upstream import Delta

# With lone surrogates, as servers write them that cut texts by UTF-16 units.
HALVES = st.sampled_from(["\ud83d", "\ude00", "\U0001f600"])
TEXT = st.text(st.characters() | HALVES, max_size=6)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The right shape nine times out of ten, null or anything at all else."""
    return st.integers(0, 19).flatmap(
        lambda roll: JUNK if roll == 19 else st.none() if roll == 18 else strategy
    )


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these fields, now and then with one that nobody knows."""
    known = st.fixed_dictionaries({}, optional={k: mostly(v) for k, v in fields.items()})
    return st.one_of(known, known, known, st.builds(dict, known, odd=JUNK))


INDEXES = st.integers(0, 3)
FUNCTIONS = objects(name=TEXT, arguments=TEXT | st.dictionaries(TEXT, JUNK, max_size=2))
CALLS = objects(index=INDEXES, id=TEXT, type=TEXT, function=FUNCTIONS)
BYTES = st.lists(st.integers(0, 255), max_size=4)
TOP: st.SearchStrategy[dict[str, Any]] = st.builds(dict, token=TEXT, logprob=NUMBERS, bytes=BYTES)
TOKENS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict, token=TEXT, logprob=NUMBERS, bytes=BYTES, top_logprobs=st.lists(TOP, max_size=2)
)
LOGPROBS = objects(content=st.lists(TOKENS, max_size=2), refusal=st.lists(TOKENS, max_size=2))
SAID = objects(
    role=TEXT,
    content=TEXT,
    reasoning=TEXT,
    reasoning_content=TEXT,
    refusal=TEXT,
    tool_calls=st.lists(CALLS, max_size=3),
)
FINISHES = st.sampled_from([None, None, "stop", "length", "\ud83d", ""]) | TEXT
CHOICES = objects(
    index=INDEXES, delta=SAID, message=SAID, finish_reason=FINISHES, logprobs=LOGPROBS
)
USAGE = objects(
    prompt_tokens=st.integers(),
    total_tokens=st.integers(),
    prompt_tokens_details=objects(cached_tokens=st.integers()),
    completion_tokens_details=objects(reasoning_tokens=st.integers()),
)
COMPLETIONS = objects(
    id=TEXT,
    object=TEXT,
    created=NUMBERS,
    model=TEXT,
    system_fingerprint=TEXT,
    choices=st.lists(CHOICES, max_size=3),
    usage=USAGE,
)
ERRORS = objects(error=objects(message=TEXT, code=st.integers(300, 600) | TEXT, type=TEXT) | TEXT)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


VALUES = st.one_of(*[COMPLETIONS] * 8, ERRORS, JUNK).map(encoded)
DATA = st.one_of(*[VALUES] * 8, st.binary(max_size=20), st.just(b"[DONE]"))
EVENTS = st.lists(st.tuples(DATA, st.sampled_from([""] * 9 + ["error"])), max_size=8)


class Heard:
    """What came of an answer: all Chunks in one, and how it ended."""

    def __init__(self) -> None:
        self.whole = Chunk(deltas=[], finishes={}, extra={})
        self.fault: type[UpstreamError] | None = None

    def read(self, reads: Iterable[bytes]) -> Heard:
        """As an attempt reads: until the end, the `[DONE]`, or a failure."""
        reply, decoder = Reply(), SSEDecoder()
        try:
            for data in [*reads, None]:
                events = decoder.close() if data is None else decoder.feed(data)
                chunk = reply.feed(events)
                if chunk is not None:
                    check(chunk)
                    extend(self.whole, chunk)
                if reply.done or reply.failure is not None:
                    break
            reply.end()
        except UpstreamError as error:
            self.fault = type(error)
        return self

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Heard)
        mine, theirs = self.whole, other.whole
        return (
            texts(mine.deltas) == texts(theirs.deltas)
            and (mine.finishes, mine.usage) == (theirs.finishes, theirs.usage)
            and count(mine.deltas) == count(theirs.deltas)
            and self.fault is other.fault
            and (self.fault is not None or mine.head == theirs.head)
        )

    __hash__ = None  # type: ignore[assignment]


def count(deltas: Iterable[Delta]) -> int:
    return sum(delta.count for delta in deltas)


def texts(deltas: Iterable[Delta]) -> dict[tuple[object, ...], str]:
    """What each choice said: its text by kind, and each of its tool calls."""
    said: dict[tuple[object, ...], str] = {}

    def add(text: str, *key: object) -> None:
        said[key] = said.get(key, "") + text

    for delta in deltas:
        add(delta.content, delta.choice, "content")
        add(delta.reasoning, delta.choice, "reasoning")
        add(delta.refusal, delta.choice, "refusal")
        for piece in delta.tool_calls:
            add(piece.id, delta.choice, piece.index, "id")
            add(piece.name, delta.choice, piece.index, "name")
            add(piece.arguments, delta.choice, piece.index, "arguments")
        if delta.logprobs is not None:
            add("".join(t.token for t in delta.logprobs.content or ()), delta.choice, "tokens")
    return {key: text for key, text in said.items() if text}


def sendable(message: pb.StreamChatResponse | pb.ChatResponse) -> None:
    """Protobuf writes it, and reads back what was written."""
    assert type(message).FromString(message.SerializeToString()) == message


def check(chunk: Chunk) -> None:
    """Each message that this Chunk becomes can be sent."""
    if chunk.head is not None:
        sendable(started_event(chunk.head, 0.0))
    for delta in chunk.deltas:
        sendable(delta_event(delta, 1))
    sendable(finished_event(chunk.finishes, chunk, pb.GatewayInfo()))
    sendable(chat_response(chunk, 0.0, pb.GatewayInfo()))


def stream(events: Iterable[tuple[bytes, str]]) -> list[bytes]:
    """The events as they stand on the wire."""
    return [encode_event(data, name) for data, name in events]


@given(EVENTS, st.data())
def test_chunk_boundaries_change_nothing(
    events: list[tuple[bytes, str]], data: st.DataObject
) -> None:
    """Event by event, all at once, or split anywhere: the same words, finishes and status."""
    line_end = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    pieces = [piece.replace(b"\n", line_end) for piece in stream(events)]
    whole = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    split = [whole[i:j] for i, j in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    expected = Heard().read(pieces)

    assert Heard().read([whole]) == expected
    assert Heard().read(split) == expected


def test_what_stands_behind_the_end_is_not_read() -> None:
    """Nothing after `[DONE]` counts, whether it comes in the same read or not."""
    said = {"choices": [{"delta": {"content": "a"}}]}
    pieces = stream([(encoded(said), ""), (b"[DONE]", ""), (encoded(said), "")])
    for reads in (pieces, [b"".join(pieces)]):
        assert texts(Heard().read(reads).whole.deltas) == {(0, "content"): "a"}


def test_who_answers_may_come_late() -> None:
    """An event that only says something else does not use up the head."""
    pieces = stream([(b'{"odd": 1}', ""), (b'{"id": "c", "choices": [{}]}', ""), (b"[DONE]", "")])
    for reads in (pieces, [b"".join(pieces)]):
        head = Heard().read(reads).whole.head
        assert head is not None
        assert head.id == "c"


@given(EVENTS)
def test_merging_changes_nothing(events: list[tuple[bytes, str]]) -> None:
    """Merged or not, the caller appends to the same text, and positions count the same."""
    deltas = Heard().read(stream(events)).whole.deltas
    before, total = texts(deltas), count(deltas)

    merged = merge(deltas)

    assert texts(merged) == before
    assert count(merged) == total
    for delta in merged:
        sendable(delta_event(delta, total))


@given(st.one_of(DATA, COMPLETIONS.map(encoded)))
def test_a_whole_body(body: bytes) -> None:
    """An answer, or an error of ours."""
    try:
        chunk = Reply().feed_body(body)
    except UpstreamError:
        return
    check(chunk)
    assert chunk.finishes


@given(st.lists(COMPLETIONS.map(encoded), max_size=4), st.binary(max_size=30))
def test_a_stream_that_is_cut(values: list[bytes], rest: bytes) -> None:
    """Whatever stands at the end without its blank line is our error or no matter."""
    Heard().read([*(encode_event(value) for value in values), b"data: " + rest])
