"""Joins deltas that wait together, so that fewer and larger messages go out (design section 6).

Deltas are joined within a choice; where reasoning and content alternate they stay apart, because
their order would be lost. Pieces of tool calls join by index; logprobs are lists and are appended.
"""

from __future__ import annotations

from headgate.split import MAX_TEXT_BYTES, text_length
from headgate.upstream import Delta, ToolCallPiece
from headgate.wire import Logprobs

# In code points, of which each has at most 4 bytes (promise 7).
_MAX_LENGTH = MAX_TEXT_BYTES // 4


def merge(deltas: list[Delta]) -> list[Delta]:
    """The same text in as few deltas as the rules allow; the inputs may be changed."""
    if len(deltas) < 2:
        return deltas
    merged: list[Delta] = []
    last: dict[int, Delta] = {}
    for delta in deltas:
        before = last.get(delta.choice)
        if before is not None and _joinable(before, delta):
            _join(before, delta)
        else:
            merged.append(delta)
            last[delta.choice] = delta
    return merged


def _joinable(before: Delta, delta: Delta) -> bool:
    return (
        _kinds(before) == _kinds(delta) and text_length(before) + text_length(delta) <= _MAX_LENGTH
    )


def _kinds(delta: Delta) -> tuple[bool, bool, bool, bool]:
    return bool(delta.content), bool(delta.reasoning), bool(delta.refusal), bool(delta.tool_calls)


def _join(before: Delta, delta: Delta) -> None:
    before.content += delta.content
    before.reasoning += delta.reasoning
    before.refusal += delta.refusal
    before.count += delta.count
    if delta.tool_calls:
        before.tool_calls = _join_pieces(before.tool_calls, delta.tool_calls)
    if delta.logprobs is not None:
        before.logprobs = _join_logprobs(before.logprobs, delta.logprobs)


def _join_pieces(before: list[ToolCallPiece], pieces: list[ToolCallPiece]) -> list[ToolCallPiece]:
    joined = list(before)
    for piece in pieces:
        tail = joined[-1]
        if piece.index == tail.index and not piece.id and not piece.name:
            joined[-1] = ToolCallPiece(
                tail.index, tail.id, tail.name, tail.arguments + piece.arguments
            )
        else:
            joined.append(piece)
    return joined


def _join_logprobs(before: Logprobs | None, more: Logprobs) -> Logprobs:
    if before is None:
        return more
    return Logprobs(
        content=[*(before.content or ()), *(more.content or ())] or None,
        refusal=[*(before.refusal or ()), *(more.refusal or ())] or None,
    )
