"""Rows about streams: what a token costs, how many are borne, how late they come."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from bench.cost.running import gateway, mock
from bench.cost.stage import busy
from bench.cost.table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.cost.stage import Stage

PER_SECOND = 10
CONNECTIONS = 4
MESSAGES = 0.95
DELAY = {"p50": 10.0, "p99": 100.0}
FULL = 100_000


def paced(streams: int, *, ramp: float, settle: float, window: float) -> dict[str, Any]:
    """A load of streams that give a token each tenth of a second and end after the window."""
    tokens = round((ramp + settle + window + 1.0) * PER_SECOND)
    shape = {"model": "paced", "streams": streams, "tokens": tokens}
    return shape | {"ramp": ramp, "settle": settle, "window": window}


async def stream(stage: Stage) -> AsyncIterator[Row]:
    """300 streams of 10 tokens a second."""
    shape = paced(300, ramp=2, settle=1, window=stage.seconds(10, 2))
    async with mock() as upstream, gateway(upstream.url) as running:
        runs = [
            await stage.load(
                "stream", running, upstream, "streams", target=running.target(CONNECTIONS), **shape
            )
            for _ in range(stage.runs)
        ]
    costs = sorted(made["cpu"]["gateway"] / made["tokens"] * 1e6 for made in runs)
    messages = min(made["messages"] / made["tokens"] for made in runs)
    whole = all(made["complete"] == shape["streams"] for made in runs)
    yield Row(
        "CPU per streamed token, 300 streams of 10 tokens/s",
        f"messages at least {MESSAGES} of the tokens; the CPU is judged beside the peers",
        f"{median(costs):.1f} µs ({costs[0]:.1f} to {costs[-1]:.1f}),"
        f" messages {messages:.3f} of the tokens{_incomplete(runs)}; busy: {busy(runs[-1])}",
        messages >= MESSAGES and whole,
        {"us": median(costs), "messages": messages},
    )


def _incomplete(runs: list[dict[str, Any]]) -> str:
    """What went wrong, if anything did."""
    wrong = [(made["started"] - made["complete"], made["failures"]) for made in runs]
    return "".join(f"; {count} streams incomplete: {why}" for count, why in wrong if count)
