"""An Upstream in memory that plays a script and remembers what it was asked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from headgate import wire
from headgate.upstream import Call, Chunk, Delta, Head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Step = Chunk | BaseException | asyncio.Event


class Scripted:
    """Each call plays the next script; the last one is played again and again.

    A script is a list of steps: a Chunk is handed out, an exception is raised, an Event is waited
    for. As the corridor promises, opening takes all steps up to the first Chunk.

    Attributes:
        calls: every call, in order.
        waiting: set while a script waits for an Event.
        left: one release for every context that was left, however that happened.
    """

    def __init__(self, *scripts: list[Step]) -> None:
        self.calls: list[Call] = []
        self.waiting = asyncio.Event()
        self.left = asyncio.Semaphore(0)
        self._scripts = list(scripts)

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[AsyncIterator[Chunk]]:
        self.calls.append(call)
        steps = iter(self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0])
        try:
            first = await self._next(steps)
            yield self._chunks(first, steps)
        finally:
            self.left.release()

    async def _chunks(self, first: Chunk | None, steps: Iterator[Step]) -> AsyncIterator[Chunk]:
        chunk = first
        while chunk is not None:
            yield chunk
            chunk = await self._next(steps)

    async def _next(self, steps: Iterator[Step]) -> Chunk | None:
        for step in steps:
            if isinstance(step, Chunk):
                return step
            if isinstance(step, BaseException):
                raise step
            self.waiting.set()
            await step.wait()
            self.waiting.clear()
        return None


def said(*texts: str, choice: int = 0) -> Chunk:
    """A Chunk with one delta for every text."""
    return Chunk(deltas=[Delta(choice, text) for text in texts])


def opened(*texts: str, model: str = "scripted-1") -> Chunk:
    """The first Chunk of an answer."""
    chunk = said(*texts)
    chunk.head = Head(id="answer-1", model=model, created=1700000000.0)
    return chunk


def ended(word: str = "stop", *, usage: tuple[int, int] | None = None, choice: int = 0) -> Chunk:
    """The last Chunk: why the choice ended, and what was counted."""
    chunk = Chunk(finishes={choice: word})
    if usage is not None:
        prompt, answer = usage
        chunk.usage = wire.Usage(
            prompt_tokens=prompt, completion_tokens=answer, total_tokens=prompt + answer
        )
    return chunk
