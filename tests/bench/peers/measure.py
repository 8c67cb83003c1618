"""`make bench-peers`: headgate beside what people would use instead of it, in one run.

    make bench-peers                               # all
    make bench-peers ARGS="headgate envoy"         # these
    make bench-peers ARGS="--keep litellm"         # beside what the last run found of the others
    make bench-peers ARGS="--quick"                # a tenth of the length, to see that it works

The same mock upstream, arrivals and core for everybody. The peers are installed on first use into
folders of their own below .tools; their configurations are in config/. What could not be run is
named with its error.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import uvloop

from bench.cost.running import load, mock
from bench.cost.stage import Stage
from bench.cost.streams import cost_of_a_token, paced
from bench.cost.table import ROOT, Row, commit, machine, show, table
from bench.cost.unary import CONNECTIONS, added_latency, cost_of_a_call, flow
from bench.peers.gateways import LiteLLM, Portkey
from bench.peers.headgate import Grpc, Http
from bench.peers.judge import beside, judged
from bench.peers.proxies import Envoy, Nginx
from bench.peers.rust import CrabLLM, LiteLLMRs

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from bench.cost.running import Mock
    from bench.peers.judge import Figures
    from bench.peers.peer import Running

FILE = ROOT / "build" / "bench-peers.json"


class Runnable(Protocol):
    """A peer, or headgate."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    def running(self, mock: Mock) -> AbstractAsyncContextManager[Running]: ...


PEERS: dict[str, Runnable] = {
    "headgate": Grpc(),
    "headgate-http": Http(),
    "litellm": LiteLLM(),
    "portkey": Portkey(),
    "crabllm": CrabLLM(),
    "litellm-rs": LiteLLMRs(),
    "envoy": Envoy(),
    "nginx": Nginx(),
}
FEW = {"litellm"}
"""Who is overloaded by 300 streams or 200 calls a second on one core, and gets fewer besides."""


async def measure(name: str, stage: Stage) -> Figures:
    """All figures of one."""
    found: Figures = {}
    async with mock() as upstream, PEERS[name].running(upstream) as running:
        await _warm(running, upstream)
        for count in (300, 30):
            found |= await _streams(running, upstream, stage, count)
        for rate in (20, 50):
            for stream in (False, True):
                found |= await _calls(running, upstream, stage, rate, stream=stream)
        if name not in FEW:
            found |= await _calls(running, upstream, stage, 200, stream=False)
    return found


def _pids(running: Running, upstream: Mock) -> dict[str, list[int]]:
    return {"gateway": [running.pid], **upstream.pids}


async def _warm(running: Running, upstream: Mock) -> None:
    for model, stream in (("any", False), ("paced", True)):
        shape: dict[str, Any] = {"kinds": [[1, model, 3, stream, 0]], "calls": 50, "at_once": 10}
        pids = _pids(running, upstream)
        await load("mixture", target=running.target, pids=pids, every=50, **shape)


async def _streams(running: Running, upstream: Mock, stage: Stage, count: int) -> Figures:
    shape = paced(count, ramp=2, settle=1, window=stage.seconds(15, 2)) | {"finish": False}
    made = await load("streams", target=running.target, pids=_pids(running, upstream), **shape)
    if not made["tokens"]:
        raise RuntimeError(f"no token came of {count} streams: {made['failures']}")
    before, after = made["memory"]["gateway"]
    return {
        f"{count} streams: CPU of a token, µs": cost_of_a_token(made),
        f"{count} streams: tokens/s of {count * 10:,}": made["tokens"] / made["seconds"],
        f"{count} streams: messages of the tokens": made["messages"] / made["tokens"],
        f"{count} streams: delay p99, ms": made["delay"]["p99"],
        f"{count} streams: memory of each, KiB": (after - before) / count / 1024,
    }


async def _calls(
    running: Running, upstream: Mock, stage: Stage, rate: int, *, stream: bool
) -> Figures:
    ways = [running.target, upstream.target(CONNECTIONS)]
    made = await load(
        "arrivals",
        flows=[flow(way, stream=stream) for way in ways],
        pids=_pids(running, upstream),
        rate=rate,
        seconds=stage.seconds(20, 3),
    )
    what = f"{rate} {'streams' if stream else 'unary calls'}/s"
    added = "first delta" if stream else "latency"
    figures = {f"{what}: {added} p50 +ms": added_latency([made], "p50").middle}
    figures |= {f"{what}: {added} p99 +ms": added_latency([made], "p99").middle}
    if not stream:
        figures |= {f"{what}: CPU of a call, µs": cost_of_a_call(made)}
    return figures


async def measure_all(names: list[str], stage: Stage, kept: dict[str, Any]) -> dict[str, Any]:
    """By name: version, and figures or the error."""
    for name in names:
        peer = PEERS[name]
        sys.stderr.write(f"{peer.name} ...\n")
        try:
            found: dict[str, Any] = {"figures": await measure(name, stage)}
        except (RuntimeError, OSError, TimeoutError) as error:
            found = {"error": f"{type(error).__name__}: {error}"}
            sys.stderr.write(f"     {peer.name} could not be run: {error}\n")
        kept[name] = {"name": peer.name, "version": peer.version, "commit": commit(), **found}
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench-peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS)}; all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the length")
    parser.add_argument("--keep", action="store_true", help="keep the others of the last run")
    parser.add_argument("--out", type=Path, default=FILE, help="%(default)s")
    asked = parser.parse_args()
    if unknown := set(asked.peers) - set(PEERS):
        parser.error(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    kept: dict[str, Any] = json.loads(asked.out.read_text())["peers"] if asked.keep else {}
    stage = Stage(quick=asked.quick)
    found = uvloop.run(measure_all(asked.peers or list(PEERS), stage, kept))
    found = {name: found[name] for name in PEERS if name in found}
    rows = judged(found)
    _save(found, rows, asked.out, quick=asked.quick)
    for row in rows:
        show(row)
    sys.stdout.write(f"\n{beside(found)}\n{table(rows)}\n{asked.out}\n")
    return 1 if any(row.ok is False for row in rows) else 0


def _save(found: dict[str, Any], rows: list[Row], file: Path, *, quick: bool) -> None:
    file.parent.mkdir(exist_ok=True)
    run = {
        "quick": quick,
        "machine": machine(),
        "python": platform.python_version(),
        "peers": found,
        "rows": [row._asdict() for row in rows],
    }
    file.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
