"""A join door in front of a scripted upstream, and calls with a key for it."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from headgate import wire
from headgate.config import IdempotencySettings
from headgate.join.door import JoinDoor
from headgate.upstream import Call, Chunk, Upstream, extend
from support.scripted_upstream import ended, opened, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.scripted_upstream import Step


def hello() -> list[Step]:
    """A script that says Hello in two Chunks."""
    return [opened("Hel"), said("lo"), ended()]


def call(text: str = "Hello", *, key: str = "k", **fields: Any) -> Call:
    """A call of ada's with a key, unless a test says otherwise."""
    stream = fields.pop("stream", True)
    messages = [wire.Message(role="user", content=text)]
    request = wire.ChatRequest(messages=messages, stream=stream)
    fields.setdefault("caller", "ada")
    return Call(request=request, idempotency_key=key, **fields)


@asynccontextmanager
async def joining(inner: Upstream, **settings: Any) -> AsyncIterator[JoinDoor]:
    """A door that must leave no task and no loose exception behind."""
    loose: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: loose.append(context))
    before = asyncio.all_tasks()
    door = JoinDoor(inner, IdempotencySettings(**settings))
    yield door
    await door.aclose()
    await settled()
    gc.collect()
    assert asyncio.all_tasks() <= before
    assert loose == []


async def settled() -> None:
    """Let everything happen that needs no more than turns of the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition is true."""
    while not condition():  # noqa: ASYNC110 - the door tells nobody
        await asyncio.sleep(0)


async def whole(door: JoinDoor, asked: Call) -> Chunk:
    """The whole answer to a call."""
    answer = Chunk(deltas=[], finishes={}, extra={})
    async with door.open(asked) as chunks:
        async for chunk in chunks:
            extend(answer, chunk)
    return answer


async def text(door: JoinDoor, asked: Call) -> str:
    """The text of the answer to a call."""
    return "".join(delta.content for delta in (await whole(door, asked)).deltas)


def reading(door: JoinDoor, asked: Call) -> asyncio.Task[str]:
    """Read an answer in a task of its own."""
    return asyncio.create_task(text(door, asked))
