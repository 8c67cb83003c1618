"""Joining deltas loses nothing and keeps the order that matters."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate import merge as module
from headgate import wire
from headgate.answer import delta_event
from headgate.merge import merge
from headgate.split import length
from headgate.upstream import Delta, ToolCallPiece
from headgate.wire import Logprobs, TokenLogprob

PIECES = st.builds(
    ToolCallPiece, index=st.integers(0, 2), id=st.sampled_from(["", "x"]), arguments=st.text()
)
DELTAS = st.one_of(
    st.builds(Delta, choice=st.integers(0, 2), content=st.text(min_size=1)),
    st.builds(Delta, choice=st.integers(0, 2), reasoning=st.text(min_size=1)),
    st.builds(Delta, choice=st.integers(0, 2), tool_calls=st.lists(PIECES, min_size=1)),
)


def said(deltas: list[Delta], choice: int) -> list[tuple[str, str]]:
    """What a choice said, kind by kind in order, runs of one kind joined."""
    runs: list[tuple[str, str]] = []
    for delta in deltas:
        if delta.choice != choice:
            continue
        for kind in ("reasoning", "content"):
            text = getattr(delta, kind)
            if text and runs and runs[-1][0] == kind:
                runs[-1] = (kind, runs[-1][1] + text)
            elif text:
                runs.append((kind, text))
        if delta.tool_calls:
            runs.append(("tools", ""))
    return [run for i, run in enumerate(runs) if run[0] != "tools" or runs[i - 1][0] != "tools"]


def calls(deltas: list[Delta], choice: int) -> dict[int, tuple[str, str]]:
    joined: dict[int, tuple[str, str]] = {}
    for delta in deltas:
        for piece in delta.tool_calls if delta.choice == choice else ():
            ids, arguments = joined.get(piece.index, ("", ""))
            joined[piece.index] = (ids + piece.id, arguments + piece.arguments)
    return joined


@given(st.lists(DELTAS))
def test_merging_keeps_every_text_in_order(deltas: list[Delta]) -> None:
    """Per choice, the runs of reasoning and content and the joined calls are the same."""
    copies = [Delta(d.choice, d.content, d.reasoning, "", list(d.tool_calls)) for d in deltas]

    merged = merge(copies)

    for choice in range(3):
        assert said(merged, choice) == said(deltas, choice)
        assert calls(merged, choice) == calls(deltas, choice)
    assert sum(delta.count for delta in merged) == len(deltas)


def test_plain_content_becomes_one_delta() -> None:
    """The common case: words of one choice that arrived together."""
    merged = merge([Delta(content=word) for word in "abc"])

    assert [(d.content, d.count) for d in merged] == [("abc", 3)]


def test_reasoning_and_content_that_alternate_stay_apart() -> None:
    """Within one message their order would be lost."""
    merged = merge([Delta(content="a"), Delta(reasoning="b"), Delta(content="c")])

    assert len(merged) == 3


def test_no_merged_delta_is_larger_than_a_message_may_be() -> None:
    """Promise 7: at most 256 KiB of text in a message."""
    merged = merge([Delta(content="\U0001f600" * 10_000) for _ in range(20)])

    assert all(len(d.content.encode()) <= 256 * 1024 for d in merged)
    assert sum(len(d.content) for d in merged) == 200_000


TOKENS = [
    (wire.TokenLogprob("", 0.0), 20_000),
    (wire.TokenLogprob("\U0001f600" * 5, -1.0, list("\U0001f600".encode()) * 5), 5_000),
    (wire.TokenLogprob("a", -1.0, [97], [wire.TopLogprob("abcdefgh", -9.0, [97] * 8)] * 20), 500),
]


@pytest.mark.parametrize("name", ["content", "refusal"])
@pytest.mark.parametrize(("token", "times"), TOKENS, ids=["bare", "wide", "top"])
def test_no_merged_delta_has_more_logprobs_than_a_message_may_hold(
    token: wire.TokenLogprob, times: int, name: str
) -> None:
    """They count as text does, whatever they are made of; none is lost."""
    said = [Delta(content="a", logprobs=wire.Logprobs(**{name: [token]})) for _ in range(times)]

    merged = merge(said)

    assert all(delta_event(delta, 1).ByteSize() <= 256 * 1024 for delta in merged)
    assert sum(len(getattr(delta.logprobs, name)) for delta in merged) == times


def test_each_piece_is_weighed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One read may bring thousands, and they become one delta."""
    weighed: list[int] = []

    def counted(delta: Delta) -> int:
        weighed.append(len(delta.tool_calls))
        return length(delta)

    monkeypatch.setattr(module, "length", counted)
    (merged,) = merge([Delta(tool_calls=[ToolCallPiece(i, f"c{i}", "f")]) for i in range(100)])
    assert len(merged.tool_calls) == 100
    assert sum(weighed) == 100


def test_lists_that_others_may_hold_stay() -> None:
    """A reader merges deltas of its own, whose lists are those of the others' deltas."""
    token = TokenLogprob(token="a", logprob=-0.5)
    kept = [
        Delta(tool_calls=[ToolCallPiece(i)], logprobs=Logprobs(content=[token], refusal=[token]))
        for i in range(3)
    ]
    before = copy.deepcopy(kept)

    (merged,) = merge([copy.copy(delta) for delta in kept])

    assert merged.logprobs == Logprobs(content=[token] * 3, refusal=[token] * 3)
    assert [piece.index for piece in merged.tool_calls] == [0, 1, 2]
    assert kept == before
