"""What the replay buffer does with Chunks: weighs, folds and copies them."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING

from headgate.merge import merge
from headgate.upstream import Chunk, Delta, extend

if TYPE_CHECKING:
    from headgate import wire

# Bytes that CPython 3.11 takes, beside the texts; `tests/unit/test_join_chunks.py` measures.
_CHUNK = 250
_DELTA = 200
_PIECE = 200
_TOKEN = 400


def weigh(chunk: Chunk) -> int:
    """About how many bytes of memory a Chunk takes."""
    weight = _CHUNK + sum(map(_delta, chunk.deltas))
    # What the upstream said beyond the contract is JSON: its text tells how much it is.
    return weight + 4 * len(repr(chunk.extra)) if chunk.extra else weight


def fold(chunks: list[Chunk]) -> Chunk:
    """One Chunk that says the same, its deltas merged; uses up the ones given."""
    whole = Chunk(deltas=[], finishes={}, extra={})
    for chunk in chunks:
        extend(whole, chunk)
    whole.deltas = merge(whole.deltas)
    return whole


def copied(chunks: list[Chunk]) -> Chunk:
    """One Chunk that says the same, for one reader: whoever merges it changes no other's."""
    whole = Chunk(deltas=[], finishes={}, extra={})
    for chunk in chunks:
        deltas = [copy.copy(delta) for delta in chunk.deltas]
        extend(whole, Chunk(chunk.head, deltas, chunk.finishes, chunk.usage, chunk.extra))
    return whole


def _delta(delta: Delta) -> int:
    weight = _DELTA
    for text in (delta.content, delta.reasoning, delta.refusal):
        if text:
            weight += sys.getsizeof(text)
    for piece in delta.tool_calls:
        weight += _PIECE + sys.getsizeof(piece.arguments)
    return weight if delta.logprobs is None else weight + _logprobs(delta.logprobs)


def _logprobs(said: wire.Logprobs) -> int:
    tokens = [*(said.content or ()), *(said.refusal or ())]
    return _TOKEN * sum(1 + len(token.top_logprobs) for token in tokens)
