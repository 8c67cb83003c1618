"""What the gateways are loaded with: streams at a steady pace, streams that stand, short calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headgate.v1 import chat_pb2 as pb
from support.raw_upstream import DONE, END, chunked, delta, event, finish, says, stream_head

if TYPE_CHECKING:
    from bench.size.gateway import Gateway
    from support.raw_upstream import Connection, Request

GAP = 0.05
"""Seconds between two tokens of a stream."""
STANDING = "standing"
CONNECTIONS = 4

_TOKEN = chunked(event(delta(" word")))
_short = says("word")


async def answer(request: Request, connection: Connection) -> None:
    """By the name of the model: a number is so many tokens, one each GAP; else see `STANDING`."""
    body = request.json
    if not body.get("stream"):
        await _short(request, connection)
        return
    await connection.send(stream_head(), _TOKEN)
    if body["model"] == STANDING:
        await connection.until_gone()
        return
    loop = asyncio.get_running_loop()
    due = loop.time()
    for _ in range(int(body["model"]) - 1):
        due += GAP
        await asyncio.sleep(due - loop.time())
        await connection.send(_TOKEN)
    await connection.send(chunked(event(finish())) + chunked(DONE) + END)


async def short_calls(gateway: Gateway, count: int, at_once: int = 20) -> None:
    """So many unary calls."""
    stubs, left = gateway.stubs(CONNECTIONS), iter(range(count))

    async def caller() -> None:
        for number in left:
            await stubs[number % CONNECTIONS].Chat(_ask("any"), timeout=60)

    await asyncio.gather(*(caller() for _ in range(at_once)))
    await gateway.leave()


async def steady_streams(gateway: Gateway, streams: int, tokens: int) -> None:
    """So many streams at once, which begin evenly spread over one GAP."""
    stubs = gateway.stubs(CONNECTIONS)

    async def read(number: int) -> None:
        await asyncio.sleep(GAP * number / streams)
        stub = stubs[number % CONNECTIONS]
        position = 0
        async for said in stub.StreamChat(_ask(str(tokens)), timeout=120):
            position = max(position, said.delta.position)
        if position != tokens:
            raise RuntimeError(f"{position} of {tokens} tokens came")

    await asyncio.gather(*(read(number) for number in range(streams)))
    await gateway.leave()


async def standing_streams(gateway: Gateway, streams: int) -> None:
    """So many streams that have had their first token; until `gateway.leave`."""
    stubs = gateway.stubs(CONNECTIONS)

    async def begin(number: int) -> None:
        stream = stubs[number % CONNECTIONS].StreamChat(_ask(STANDING), timeout=600)
        standing.append(stream)
        for _ in range(2):  # started, and a delta
            await stream.read()

    standing: list[object] = []
    for start in range(0, streams, 50):
        await asyncio.gather(*(begin(n) for n in range(start, min(start + 50, streams))))


async def waiting_calls(gateway: Gateway, calls: int) -> None:
    """So many calls that were told that they wait; until `gateway.leave`."""
    stubs = gateway.stubs(CONNECTIONS)

    async def wait(number: int) -> None:
        options = pb.StreamOptions(queue_updates=True)
        ask = pb.ChatRequest(messages=_ask("any").messages, model=STANDING, stream_options=options)
        stream = stubs[number % CONNECTIONS].StreamChat(ask, timeout=1e6)
        queued.append(stream)
        await stream.read()

    queued: list[object] = []
    for start in range(0, calls, 50):
        await asyncio.gather(*(wait(n) for n in range(start, min(start + 50, calls))))


def _ask(model: str) -> pb.ChatRequest:
    return pb.ChatRequest(
        messages=[pb.ChatMessage(role=pb.ROLE_USER, content="Tell me of the sea.")], model=model
    )
