"""`make bench-ci`: fails when headgate has become about twice as dear, on any machine.

In under two minutes the gateway and a bare grpc.aio server that only writes (writer.py) do the same
work in turns on the same core; what is judged is the ratio of their CPU, the median of the rounds,
and never a time. A bound is about one and a half times the ratio of the day on which it was set:
more than the noise of a busy machine, less than a doubling.
"""

from __future__ import annotations

import sys
from statistics import median
from typing import TYPE_CHECKING, Any

import uvloop

from bench.cost.running import gateway, load, mock, writer
from bench.cost.streams import cost_of_a_token, incomplete, paced
from bench.cost.table import ROOT, Row, save, show, table
from bench.cost.unary import cost_of_a_call, failed, flow

if TYPE_CHECKING:
    from bench.cost.callers import Target

ROUNDS = 5
TOKEN, CALL, MESSAGES = 1.7, 3.9, 0.95


async def measure() -> list[Row]:
    """The gateway and the bare server in turns, so that a busy moment meets both."""
    tokens: list[tuple[float, float]] = []
    calls: list[tuple[float, float]] = []
    runs: list[dict[str, Any]] = []
    async with mock() as upstream, gateway(upstream.url) as running, writer() as bare:
        both = [(running.pid, running.target()), (bare.pid, bare.target())]
        for number in range(ROUNDS + 1):
            streamed = [await _streams(*each) for each in both]
            called = [await _calls(*each) for each in both]
            if number:  # the first warms up
                tokens.append((cost_of_a_token(streamed[0]), cost_of_a_token(streamed[1])))
                calls.append((cost_of_a_call(called[0]), cost_of_a_call(called[1])))
                runs.append(streamed[0])
                wrong = incomplete(streamed) + failed(called)
                if wrong:
                    raise RuntimeError(f"calls failed{wrong}")
    messages = max(made["messages"] / made["tokens"] for made in runs)
    return [
        _ratio("CPU of a streamed token", tokens, TOKEN),
        _ratio("CPU of a unary call", calls, CALL),
        Row(
            "messages of the tokens, 100 streams of 10 tokens/s, the best round",
            f"at least {MESSAGES}",
            f"{messages:.3f}",
            messages >= MESSAGES,
            {"messages": messages},
        ),
    ]


async def _streams(pid: int, target: Target) -> dict[str, Any]:
    shape = paced(100, ramp=0.5, settle=0.5, window=2)
    return await load("streams", pids={"gateway": [pid]}, target=target, **shape)


async def _calls(pid: int, target: Target) -> dict[str, Any]:
    flows = [flow(target, stream=False)]
    pids = {"gateway": [pid]}
    return await load("arrivals", pids=pids, flows=flows, rate=150, seconds=2, warm=0.2)


def _ratio(what: str, pairs: list[tuple[float, float]], most: float) -> Row:
    ratios = sorted(ours / bare for ours, bare in pairs)
    middle = median(ratios)
    return Row(
        f"{what}, against a bare grpc.aio server",
        f"at most {most:g} times",
        f"{middle:.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        middle <= most,
        {"times": middle},
    )


def main() -> int:
    rows = uvloop.run(measure())
    for row in rows:
        show(row)
    save({"ci": rows}, ROOT / "build" / "bench-ci.json", seconds=0, quick=True)
    sys.stdout.write(f"\n{table(rows)}")
    return 1 if any(row.ok is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
