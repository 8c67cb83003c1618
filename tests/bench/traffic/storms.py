"""Rows about what goes wrong: cancels in every phase, and upstreams that always fail."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import grpc

from envoy import envoy
from headgate.v1 import chat_pb2 as pb
from scene import ROOT, Scene, ask, scene
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CAP = 40
BATCH = 200
SHARE, FLOOR = 0.2, 10
SERVICE_CONFIG = (ROOT / "protos" / "service_config.json").read_text(encoding="utf-8")
FAST_RETRIES = ("--retry.initial_backoff", "0.05", "--retry.max_backoff", "0.1")
PHASES = ("silent", "head", "stream", "ok")


async def cancels(number: int) -> AsyncIterator[Row]:
    """Random cancels in every phase: queued, before the first token, streaming, not reading."""
    flags = ("--profile", "unlimited", "--throttle.max_in_flight", str(CAP))
    async with scene(*flags, "--throttle.max_queue", "100000") as stage:
        stubs = [stage.stub() for _ in range(4)]
        draw = random.Random(7)
        marks = []
        for done in range(0, number, BATCH):
            await asyncio.gather(*(_cancelled(stubs[n % 4], draw) for n in range(BATCH)))
            if done in (number // 2 // BATCH * BATCH, (number // BATCH - 1) * BATCH):
                await stage.quiet()
                marks.append(stage.memory())
        running = (await stage.quiet()).running
        free = await _free_slots(stage)
    growth = marks[-1] / marks[0] - 1
    yield Row(
        f"{number:,} random cancels in every phase",
        "0 upstream requests, 0 slots, 0 queue entries left",
        f"{running} requests, {CAP - free} slots or entries left",
        running == 0 and free == CAP,
    )
    yield Row(
        "the same: memory, second half", "flat (within 3 %)", f"{growth:+.1%}", abs(growth) < 0.03
    )


async def _cancelled(stub: Any, draw: random.Random) -> None:
    call = stub.StreamChat(ask(draw.choice(PHASES)))
    try:
        for _ in range(draw.choice((0, 0, 1, 3))):
            await asyncio.wait_for(call.read(), draw.random() * 0.2)
        await asyncio.sleep(draw.random() * 0.05)
    except (TimeoutError, grpc.aio.AioRpcError):
        pass
    call.cancel()


async def _free_slots(stage: Scene) -> int:
    """How many calls start at once: those are told nothing about a queue."""
    stub, options = stage.stub(), pb.StreamOptions(queue_updates=True)
    calls = [stub.StreamChat(ask("stream", stream_options=options)) for _ in range(CAP)]
    kinds = [(await call.read()).WhichOneof("event") for call in calls]
    for call in calls:
        call.cancel()
    return kinds.count("started")


async def always_failing(seconds: float, rate: int) -> AsyncIterator[Row]:
    """So many calls a second against an upstream that always fails: plain and stock clients."""
    async with scene("--profile", "unlimited", *FAST_RETRIES) as stage:
        plain = ("grpc.enable_retries", 0)
        yield await _storm(stage, "a client without retries", seconds, rate, "", plain)
        stock = ("grpc.service_config", SERVICE_CONFIG)
        yield await _storm(stage, "a stock client with retries", seconds, rate, "", stock)
        async with envoy(stage.address) as front:
            name = "a client behind Envoy with Istio's default retries"
            yield await _storm(stage, name, seconds, rate, front, plain)


async def _storm(
    stage: Scene, who: str, seconds: float, rate: int, address: str, *options: tuple[str, Any]
) -> Row:
    await stage.quiet()
    stub = stage.stub(*options, address=address)
    calls, started = [], time.monotonic()
    for number in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        calls.append(asyncio.create_task(_ends(stub)))
    codes = await asyncio.gather(*calls)
    took = time.monotonic() - started
    seen = len((await stage.quiet()).arrivals)
    allowed = (1 + SHARE) * len(calls) + FLOOR * (took + 1)
    wrong = len(codes) - codes.count(grpc.StatusCode.UNAVAILABLE)
    return Row(
        f"{rate} calls/s for {seconds:g} s, the upstream always fails, {who}",
        f"at most {allowed:.0f} attempts (1.2 times the calls plus the floor)",
        f"{seen} attempts for {len(calls)} calls ({seen / len(calls):.3f});"
        f" {wrong} other statuses than UNAVAILABLE",
        seen <= allowed,
    )


async def _ends(stub: Any) -> grpc.StatusCode:
    try:
        await stub.Chat(ask("fail"), timeout=30)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
