"""Every piece of a tool call has its index, every call its id, whatever was left out upstream."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from headgate import wire
from headgate.errors import UpstreamProtocol
from headgate.tool_calls import MAX_CALLS, MAX_NAME, ToolCallIndex
from support.counted_text import CountedText

Piece = tuple[int, str, str, str]


def pieces(*fragments: dict[str, Any]) -> list[Piece]:
    """Index, id, name and arguments of each piece that comes of these fragments."""
    calls = ToolCallIndex("call-")
    made = [calls.piece(msgspec.convert(f, wire.ToolCallFragment)) for f in fragments]
    return [(p.index, p.id, p.name, p.arguments) for p in made if p is not None]


def fragment(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return {**fields, "function": {"name": name, "arguments": arguments}}


def test_as_openai_sends_it() -> None:
    """Id and name once, then pieces of arguments under the index; two calls interleaved."""
    assert pieces(
        fragment("f", "", index=0, id="a"),
        fragment(None, "{", index=0),
        fragment("g", "", index=1, id="b"),
        fragment(None, "[", index=1),
        fragment(None, "}", index=0),
    ) == [
        (0, "a", "f", ""),
        (0, "", "", "{"),
        (1, "b", "g", ""),
        (1, "", "", "["),
        (0, "", "", "}"),
    ]


def test_id_and_name_in_every_fragment() -> None:
    """Repeated, they are the same call, and go out once."""
    assert pieces(
        fragment("f", "{", index=0, id="a"),
        fragment("f", "}", index=0, id="a"),
    ) == [(0, "a", "f", "{"), (0, "", "", "}")]


def test_every_parallel_call_at_index_zero() -> None:
    """A new id opens a new call; what follows without an id belongs to it."""
    assert pieces(
        fragment("f", "{", index=0, id="a"),
        fragment(None, "}", index=0),
        fragment("f", "{", index=0, id="b"),
        fragment(None, "]", index=0),
    ) == [(0, "a", "f", "{"), (0, "", "", "}"), (1, "b", "f", "{"), (1, "", "", "]")]


def test_indexes_that_leave_gaps() -> None:
    """A server that counts from 1 or jumps: ours are 0, 1, 2."""
    said = pieces(*(fragment("f", "", index=i, id=f"c{i}") for i in (1, 5, 9)))
    assert [piece[0] for piece in said] == [0, 1, 2]


def test_no_ids() -> None:
    """Each call gets one of its own, once."""
    assert pieces(
        fragment("f", "{", index=0),
        fragment(None, "}", index=0),
        fragment("g", "{}", index=1),
    ) == [(0, "call-0", "f", "{"), (0, "", "", "}"), (1, "call-1", "g", "{}")]


def test_neither_id_nor_index() -> None:
    """A name opens a call, arguments alone go on with it."""
    assert pieces(
        fragment("f", "{"),
        fragment(None, "}"),
        fragment("g", "[", type="function"),
        fragment(None, "]"),
    ) == [
        (0, "call-0", "f", "{"),
        (0, "", "", "}"),
        (1, "call-1", "g", "["),
        (1, "", "", "]"),
    ]


def test_the_same_function_twice_with_neither_id_nor_index() -> None:
    """Two calls of one function stay two, as a whole message has them."""
    assert pieces(fragment("f", {"x": 1}), fragment("f", {"x": 2})) == [
        (0, "call-0", "f", '{"x":1}'),
        (1, "call-1", "f", '{"x":2}'),
    ]


def test_the_name_may_come_late() -> None:
    """An id first, its name with a later fragment."""
    assert pieces(
        fragment(None, None, index=0, id="a"),
        fragment("f", None, index=0),
        fragment("f", "{}", index=0),
    ) == [(0, "a", "", ""), (0, "", "f", ""), (0, "", "", "{}")]


def test_the_name_may_come_late_without_an_index_too() -> None:
    """The open call has no name yet, so this is its name and not another call."""
    assert pieces({"id": "a"}, fragment("f", "{"), fragment(None, "}")) == [
        (0, "a", "", ""),
        (0, "", "f", "{"),
        (0, "", "", "}"),
    ]


def test_arguments_as_an_object() -> None:
    """They become the JSON text that the contract promises."""
    arguments = {"a": [1, 2.5, None, "é"], "b": {}}
    ((_, _, _, text),) = pieces(fragment("f", arguments, id="a"))
    assert json.loads(text) == arguments


def test_an_id_is_not_looked_for_among_all_others() -> None:
    """An answer may hold tens of thousands of calls."""
    counts: Counter[str] = Counter()
    calls = ToolCallIndex("call-")
    for index in [*range(1000), *range(1000)]:
        call_id = CountedText(f"c{index}", counts)
        function = wire.FunctionFragment(arguments="{}")
        piece = calls.piece(wire.ToolCallFragment(id=call_id, function=function))
        assert piece is not None
        assert piece.index == index
    assert counts["compared"] <= 2000


def test_an_id_of_ours_that_was_taken() -> None:
    """What comes with it goes on with the call that had it first."""
    assert pieces(
        fragment("f", "{", index=0, id="call-1"),
        fragment("g", "[", index=1),
        fragment(None, "}", index=2, id="call-1"),
    ) == [(0, "call-1", "f", "{"), (1, "call-1", "g", "["), (0, "", "", "}")]


def test_nothing_is_no_piece() -> None:
    """Fragments that say nothing make no delta."""
    assert pieces({}, {"index": 0}, {"index": 0, "function": {}}, fragment("", "", id="")) == []


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("name", fragment("f" * (MAX_NAME + 1), id="a")),
        ("id", fragment("f", id="a" * (MAX_NAME + 1))),
    ],
)
def test_names_and_ids_are_bounded(what: str, said: dict[str, Any]) -> None:
    """They are never split, so one message holds each of them whole (promise 7)."""
    with pytest.raises(UpstreamProtocol, match=f"whose {what} has {MAX_NAME + 1} characters"):
        pieces(said)
    longest = "x" * MAX_NAME
    assert pieces(fragment(longest, id=longest)) == [(0, longest, longest, "")]


@pytest.mark.parametrize("ids", [True, False], ids=["ids", "indexes"])
def test_calls_are_bounded(*, ids: bool) -> None:
    """What is kept of each must end somewhere, however they are told apart."""

    def call(number: int) -> dict[str, Any]:
        return fragment("f", id=f"call-{number}" if ids else "same") | {"index": number}

    most = [call(number) for number in range(MAX_CALLS)]
    assert len(pieces(*most)) == (MAX_CALLS if ids else 1)
    with pytest.raises(UpstreamProtocol, match=f"more than {MAX_CALLS} tool calls"):
        pieces(*most, call(MAX_CALLS))
