"""An upstream that waits in mid-answer, and readers of calls that share one key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headgate.join.door import JoinDoor
from headgate.v1 import chat_pb2 as pb
from support.raw_upstream import (
    DONE,
    END,
    chunked,
    delta,
    event,
    finish,
    stream_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from support.gateway import Caller
    from support.raw_upstream import Connection, Request

KEY = "0b6ae5b8-3a5f-4c0e-8f2e-5d8a6f3f9f10"
WORDS = [f"word-{number} " for number in range(30)]


class Paced:
    """Streams WORDS, and waits after the first half until `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.halfway = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, _: Request, connection: Connection) -> None:
        pieces = [chunked(event(delta(word))) for word in WORDS]
        await connection.send(stream_head(), *pieces[:15])
        self.halfway.set()
        leaving = asyncio.create_task(connection.until_gone())
        waiting_for_go = asyncio.create_task(self.go.wait())
        await asyncio.wait({leaving, waiting_for_go}, return_when=asyncio.FIRST_COMPLETED)
        waiting_for_go.cancel()
        if connection.gone.is_set():
            self.gone.set()
            return
        leaving.cancel()
        await asyncio.wait({leaving})
        await connection.send(*pieces[15:], chunked(event(finish()) + DONE), END)


async def rest(
    stream: grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse],
) -> list[pb.StreamChatResponse]:
    events: list[pb.StreamChatResponse] = []
    await read_into(events, stream)
    return events


async def read_into(
    events: list[pb.StreamChatResponse],
    stream: grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse],
) -> None:
    while isinstance(received := await stream.read(), pb.StreamChatResponse):
        events.append(received)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the door tells nobody
        await asyncio.sleep(0)


def joins(caller: Caller) -> JoinDoor:
    door = caller.gateway._corridor.entrance
    assert isinstance(door, JoinDoor)
    return door
