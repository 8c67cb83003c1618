"""Rows about the pace: gaps, slots used, refusals at once, predictions."""

from __future__ import annotations

import asyncio
import math
import time
from statistics import median
from typing import TYPE_CHECKING

import grpc

from recorder import probe_path
from scene import UPDATES, Scene, as_caller, ask, http_get, in_line, reason, scene, trailer
from table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scene import Report, Stub

GAP = 0.5
SLOT = GAP + 0.005  # with throttle.margin
CALLERS, IMPATIENT = 10, 3
PROBE_EVERY = 0.05


async def hammering(seconds: float, runs: int) -> AsyncIterator[Row]:
    """10 callers, a third of them with deadlines too short to wait."""
    reports = [await _hammered(seconds) for _ in range(runs)]
    smallest = min(min(report.gaps()) for report in reports)
    error = max(max(report.errors) for report in reports)
    refused = sum(report.refused for report in reports)
    used = median(len(report.arrivals) / (seconds / GAP) for report in reports)
    name = f"10 callers hammer for {seconds:g} s"
    yield Row(
        f"{name}: the smallest gap",
        "no gap under 499 ms",
        f"{smallest * 1000:.2f} ms of {runs} runs"
        f" (the recorder's own error: at most {error * 1000:.2f} ms)",
        smallest - error >= GAP - 0.001,
    )
    yield Row(f"{name}: 429s of a recorder that counts", "0", str(refused), refused == 0)
    yield Row(
        f"{name}: slots used", "at least 95 %", f"{used:.1%} (median of {runs})", used >= 0.95
    )


async def _hammered(seconds: float) -> Report:
    """What arrived within so many seconds from the first request."""
    async with scene() as stage:
        await stage.stub().Chat(ask("published"))
        # Four calls at once each; the impatient ones come again and again.
        callers = [asyncio.create_task(_hammer(stage, n)) for n in range(CALLERS) for _ in range(4)]
        prober = asyncio.create_task(_probe(stage))
        report = await stage.report()
        first = report.arrivals[0][0]
        await asyncio.sleep(first + seconds - time.monotonic())
        for task in (prober, *callers):
            task.cancel()
        await asyncio.wait({prober, *callers})
        more = await stage.report()
    arrivals = [at for at in report.arrivals + more.arrivals if at[0] < first + seconds]
    refused = report.refused + more.refused
    return more._replace(arrivals=arrivals, errors=report.errors + more.errors, refused=refused)


async def _hammer(stage: Scene, number: int) -> None:
    stub = stage.stub()
    while True:
        try:
            patience = 0.2 if number < IMPATIENT else 30.0
            await stub.Chat(ask("published"), metadata=as_caller(f"c{number}"), timeout=patience)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.1)


async def _probe(stage: Scene) -> None:
    while True:
        await http_get(stage.port, probe_path())
        await asyncio.sleep(PROBE_EVERY)


async def hopeless(runs: int) -> AsyncIterator[Row]:
    """A deadline that cannot be met, pace alone, nobody new coming."""
    tries = [await _hopeless() for _ in range(runs)]
    took = median(took for took, _, _, _ in tries)
    outcomes = [outcome for _, _, _, outcome in tries]
    told, truth = tries[0][1:3]
    off = median(abs(told - truth) for _, told, truth, _ in tries)
    share = median(abs(told - truth) / truth for _, told, truth, _ in tries)
    name = "a deadline that cannot be met"
    yield Row(
        f"{name}: refused after",
        "under 50 ms",
        f"{took * 1000:.1f} ms (median of {runs})",
        took < 0.05,
    )
    yield Row(
        f"{name}: RetryInfo against the slot",
        "within 10 % or 100 ms",
        f"{share:.1%}, {off * 1000:.1f} ms (median of {runs};"
        f" first: said {told:.3f} s, was {truth:.3f} s)",
        share <= 0.1 or off <= 0.1,
    )
    yield Row(f"{name}: called again then", "OK", ", ".join(outcomes), set(outcomes) == {"OK"})


async def _hopeless() -> tuple[float, float, float, str]:
    """Seconds to the refusal, as RetryInfo said, as it was; and how the second try ended."""
    async with scene() as stage:
        stub = stage.stub()
        await stub.Chat(ask())
        calls = [stub.StreamChat(ask(stream_options=UPDATES)) for _ in range(6)]
        await asyncio.gather(*(in_line(call) for call in calls))
        sent = time.monotonic()
        error = await _refused(stub)
        refused = time.monotonic()
        told = int(trailer(error, "headgate-retry-after-ms")) / 1000
        await asyncio.sleep(refused + told - time.monotonic())
        outcome = "OK"
        try:
            await stub.Chat(ask(user="late"), timeout=1)
        except grpc.aio.AioRpcError as again:
            outcome = reason(again)
        # The slot behind all who waited: one after the last of them.
        before = [at for at, user in (await stage.quiet()).arrivals if user != "late"]
    return refused - sent, told, before[-1] + SLOT - refused, outcome


async def _refused(stub: Stub) -> grpc.aio.AioRpcError:
    try:
        await stub.Chat(ask(), timeout=1)
    except grpc.aio.AioRpcError as error:
        if reason(error) != "WAIT_TOO_LONG":
            raise
        return error
    raise RuntimeError("a call with a hopeless deadline was not refused")


async def prediction(runs: int, calls: int) -> AsyncIterator[Row]:
    """Predicted against actual wait, pace alone."""
    medians = [await _predicted(calls) for _ in range(runs)]
    off, share = median(off for off, _ in medians), median(share for _, share in medians)
    yield Row(
        f"predicted against actual wait of {calls} calls: median error",
        "under 5 % or 25 ms",
        f"{share:.2%}, {off * 1000:.1f} ms (median of {runs} runs)",
        share < 0.05 or off < 0.025,
    )


async def _predicted(calls: int) -> tuple[float, float]:
    """Median error of one run, in seconds and as a share of the wait."""
    async with scene() as stage:
        stub = stage.stub()
        await stub.Chat(ask())
        streams, told = {}, {}
        for number in range(calls):
            stream = stub.StreamChat(
                ask(user=f"{number}", stream_options=UPDATES),
                metadata=as_caller(f"c{number % 4}"),
            )
            place = await in_line(stream)
            now = time.monotonic()
            told[f"{number}"] = (now, now + place.estimated_wait.ToNanoseconds() / 1e9)
            streams[f"{number}"] = stream
        came: dict[str, float] = {}
        while len(came) < calls:
            came |= {user: at for at, user in (await stage.report()).arrivals if user}
            await asyncio.sleep(GAP)
    errors = [abs(came[user] - then) for user, (_, then) in told.items()]
    shares = [abs(came[u] - then) / max(came[u] - now, 1e-3) for u, (now, then) in told.items()]
    return median(errors), median(shares) if shares else math.inf
