"""Rows about the pace and the queue: gaps, slots used, fairness, refusals, predictions."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import grpc

from headgate.v1 import chat_pb2 as pb
from scene import Scene, as_caller, ask, scene
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GAP = 0.5


def retry_after(error: grpc.aio.AioRpcError) -> float:
    """Seconds, from the plain trailer."""
    return int(dict(error.trailing_metadata() or ())["headgate-retry-after-ms"]) / 1000


def reason(error: grpc.aio.AioRpcError) -> str:
    return str(dict(error.trailing_metadata() or ()).get("headgate-reason"))


async def hammering(seconds: float) -> AsyncIterator[Row]:
    """10 callers, a third of them with deadlines too short to wait."""
    async with scene() as stage:
        await stage.stub().Chat(ask())
        started = time.monotonic()
        ends = started + seconds
        reasons: list[str] = []
        await asyncio.gather(*(_hammer(stage, n, ends, reasons) for n in range(10)))
        report = await stage.quiet()
        times = [at for at, _ in report.arrivals if started < at <= ends]
        used = len(times) / ((ends - started) / GAP)
        late = report.late[int(len(report.late) * 0.99)]
        smallest = min(report.gaps())
        limits = reasons.count("UPSTREAM_LIMIT")
    yield Row(
        f"10 callers hammer for {seconds:g} s: smallest gap",
        "at least 499 ms",
        f"{smallest * 1000:.1f} ms (recorder late by {late * 1000:.1f} ms at p99)",
        smallest >= GAP - 0.001,
    )
    yield Row("the same: 429s", "0", str(limits), limits == 0)
    yield Row("the same: slots used", "at least 95 %", f"{used:.1%}", used >= 0.95)


async def _hammer(stage: Scene, number: int, ends: float, reasons: list[str]) -> None:
    stub = stage.stub()
    patience = 0.3 if number % 3 == 0 else 30.0
    while (left := ends - time.monotonic()) > 0:
        try:
            await stub.Chat(
                ask(), metadata=as_caller(f"c{number}"), timeout=min(patience, left + 1)
            )
        except grpc.aio.AioRpcError as error:
            reasons.append(reason(error))
            await asyncio.sleep(0.02)


async def thousand_waiting() -> AsyncIterator[Row]:
    """One caller with 1,000 calls queued, another sends one."""
    flags = ("--throttle.max_queue", "1200", "--throttle.max_wait", "900")
    async with scene(*flags) as stage:
        stubs = [stage.stub() for _ in range(4)]
        options = pb.StreamOptions(queue_updates=True)
        calls = [
            stubs[n % 4].StreamChat(ask(stream_options=options), metadata=as_caller("many"))
            for n in range(1001)
        ]
        await asyncio.gather(*(call.read() for call in calls))
        await stage.report()
        sent = time.monotonic()
        await stage.stub().Chat(ask(user="one"), metadata=as_caller("one"), timeout=60)
        arrivals = (await stage.report()).arrivals
        slot = 1 + [user for at, user in arrivals if at > sent].index("one")
        for call in calls:
            call.cancel()
    yield Row(
        "1,000 calls of one caller wait, another sends one",
        "starts within 2 slots",
        f"slot {slot}",
        slot <= 2,
    )


async def full_queue() -> AsyncIterator[Row]:
    """A full queue of one caller, another sends one."""
    async with scene("--throttle.max_queue", "10") as stage:
        stub, options = stage.stub(), pb.StreamOptions(queue_updates=True)
        await stub.Chat(ask(), metadata=as_caller("many"))
        calls = []
        for _ in range(10):
            call = stub.StreamChat(ask(stream_options=options), metadata=as_caller("many"))
            await call.read()
            calls.append(call)
        other = asyncio.create_task(_chat(stage, "one", 30))
        ends = await asyncio.gather(*(_end(call) for call in calls))
        admitted = await other
    refused = [number for number, end in enumerate(ends, 1) if end == "QUEUE_FULL"]
    yield Row(
        "a full queue of one caller, another sends one",
        "admitted; the newest of the long line gets QUEUE_FULL",
        f"{admitted}; QUEUE_FULL for call {refused} of 10",
        admitted == "OK" and refused == [10],
    )


async def _chat(stage: Scene, caller: str, seconds: float) -> str:
    try:
        await stage.stub().Chat(ask(user=caller), metadata=as_caller(caller), timeout=seconds)
    except grpc.aio.AioRpcError as error:
        return reason(error)
    return "OK"


async def _end(call: Any) -> str:
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return reason(error)
    return "OK"


async def hopeless_deadline() -> AsyncIterator[Row]:
    """A deadline that cannot be met, nobody new coming; three times, the median."""
    tries = [await _hopeless() for _ in range(3)]
    took, off = median(t[0] for t in tries), median(t[1] for t in tries)
    outcomes = [t[2] for t in tries]
    yield Row(
        "a deadline that cannot be met: refused after (median of 3)",
        "under 50 ms",
        f"{took * 1000:.1f} ms",
        took < 0.05,
    )
    yield Row(
        "the same: RetryInfo against the slot (median of 3)",
        "within 10 % or 100 ms",
        f"{off * 1000:.0f} ms off",
        off <= 0.1,
    )
    yield Row(
        "the same: the call succeeds then",
        "OK three times",
        ", ".join(outcomes),
        outcomes == ["OK"] * 3,
    )


async def _hopeless() -> tuple[float, float, str]:
    """Seconds to the refusal, seconds that its RetryInfo was off, and how the call went then."""
    async with scene() as stage:
        stub, options = stage.stub(), pb.StreamOptions(queue_updates=True)
        await stub.Chat(ask())
        calls = [stub.StreamChat(ask(stream_options=options)) for _ in range(6)]
        for call in calls:
            await call.read()
        started = time.monotonic()
        try:
            await stub.Chat(ask(), timeout=1.0)
        except grpc.aio.AioRpcError as error:
            refused, wait = time.monotonic(), retry_after(error)
        else:
            return 9.0, 9.0, "not refused"
        await asyncio.sleep(wait - (time.monotonic() - refused))
        await stage.report()
        outcome = await _chat(stage, "late", 1.0)
        arrived = [at for at, user in (await stage.quiet()).arrivals if user == "late"]
        off = abs(arrived[0] - (refused + wait)) if arrived else 9.0
        return refused - started, off, outcome


async def prediction() -> AsyncIterator[Row]:
    """Predicted against actual wait, pace alone: 20 calls that wait."""
    async with scene() as stage:
        stub = stage.stub()
        await stub.Chat(ask())
        waits = await asyncio.gather(*(_predicted(stub) for _ in range(20)))
    off = median(abs(actual - told) for told, actual in waits)
    share = median(abs(actual - told) / actual for told, actual in waits)
    yield Row(
        "predicted against actual wait, 20 calls: median error",
        "under 5 % or 25 ms",
        f"{share:.1%}, {off * 1000:.1f} ms",
        share < 0.05 or off < 0.025,
    )


async def _predicted(stub: Any) -> tuple[float, float]:
    """Seconds from the first `queued` to the start: as it said, and as it was."""
    options = pb.StreamOptions(queue_updates=True)
    call = stub.StreamChat(ask(stream_options=options))
    first = await call.read()
    asked = time.monotonic()
    while (await call.read()).WhichOneof("event") != "started":
        pass
    told = first.queued.estimated_wait.ToMicroseconds() / 1e6
    return told, time.monotonic() - asked
