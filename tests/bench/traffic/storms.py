"""Rows about an upstream that always fails: attempts stay a share, whoever retries in front."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc

from envoy import envoy
from scene import ROOT, UNLIMITED, Scene, ask, reason, scene, trailer
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scene import Stub

SHARE, FLOOR = 0.2, 10  # retry.budget and retry.budget_floor, as they are by default
RETRIES = (*UNLIMITED, "--retry.initial_backoff", "0.05", "--retry.max_backoff", "0.1")
NO_RETRIES = ("grpc.enable_retries", 0)


async def storms(seconds: float, rate: int) -> AsyncIterator[Row]:
    """So many calls a second: a client without retries, a stock one, and one behind a mesh."""
    service_config = (ROOT / "protos" / "service_config.json").read_text(encoding="utf-8")
    stock = ("grpc.service_config", service_config)
    # A gateway for each: none starts with what another has saved up or used up.
    async with scene(*RETRIES) as stage:
        yield await _storm(stage, "a client without retries", seconds, rate, "", NO_RETRIES)
    async with scene(*RETRIES) as stage:
        yield await _storm(stage, "a stock client with retries on", seconds, rate, "", stock)
    async with scene(*RETRIES) as stage, envoy(stage.address) as front:
        who = "a client behind Envoy with Istio's default retries"
        yield await _storm(stage, who, seconds, rate, front, NO_RETRIES)


async def _storm(
    stage: Scene, who: str, seconds: float, rate: int, address: str, *options: tuple[str, Any]
) -> Row:
    stub = stage.stub(*options, address=address)
    calls: list[asyncio.Task[str]] = []
    started = time.monotonic()
    for number in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        calls.append(asyncio.create_task(_outcome(stub)))
    outcomes = await asyncio.gather(*calls)
    took = time.monotonic() - started
    seen = len((await stage.quiet()).arrivals)
    share, floor = (1 + SHARE) * len(calls), FLOOR * took
    others = Counter(outcomes)
    del others["UPSTREAM_UNAVAILABLE"]
    words = ", ".join(f"{count} {how}" for how, count in others.most_common()) or "none"
    return Row(
        f"{rate} calls/s for {seconds:g} s, the upstream always fails, {who}",
        f"at most 1.2 times the calls plus the floor: {share:.0f} + {floor:.0f}",
        f"{seen} attempts for {len(calls)} calls, {seen / len(calls):.3f} times;"
        f" ends other than UPSTREAM_UNAVAILABLE: {words}",
        seen <= share + floor and "OK" not in others,
    )


async def _outcome(stub: Stub) -> str:
    try:
        await stub.Chat(ask("fail"), timeout=30)
    except grpc.aio.AioRpcError as error:
        # Without a reason it was not the gateway that said so.
        return reason(error) if trailer(error, "headgate-reason") else str(error.details())
    return "OK"
