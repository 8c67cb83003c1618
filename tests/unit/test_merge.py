"""Joining deltas loses nothing and keeps the order that matters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.merge import merge
from headgate.upstream import Delta, ToolCallPiece

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
