"""The writer of one stream: of Chunks from its task, and of lone deltas from within a read."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest

from headgate.errors import StreamInterrupted
from headgate.event_stream import EventStream
from headgate.guard import PeerGone
from headgate.notices import Notices
from headgate.outbox import Outbox
from headgate.progress import Progress
from headgate.upstream import Chunk, Delta, Head
from support.virtual_time import run_virtually

if TYPE_CHECKING:
    from headgate.guard import Context
    from headgate.v1 import chat_pb2 as pb


class Reader:
    """A context whose writes leave at once, unless it is told to hold them.

    Attributes:
        got: what was written: the text of deltas with their position, or the event's name.
        gone: writes fail, as they do when the client has left.
    """

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.gone = False
        self.free = asyncio.Event()
        self.free.set()

    async def write(self, event: pb.StreamChatResponse) -> None:
        if self.gone:
            raise grpc.aio.InternalError("gone")
        kind = event.WhichOneof("event")
        self.got.append((event.delta.content, event.delta.position) if kind == "delta" else kind)
        left = asyncio.get_running_loop().create_future()
        if self.free.is_set():
            left.set_result(None)
        self.held = left
        await left


def stream(
    reader: Reader, notices: Notices | None = None, progress: Progress | None = None
) -> EventStream:
    return EventStream(
        cast("Context", reader),
        progress or Progress(time.monotonic),
        write_stall_timeout=10,
        clock=asyncio.get_running_loop().time,
        outbox=Outbox(),
        notices=notices,
    )


def chunk(*words: str) -> Chunk:
    return Chunk(head=Head(id="x"), deltas=[Delta(content=word) for word in words])


async def test_taken_deltas_stand_in_their_place() -> None:
    """Positions go on, whichever way a delta came."""
    reader = Reader()
    events = stream(reader)
    await events.send(chunk("a", "b"))
    assert events.take(Delta(content="c"))
    await events.send(chunk("d"))
    assert events.take(Delta(content="e"))
    await events.finish(system_prompt_applied=False)
    assert reader.got == ["started", ("ab", 2), ("c", 3), ("d", 4), ("e", 5), "finished"]


async def test_nothing_is_taken_before_the_start() -> None:
    """The first content brings `started` with it, from the task."""
    reader = Reader()
    assert not stream(reader).take(Delta(content="a"))
    assert reader.got == []


async def test_nothing_is_taken_while_a_write_is_under_way() -> None:
    """So a reader that stops reading stops the upstream read, too."""
    reader = Reader()
    events = stream(reader)
    await events.send(chunk("a"))
    reader.free.clear()
    assert events.take(Delta(content="b"))
    assert not events.take(Delta(content="c"))
    await asyncio.sleep(0)
    assert not events.take(Delta(content="c"))
    reader.held.set_result(None)
    assert events.take(Delta(content="c"))
    events.close()
    assert reader.got[-2:] == [("b", 2), ("c", 3)]
    reader.held.set_result(None)


async def test_a_taken_delta_leaves_before_the_end_does() -> None:
    """Whatever ends the stream right behind it: its position was counted."""
    reader = Reader()
    events = stream(reader)
    await events.send(chunk("a"))
    assert events.take(Delta(content="b"))
    events.close()
    assert reader.got[-1] == ("b", 2)


async def test_what_waits_behind_a_held_write_is_not_sent() -> None:
    """The position counts what a reader gets once it goes on: the held delta, not the next."""
    reader = Reader()
    events = stream(reader)
    await events.send(chunk("a"))
    reader.free.clear()
    await events.send(chunk("b"))
    waiting = asyncio.create_task(events.send(chunk("c")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    events.close()
    assert events.position == 2
    assert reader.got[-1] == ("b", 2)


async def test_a_held_write_between_notices_is_sent() -> None:
    """Its reader gets it though nobody waits for it any more, so it counts; the next does not."""
    reader = Reader()
    progress = Progress(time.monotonic)
    events = stream(reader, Notices(time.monotonic(), queue_updates=True, heartbeat=10), progress)
    await events.send(chunk())
    reader.free.clear()
    waiting = asyncio.create_task(events.send(chunk("a")))
    await asyncio.sleep(0)
    behind = asyncio.create_task(events.send(chunk("b")))
    await asyncio.sleep(0)
    behind.cancel()
    waiting.cancel()
    await asyncio.wait({behind, waiting})
    assert reader.got == ["started", ("a", 1)]
    assert events.position == 1
    assert progress.phase == "streaming"


async def test_nothing_is_taken_from_who_wants_notices() -> None:
    """Two tasks write there, and take turns."""
    reader = Reader()
    events = stream(reader, Notices(time.monotonic(), queue_updates=True, heartbeat=10))
    await events.send(chunk("a"))
    assert not events.take(Delta(content="b"))


@pytest.mark.parametrize("notices", [False, True])
def test_a_reader_that_stalls_is_given_up(notices: bool) -> None:
    """Also one that wants notices, whose events are written in turns."""

    async def main() -> None:
        reader = Reader()
        wanted = Notices(0.0, queue_updates=True, heartbeat=1000) if notices else None
        events = stream(reader, wanted)
        await events.send(chunk("a"))
        reader.free.clear()
        two_choices = Chunk(deltas=[Delta(0, "b"), Delta(1, "c")])
        with pytest.raises(StreamInterrupted) as caught:
            await events.send(two_choices)
        assert caught.value.metadata["cause"] == "reader_stalled"
        assert reader.got == ["started", ("a", 1), ("b", 2)]
        events.close()

    run_virtually(main())


def test_a_reader_that_stalls_is_given_up_while_the_upstream_is_silent() -> None:
    """It takes not even a heartbeat, and nobody writes anything else."""

    async def main() -> None:
        reader, loop = Reader(), asyncio.get_running_loop()
        events = stream(reader, Notices(loop.time(), queue_updates=False, heartbeat=5))

        async def call() -> None:
            async with events.notifying():
                await events.send(chunk("a"))
                reader.free.clear()
                await asyncio.Event().wait()

        began = loop.time()
        with pytest.raises(StreamInterrupted) as caught:
            await call()
        assert caught.value.metadata["cause"] == "reader_stalled"
        assert reader.got == ["started", ("a", 1), "heartbeat"]
        assert loop.time() - began == pytest.approx(15, abs=0.1)
        events.close()

    run_virtually(main())


def test_a_timeout_that_is_not_the_readers_comes_through() -> None:
    """Whoever wants notices, too, hears of the fault that there was."""

    async def main() -> None:
        events = stream(Reader(), Notices(0.0, queue_updates=False, heartbeat=5))
        with pytest.raises(TimeoutError, match="another"):
            async with events.notifying():
                raise TimeoutError("another")

    run_virtually(main())


async def test_a_fault_of_taking_is_met_by_the_task() -> None:
    """Taking raises nothing into the read; the delta behind it then comes as a Chunk."""
    reader = Reader()
    events = stream(reader)
    await events.send(chunk("a"))
    reader.gone = True
    assert events.take(Delta(content="b"))
    await asyncio.sleep(0)
    assert not events.take(Delta(content="c"))
    reader.gone = False
    with pytest.raises(PeerGone):
        await events.send(chunk("c"))
