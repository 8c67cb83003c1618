"""Bounds the text of one message: longer deltas are split between code points (promise 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.upstream import Delta, ToolCallPiece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate import wire

MAX_TEXT_BYTES = 256 * 1024
# A code point has at most 4 bytes, so a text of this many needs no look at its bytes.
SURELY_SHORT = MAX_TEXT_BYTES // 4
# What a logprob takes in a message beside its token, in code points of 4 bytes.
_LOGPROB = 5


def split_delta(delta: Delta) -> Iterator[Delta]:
    """The delta itself, or as many as it takes; each counts as one, so positions agree for all."""
    if text_length(delta) <= SURELY_SHORT:
        yield delta
        return
    logprobs, delta.logprobs = delta.logprobs, None
    first = True
    for part in _parts(delta):
        if first:
            part.logprobs = logprobs
            first = False
        yield part


def text_length(delta: Delta) -> int:
    """Code points of text in the delta, names and ids of tool calls included."""
    length = len(delta.content) + len(delta.reasoning) + len(delta.refusal)
    for piece in delta.tool_calls:
        length += len(piece.id) + len(piece.name) + len(piece.arguments)
    return length


def length(delta: Delta) -> int:
    """As `text_length`, and about as many as its logprobs amount to, which are often far more."""
    text = text_length(delta)
    return text if delta.logprobs is None else text + _logprobs_length(delta.logprobs)


def _logprobs_length(said: wire.Logprobs) -> int:
    length = 0
    for tokens in (said.content or (), said.refusal or ()):
        for token in tokens:
            length += _token_length(token)
            for top in token.top_logprobs:
                length += _token_length(top)
    return length


def _token_length(token: wire.TokenLogprob | wire.TopLogprob) -> int:
    return _LOGPROB + len(token.token) + len(token.bytes or ()) // 4


def _parts(delta: Delta) -> Iterator[Delta]:
    choice = delta.choice
    yield from (Delta(choice, reasoning=text) for text in split_text(delta.reasoning))
    yield from (Delta(choice, content=text) for text in split_text(delta.content))
    yield from (Delta(choice, refusal=text) for text in split_text(delta.refusal))
    for piece in delta.tool_calls:
        if piece.id or piece.name:
            yield Delta(choice, tool_calls=[ToolCallPiece(piece.index, piece.id, piece.name)])
        for text in split_text(piece.arguments):
            yield Delta(choice, tool_calls=[ToolCallPiece(piece.index, arguments=text)])


def split_text(text: str, limit: int = MAX_TEXT_BYTES) -> Iterator[str]:
    """Pieces of at most `limit` UTF-8 bytes (at least 4), cut between code points."""
    data = text.encode()
    start = 0
    while start < len(data):
        end = min(start + limit, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end].decode()
        start = end
