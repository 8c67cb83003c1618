"""Chunks in the replay buffer: their weight, their folding, and copies that nobody shares."""

from __future__ import annotations

import tracemalloc

from headgate import wire
from headgate.join.chunks import copied, fold, weigh
from headgate.merge import merge
from headgate.upstream import Chunk, Delta, ToolCallPiece
from support.scripted_upstream import ended, opened, said


def with_everything() -> Chunk:
    chunk = opened("Hel", "lo")
    chunk.deltas.append(Delta(tool_calls=[ToolCallPiece(0, "id", "name", "{}")]))
    token = wire.TokenLogprob("x", -0.5, None, [wire.TopLogprob("y", -1.0)])
    chunk.deltas.append(Delta(logprobs=wire.Logprobs(content=[token])))
    chunk.extra["provider"] = {"name": "somewhere"}
    return chunk


def test_a_copy_says_the_same() -> None:
    """Head, deltas, finishes, usage and what has no field."""
    tail = ended(usage=(3, 2))
    whole = copied([with_everything(), tail])
    first = with_everything()
    assert (whole.head, whole.deltas, whole.extra) == (first.head, first.deltas, first.extra)
    assert (whole.finishes, whole.usage) == (tail.finishes, tail.usage)


def test_a_reader_that_merges_changes_no_other_readers_chunk() -> None:
    """Merging and holding back may use up their inputs."""
    kept = [with_everything(), said(" world"), ended()]
    one = copied(kept)
    one.extra["provider"] = None
    merge(one.deltas)
    assert kept == [with_everything(), said(" world"), ended()]


def test_a_folded_chunk_counts_its_deltas() -> None:
    """Positions stay the same for every reader however deltas were merged."""
    whole = fold([opened("a"), *(said("b") for _ in range(9)), ended()])
    assert [(delta.content, delta.count) for delta in whole.deltas] == [("a" + 9 * "b", 10)]
    assert whole.head is not None
    assert whole.finishes == {0: "stop"}


def test_the_weight_is_about_the_memory() -> None:
    """A bound in bytes would be no bound if small deltas were counted by their text alone."""
    tokens = [f"token-{number} " for number in range(1000)]
    tops = [[float(n), -float(n)] for n in range(1000)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        chunks = [said(token + "x") for token in tokens]
        for chunk, (one, two) in zip(chunks[::10], tops, strict=False):
            top = [wire.TopLogprob("t", one)]
            found = wire.Logprobs(content=[wire.TokenLogprob("t", two, None, top)])
            chunk.deltas[0].logprobs = found
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    memory, weight = after - before, sum(map(weigh, chunks))
    assert 0.8 * memory <= weight <= 2 * memory
