"""Asks the sandbox's model without a server."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from headgate import wire
from headgate.sandbox.model import SandboxModel
from headgate.upstream import Call, Chunk, Delta

if TYPE_CHECKING:
    from collections.abc import Sequence


STORY = "Tell me a story"


def user(text: str) -> wire.Message:
    return wire.Message(role="user", content=text)


def model(sleeps: list[float] | None = None, seed: int = 1) -> SandboxModel:
    async def sleep(seconds: float) -> None:
        if sleeps is not None:
            sleeps.append(seconds)

    return SandboxModel(token_interval=0.5, sleep=sleep, clock=lambda: 7.9, random=Random(seed))


async def chunks_of(
    said: str | Sequence[wire.Message], *, of: SandboxModel | None = None, **parameters: Any
) -> list[Chunk]:
    messages = [user(said)] if isinstance(said, str) else list(said)
    parameters.setdefault("stream", False)
    request = wire.ChatRequest(messages=messages, **parameters)
    async with (of or model()).open(Call(request=request)) as chunks:
        return [chunk async for chunk in chunks]


def deltas_of(chunks: list[Chunk], choice: int = 0) -> list[Delta]:
    return [delta for chunk in chunks for delta in chunk.deltas if delta.choice == choice]


def text_of(chunks: list[Chunk], choice: int = 0) -> str:
    return "".join(delta.content for delta in deltas_of(chunks, choice))


async def say(said: str | Sequence[wire.Message], **parameters: Any) -> str:
    return text_of(await chunks_of(said, **parameters))


def usage(chunks: list[Chunk]) -> wire.Usage:
    found = chunks[-1].usage
    assert found is not None
    return found


def tool(name: str, **properties: Any) -> wire.Tool:
    schema = msgspec.json.encode({"type": "object", "properties": properties})
    return wire.Tool(function=wire.FunctionSpec(name=name, parameters=msgspec.Raw(schema)))


WEATHER = tool("get_weather", city={"type": "string"}, days={"type": "integer", "minimum": 1})
