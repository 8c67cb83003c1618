"""The row about one question that is asked a hundred times at once."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple

import grpc
from google.protobuf.duration_pb2 import Duration

from headgate.v1 import chat_pb2 as pb
from scene import UNLIMITED, ask, next_event, reason, scene
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scene import Stub

CALLERS = 100
WORDS = 3000  # what the recorder streams in the mode `stream`, one every 10 ms
LAST_CANCEL = 20.0  # seconds; the stream takes half a minute
# One in ten reads every delta as it comes, the others as many as come in so long.
SELDOM = pb.StreamOptions(delta_interval=Duration(nanos=250_000_000))


class Ending(NamedTuple):
    """How one stream ended; of those that ended OK, text, last position and finish."""

    how: str
    text: str = ""
    position: int = 0
    finish: str = ""


async def joins() -> AsyncIterator[Row]:
    """A hundred callers with one key, streaming, half of them cancel."""
    draw = random.Random(100)
    async with scene(*UNLIMITED) as stage:
        stubs = [stage.stub() for _ in range(5)]
        stays = [draw.uniform(0, LAST_CANCEL) if n % 2 else None for n in range(CALLERS)]
        endings = await asyncio.gather(
            *(_stream(stubs[n % 5], n, stay) for n, stay in enumerate(stays))
        )
        report = await stage.quiet()
    whole = [ending for ending in endings if ending.how == "finished"]
    cancelled = sum(ending.how == "cancelled" for ending in endings)
    expected = "".join(f"word-{number} " for number in range(WORDS))
    same = {ending[1:] for ending in whole} == {(expected, WORDS, "FINISH_REASON_STOP")}
    others = sorted({ending.how for ending in endings} - {"finished", "cancelled"})
    yield Row(
        f"{CALLERS} callers with one idempotency key, streaming, half of them cancel",
        f"1 upstream call, {CALLERS // 2} complete streams with the same text and finish",
        f"{len(report.arrivals)} upstream call, {len(whole)} complete streams"
        f" {'with the same' if same else 'that differ in'} text and finish;"
        f" {cancelled} cancelled{', others ended ' + ', '.join(others) if others else ''}",
        len(report.arrivals) == 1 and len(whole) == CALLERS // 2 == cancelled and same,
    )


async def _stream(stub: Stub, number: int, stay: float | None) -> Ending:
    """One stream, read to its end or left after so many seconds."""
    options = SELDOM if number % 10 else None
    call = stub.StreamChat(ask("stream", idempotency_key="one", stream_options=options))
    words, position = [], 0
    try:
        async with asyncio.timeout(stay):
            while (event := await next_event(call)) is not None:
                if event.WhichOneof("event") == "delta":
                    words.append(event.delta.content)
                    position = event.delta.position
                elif event.WhichOneof("event") == "finished":
                    finish = pb.FinishReason.Name(event.finished.choices[0].finish_reason)
                    return Ending("finished", "".join(words), position, finish)
    except TimeoutError:
        call.cancel()
        return Ending("cancelled")
    except grpc.aio.AioRpcError as error:
        return Ending(reason(error))
    return Ending("OK without finished")
