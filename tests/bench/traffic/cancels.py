"""The row about callers that go away: in every phase, ten thousand times."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from scene import UNLIMITED, UPDATES, Scene, as_caller, ask, ending, next_event, scene
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from scene import Stub

CAP, QUEUE = 80, 300
AT_ONCE = 120
MEAN_STAY = 0.5  # seconds until a cancel
LIMITS = (
    *UNLIMITED,
    *("--throttle.max_in_flight", str(CAP)),
    *("--throttle.max_queue", str(QUEUE)),
    *("--upstream.connect_timeout", "30"),
)
MODES = ("ok", "silent", "head", "stream", "flood")
# A reader that does not read stops the writer only when its own window is small.
NARROW = (("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0))
FLAT = 0.1
SYN_SENT = "02"


async def cancels(number: int) -> AsyncIterator[Row]:
    """Random cancels: queued, connecting, before the first token, streaming, slow reader."""
    phases: Counter[str] = Counter()
    connecting = number // 10
    left = await _while_connecting(connecting, phases)
    async with scene(*LIMITS) as stage:
        half = (number - connecting) // 2
        first = await _watched(stage, _storm(stage, half, phases))
        second = await _watched(stage, _storm(stage, number - connecting - half, phases))
        left.update(await _left_behind(stage))
    total = phases.total()
    counted = ", ".join(f"{count:,} {phase}" for phase, count in sorted(phases.items()))
    yield Row(
        f"{total:,} random cancels ({counted})",
        "0 upstream connections, 0 slots, 0 queue entries left",
        ", ".join(f"{count} {what}" for what, count in left.items()),
        not left.total() and total >= number and len(phases) == 5,
    )
    growth = second / first - 1
    yield Row(
        "the same: most memory in the second half against in the first",
        f"flat (less than {FLAT:.0%} more)",
        f"{growth:+.1%} ({first / 2**20:.0f} MiB, {second / 2**20:.0f} MiB)",
        growth < FLAT,
    )


async def _watched(stage: Scene, work: Coroutine[None, None, None]) -> int:
    """The most memory while the work goes on: what is collected later comes and goes."""
    most = 0
    working = asyncio.create_task(work)
    while not working.done():
        await asyncio.wait({working}, timeout=0.2)
        most = max(most, stage.memory())
    await working
    await stage.quiet()
    return most


async def _storm(stage: Scene, number: int, phases: Counter[str]) -> None:
    """So many cancelled calls, AT_ONCE at a time; those that end before are not counted."""
    stubs = [stage.stub(*NARROW) for _ in range(4)]
    draw = random.Random(number)
    goal = phases.total() + number

    async def caller(stub: Stub) -> None:
        while phases.total() < goal:
            phase = await _cancelled(stub, draw)
            if phase:
                phases[phase] += 1

    await asyncio.gather(*(caller(stubs[n % 4]) for n in range(AT_ONCE)))


async def _cancelled(stub: Stub, draw: random.Random) -> str:
    """One call and its cancel at a random moment; says in which phase that was."""
    mode = draw.choice(MODES)
    call = stub.StreamChat(ask(mode, stream_options=UPDATES))
    phase = "before the first token"
    try:
        async with asyncio.timeout(draw.expovariate(1 / MEAN_STAY)):
            while (event := await next_event(call)) is not None:
                kind = event.WhichOneof("event")
                phase = "queued" if kind == "queued" else "streaming"
                if kind == "delta" and mode == "flood":
                    phase = "slow reader"
                    await asyncio.sleep(60)
    except TimeoutError:
        call.cancel()
        return phase
    except grpc.aio.AioRpcError as error:
        raise RuntimeError(f"a call failed in the storm: {error.details()}") from error
    return ""


async def _left_behind(stage: Scene) -> Counter[str]:
    """What the storm did not give back, seen from outside.

    Connections: as the recorder counts them, once idle ones were let go (after 30 s).
    Slots: of CAP calls all start at once. Queue: exactly QUEUE more find a place.
    """
    for _ in range(120):
        connections = (await stage.quiet()).open - 1  # the one of the report
        if not connections:
            break
        await asyncio.sleep(0.5)
    stub = stage.stub()
    calls = [stub.StreamChat(ask("silent"), metadata=as_caller("holder")) for _ in range(CAP)]
    for _ in range(100):
        if (running := (await stage.report()).running) == CAP:
            break
        await asyncio.sleep(0.05)
    stubs = [stage.stub() for _ in range(2)]
    line = [
        stubs[n % 2].StreamChat(ask("silent", stream_options=UPDATES), metadata=as_caller("line"))
        for n in range(QUEUE)
    ]
    first = [await next_event(call) for call in line]
    waiting = sum(event is not None and event.WhichOneof("event") == "queued" for event in first)
    last = await ending(stub.StreamChat(ask("silent"), metadata=as_caller("line")))
    if last != "QUEUE_FULL":
        raise RuntimeError(f"the queue should be full, but a further call got {last}")
    for call in (*calls, *line):
        call.cancel()
    return Counter(
        {
            "upstream connections": connections,
            "slots": CAP - running,
            "queue entries": QUEUE - waiting,
        }
    )


async def _while_connecting(number: int, phases: Counter[str]) -> Counter[str]:
    """Cancels of calls whose connection is not up, at a port where nobody accepts."""
    draw = random.Random(number)
    with _nobody_accepts() as port:
        ours = _half_open(port)
        async with scene(*LIMITS, port=port) as stage:
            stub = stage.stub()

            async def caller() -> None:
                while phases["connecting"] < number:
                    call = stub.StreamChat(ask())
                    await asyncio.sleep(0.005 + draw.expovariate(30))
                    call.cancel()
                    phases["connecting"] += 1

            # Fewer than start at once, so that none of them waits in the queue.
            await asyncio.gather(*(caller() for _ in range(40)))
            for _ in range(100):
                if not (half_open := _half_open(port) - ours):
                    break
                await asyncio.sleep(0.05)
    return Counter({"upstream connections": half_open})


@contextmanager
def _nobody_accepts() -> Iterator[int]:
    """A port whose queue of connections is full, so that the kernel answers no more."""
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def _half_open(port: int) -> int:
    """Connections to this port that wait for their answer, of all processes."""
    suffix = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(f[2].endswith(suffix) and f[3] == SYN_SENT for f in fields)
