"""Joins deltas that wait together, so that fewer and larger messages go out (design section 6).

Deltas are joined within a choice; where reasoning and content alternate they stay apart, because
their order would be lost. Pieces of tool calls join by index; logprobs are lists and are appended.
Nothing is joined to more than a message may hold, its logprobs included.
"""

from __future__ import annotations

from headgate.split import MAX_TEXT_BYTES, length
from headgate.upstream import Delta, ToolCallPiece
from headgate.wire import Logprobs

# In code points, of which each has at most 4 bytes (promise 7).
_MAX_LENGTH = MAX_TEXT_BYTES // 4


def merge(deltas: list[Delta]) -> list[Delta]:
    """The same text in as few deltas as the rules allow; the inputs may be changed."""
    if len(deltas) < 2:
        return deltas
    merged: list[Delta] = []
    last: dict[int, tuple[Delta, int]] = {}
    for delta in deltas:
        size = length(delta)
        before, so_far = last.get(delta.choice, (None, 0))
        if before is not None and so_far + size <= _MAX_LENGTH and _kinds(before) == _kinds(delta):
            _join(before, delta)
            last[delta.choice] = before, so_far + size
        else:
            merged.append(_growing(delta))
            last[delta.choice] = delta, size
    return merged


def _growing(delta: Delta) -> Delta:
    """With lists of its own, to which more can be added; those that it had may be others' too."""
    if delta.tool_calls:
        delta.tool_calls = list(delta.tool_calls)
    if delta.logprobs is not None:
        delta.logprobs = _extend(Logprobs(), delta.logprobs)
    return delta


def _kinds(delta: Delta) -> tuple[bool, bool, bool, bool]:
    return bool(delta.content), bool(delta.reasoning), bool(delta.refusal), bool(delta.tool_calls)


def _join(before: Delta, delta: Delta) -> None:
    before.content += delta.content
    before.reasoning += delta.reasoning
    before.refusal += delta.refusal
    before.count += delta.count
    if delta.tool_calls:
        _join_pieces(before.tool_calls, delta.tool_calls)
    if delta.logprobs is not None:
        before.logprobs = _extend(before.logprobs or Logprobs(), delta.logprobs)


def _join_pieces(joined: list[ToolCallPiece], pieces: list[ToolCallPiece]) -> None:
    for piece in pieces:
        tail = joined[-1]
        if piece.index == tail.index and not piece.id and not piece.name:
            joined[-1] = ToolCallPiece(
                tail.index, tail.id, tail.name, tail.arguments + piece.arguments
            )
        else:
            joined.append(piece)


def _extend(said: Logprobs, more: Logprobs) -> Logprobs:
    if more.content:
        said.content = said.content or []
        said.content += more.content
    if more.refusal:
        said.refusal = said.refusal or []
        said.refusal += more.refusal
    return said
