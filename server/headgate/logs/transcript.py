"""Prompts and answers in the log, for the operator who asks for them (log.prompts)."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import structlog

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from headgate.upstream import Call, Chunk, Delta, Upstream

LONGEST = 64 * 1024
"""Characters of one prompt or answer that are written."""

_log = structlog.get_logger("headgate")
_encode = msgspec.json.Encoder(enc_hook=repr).encode


class Transcript:
    """The outermost door while prompts are logged, and no door at all otherwise.

    Args:
        inner: what all calls pass.
    """

    def __init__(self, inner: Upstream) -> None:
        self._inner = inner

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[AsyncIterator[Chunk]]:
        """See `Upstream`; leaves a line with the prompt, and one with what came of it."""
        messages = _encode(call.request.messages).decode()[:LONGEST]
        _log.info("prompt", messages=messages)
        spoken = _Spoken()
        call.taker = None  # all of it has to come by here
        try:
            async with self._inner.open(call) as chunks:
                heard = _listen(chunks, spoken)
                async with aclosing(heard):
                    yield heard
        finally:
            answer = spoken.as_json()
            _log.info("answer", choices=answer)
            if call.trail is not None:
                call.trail.said(messages, answer)


async def _listen(chunks: AsyncIterator[Chunk], spoken: _Spoken) -> AsyncGenerator[Chunk, None]:
    async for chunk in chunks:
        for delta in chunk.deltas:
            spoken.add(delta)
        yield chunk


class _Spoken:
    """The texts of an answer, by choice and kind."""

    def __init__(self) -> None:
        self._texts: dict[int, dict[str, list[str]]] = {}
        self._room = LONGEST

    def add(self, delta: Delta) -> None:
        self._put(delta.choice, "content", delta.content)
        self._put(delta.choice, "reasoning", delta.reasoning)
        self._put(delta.choice, "refusal", delta.refusal)
        for piece in delta.tool_calls:
            self._put(delta.choice, f"tool_calls[{piece.index}].name", piece.name)
            self._put(delta.choice, f"tool_calls[{piece.index}].arguments", piece.arguments)

    def as_json(self) -> str:
        choices = [
            {"choice": choice, **{kind: "".join(parts) for kind, parts in kinds.items()}}
            for choice, kinds in sorted(self._texts.items())
        ]
        return _encode(choices).decode()

    def _put(self, choice: int, kind: str, text: str) -> None:
        if text and self._room > 0:
            self._texts.setdefault(choice, {}).setdefault(kind, []).append(text[: self._room])
            self._room -= len(text)
