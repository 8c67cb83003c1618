"""Rows about calls that arrive: what a unary one costs, what the gateway adds to their latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.cost.running import gateway, mock
from bench.cost.stage import Spread, busy
from bench.cost.table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.cost.callers import Target
    from bench.cost.stage import Stage

RATES = (200, 800)
"""Calls a second: a quarter of a core, and most of it."""
COST = 700.0
ADDED = {"p50": 1.5, "p99": 4.0}
CONNECTIONS = 20
"""Over HTTP, opened before the first call: an upstream's clients keep them, too."""


def flow(target: Target, *, stream: bool) -> dict[str, Any]:
    """Calls of one kind: whole answers, or streams of a second."""
    kind = {"model": "paced", "tokens": 10, "stream": True} if stream else _WHOLE
    return {"target": target, **kind}


_WHOLE = {"model": "any", "tokens": 100, "stream": False}


async def unary(stage: Stage) -> AsyncIterator[Row]:
    """What a unary call costs, when they come at random instants."""
    async with mock() as upstream, gateway(upstream.url) as running:
        for rate in RATES:
            load = {"flows": [flow(running.target(), stream=False)], "rate": rate}
            load["seconds"] = stage.seconds(10, 2)
            runs = [
                await stage.load(f"unary-{rate}", running, upstream, "arrivals", **load)
                for _ in range(stage.runs)
            ]
            cost = Spread.of(cost_of_a_call(made) for made in runs)
            yield Row(
                f"CPU per unary call, {rate} calls/s",
                f"at most {COST:.0f} µs",
                f"{cost.text(0, ' µs')}{failed(runs)}; {busy(runs[-1])}",
                cost.middle <= COST and not failed(runs),
                {"µs": cost.middle},
            )


async def latency(stage: Stage) -> AsyncIterator[Row]:
    """What the gateway adds, both ways taken at the same time and rate."""
    async with mock() as upstream, gateway(upstream.url) as running:
        for rate in (50, 20):
            for stream in (False, True):
                ways = [running.target(), upstream.target(CONNECTIONS)]
                runs = [
                    await stage.load(
                        f"latency-{rate}-{'stream' if stream else 'unary'}",
                        running,
                        upstream,
                        "arrivals",
                        flows=[flow(way, stream=stream) for way in ways],
                        rate=rate,
                        seconds=stage.seconds(20, 3),
                    )
                    for _ in range(stage.runs)
                ]
                yield _added(runs, rate, stream=stream)


def _added(runs: list[dict[str, Any]], rate: int, *, stream: bool) -> Row:
    added = {name: added_latency(runs, name) for name in ADDED}
    direct = {name: Spread.of(made["flows"][1]["latency"][name] for made in runs) for name in ADDED}
    late = max(made["flows"][0]["late"]["p99"] for made in runs)
    what = "the first delta" if stream else "a unary call"
    judged = rate == 50
    return Row(
        f"latency added to {what}, {rate} calls/s",
        f"p50 under {ADDED['p50']} ms, p99 under {ADDED['p99']} ms" if judged else "",
        ", ".join(f"{name} {spread.text(2, ' ms')}" for name, spread in added.items())
        + f"; direct p50 {direct['p50'].middle:.2f}, p99 {direct['p99'].middle:.2f} ms;"
        f" {sum(made['flows'][0]['calls'] for made in runs):,} calls, sent at most"
        f" {late:.2f} ms late (p99){failed(runs)}",
        all(added[name].middle < most for name, most in ADDED.items()) and not failed(runs)
        if judged
        else None,
        {f"{name} ms": spread.middle for name, spread in added.items()},
    )


def added_latency(runs: list[dict[str, Any]], name: str, way: int = 0) -> Spread:
    """A percentile of a flow less the same of the last flow, which goes direct; ms."""
    return Spread.of(
        made["flows"][way]["latency"][name] - made["flows"][-1]["latency"][name] for made in runs
    )


def cost_of_a_call(made: dict[str, Any], who: str = "gateway", way: int = 0) -> float:
    """Microseconds of CPU."""
    return float(made["cpu"][who] / made["flows"][way]["calls"] * 1e6)


def failed(runs: list[dict[str, Any]]) -> str:
    """What went wrong, if anything did."""
    wrong = [flow["failures"] for made in runs for flow in made["flows"] if flow["failures"]]
    return f"; failed: {wrong}" if wrong else ""
