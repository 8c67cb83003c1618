"""Rows about calls that do not stream."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.cost.running import gateway, mock
from bench.cost.stage import busy
from bench.cost.table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.cost.stage import Stage

CONNECTIONS = 4
RATE = 200
COST = 700.0


async def unary(stage: Stage) -> AsyncIterator[Row]:
    """What a unary call costs, when they come at random instants, 200 a second."""
    async with mock() as upstream, gateway(upstream.url) as running:
        call = {"target": running.target(CONNECTIONS), "model": "any", "tokens": 100}
        flow = call | {"stream": False}
        runs = [
            await stage.load(
                "unary",
                running,
                upstream,
                "arrivals",
                flows=[flow],
                rate=RATE,
                seconds=stage.seconds(10, 2),
            )
            for _ in range(stage.runs)
        ]
    costs = sorted(made["cpu"]["gateway"] / made["flows"][0]["calls"] * 1e6 for made in runs)
    failures = [made["flows"][0]["failures"] for made in runs if made["flows"][0]["failures"]]
    yield Row(
        f"CPU per unary call, {RATE} calls/s",
        f"at most {COST:.0f} µs",
        f"{median(costs):.0f} µs ({costs[0]:.0f} to {costs[-1]:.0f})"
        f"{f'; failed: {failures}' if failures else ''}; busy: {busy(runs[-1])}",
        median(costs) <= COST and not failures,
        {"us": median(costs)},
    )
