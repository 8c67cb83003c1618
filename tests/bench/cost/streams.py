"""Rows about streams: what a token costs, how many are borne, how late they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.cost.running import ALL, gateway, load, mock
from bench.cost.stage import Spread, busy
from bench.cost.table import Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.cost.stage import Stage

PER_SECOND = 10
MESSAGES = 0.95
KEEPS_UP = 0.98
DELAY = {"p50": 10.0, "p99": 100.0}
FULL, FULL_STREAMS = 100_000, 50
ENDLESS = 1_000_000_000
WORKERS, SHARE = 1.15, 0.25


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
                "stream", running, upstream, "streams", target=running.target(), **shape
            )
            for _ in range(stage.runs)
        ]
    cost = Spread.of(cost_of_a_token(made) for made in runs)
    messages = min(made["messages"] / made["tokens"] for made in runs)
    yield Row(
        "CPU per streamed token, 300 streams of 10 tokens/s",
        f"messages at least {MESSAGES} of the tokens; the CPU is judged beside the peers",
        f"{cost.text(1, ' µs')}, messages {messages:.3f} of the tokens{incomplete(runs)};"
        f" {busy(runs[-1])}",
        messages >= MESSAGES and not incomplete(runs),
        {"µs": cost.middle, "messages": messages},
    )


async def many(stage: Stage) -> AsyncIterator[Row]:
    """1,000 streams of 10 tokens a second, with the gateway and without."""
    shape = paced(1000, ramp=5, settle=3, window=stage.seconds(10, 2))
    due = shape["streams"] * PER_SECOND
    async with mock() as upstream:
        direct = await load("streams", pids=upstream.pids, target=upstream.target(), **shape)
        async with gateway(upstream.url) as running:
            runs = [
                await stage.load(
                    "many", running, upstream, "streams", target=running.target(), **shape
                )
                for _ in range(stage.runs)
            ]
    yield _borne("without a gateway: mock and reader alone, 1,000 streams", [direct], due)
    rate = Spread.of(made["tokens"] / made["seconds"] for made in runs)
    yield _borne("1,000 streams of 10 tokens/s, one process", runs, due)
    cost = Spread.of(cost_of_a_token(made) for made in runs)
    messages = Spread.of(made["messages"] / made["tokens"] for made in runs)
    yield Row(
        "CPU per token then",
        "",
        f"{cost.text(1, ' µs')} at {rate.middle:,.0f} tokens/s,"
        f" messages {messages.text(3)} of the tokens",
        None,
        {"µs": cost.middle},
    )


def _borne(what: str, runs: list[dict[str, Any]], due: float) -> Row:
    rate = Spread.of(made["tokens"] / made["seconds"] for made in runs)
    delay = {name: Spread.of(made["delay"][name] for made in runs) for name in DELAY}
    return Row(
        what,
        f"at least {KEEPS_UP:.0%} of {due:,.0f} tokens/s; delay of a delta p50 under"
        f" {DELAY['p50']:.0f} ms, p99 under {DELAY['p99']:.0f} ms",
        f"{rate.text(0)} tokens/s, delay p50 {delay['p50'].text(2, ' ms')},"
        f" p99 {delay['p99'].text(1, ' ms')}{incomplete(runs)}; {busy(runs[-1])}",
        rate.middle >= due * KEEPS_UP
        and all(delay[name].middle < most for name, most in DELAY.items())
        and not incomplete(runs),
        {"tokens/s": rate.middle} | {f"{name} ms": delay[name].middle for name in DELAY},
    )


async def full(stage: Stage) -> AsyncIterator[Row]:
    """The upstream as fast as it is read."""
    shape = {"model": "full", "streams": FULL_STREAMS, "tokens": ENDLESS, "finish": False}
    shape |= {"ramp": 0, "settle": 2, "window": stage.seconds(10, 2)}
    async with mock() as upstream:
        direct = await load("streams", pids=upstream.pids, target=upstream.target(), **shape)
        async with gateway(upstream.url) as running:
            runs = [
                await stage.load(
                    "full", running, upstream, "streams", target=running.target(), **shape
                )
                for _ in range(stage.runs)
            ]
    rate = Spread.of(made["tokens"] / made["seconds"] for made in runs)
    cost = Spread.of(cost_of_a_token(made) for made in runs)
    alone = direct["tokens"] / direct["seconds"]
    yield Row(
        f"most tokens a second of one process, {FULL_STREAMS} streams at full speed",
        f"at least {FULL:,}",
        f"{rate.text(0)} tokens/s, {cost.text(1, ' µs')} of CPU each,"
        f" {runs[-1]['tokens'] / max(1, runs[-1]['messages']):.0f} tokens a message;"
        f" {busy(runs[-1])}; mock and reader alone: {alone:,.0f} tokens/s",
        rate.middle >= FULL,
        {"tokens/s": rate.middle, "µs": cost.middle},
    )


async def workers(stage: Stage) -> AsyncIterator[Row]:
    """Two workers against one process, both with all cores."""
    shape = paced(300, ramp=2, settle=1, window=stage.seconds(10, 2))
    costs: dict[int, list[float]] = {1: [], 2: []}
    shares = []
    async with mock() as upstream:
        for _ in range(stage.runs):
            for count in (1, 2):
                flags = ("--workers", "2") if count > 1 else ()
                async with gateway(upstream.url, *flags, cores=ALL) as running:
                    made = await load(
                        "streams",
                        pids=running.pids | upstream.pids,
                        target=running.target(16),
                        **shape,
                    )
                costs[count].append(cost_of_a_token(made))
                if count > 1:
                    each = [made["cpu"][f"worker {n}"] for n in (1, 2)]
                    shares.append(min(each) / sum(each))
    one, two = Spread.of(costs[1]), Spread.of(costs[2])
    ratio = Spread.of(b / a for a, b in zip(costs[1], costs[2], strict=True))
    yield Row(
        "CPU per token with two workers against one process",
        f"at most {WORKERS} times, both workers used",
        f"{ratio.text(2)} times ({two.middle:.1f} against {one.middle:.1f} µs);"
        f" the lesser worker did at least {min(shares):.0%}",
        ratio.middle <= WORKERS and min(shares) >= SHARE,
        {"times": ratio.middle, "lesser": min(shares)},
    )


def cost_of_a_token(made: dict[str, Any], who: str = "gateway") -> float:
    """Microseconds of CPU."""
    return float(made["cpu"][who] / max(1, made["tokens"]) * 1e6)


def incomplete(runs: list[dict[str, Any]]) -> str:
    """What went wrong, if anything did."""
    wrong = [
        (made["started"] - made["complete"], made["failures"])
        for made in runs
        if made["complete"] is not None
    ]
    return "".join(f"; {count} streams incomplete: {why}" for count, why in wrong if count)
