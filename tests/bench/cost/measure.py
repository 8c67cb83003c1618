"""`make bench`: what headgate costs and how much it adds, figure by figure.

    make bench                              # everything, about half an hour
    make bench ARGS="stream unary"          # these parts
    make bench ARGS="--quick"               # a tenth of the length, to see that it works
    make bench ARGS="--profile stream"      # with a py-spy profile of the gateway

README.md beside this folder has the method.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from bench.cost.doors import doors
from bench.cost.memory import rest, soak, standing, waiting
from bench.cost.queue import queue
from bench.cost.stage import Stage
from bench.cost.streams import full, many, stream, workers
from bench.cost.table import ROOT, Row, load, save, show, table
from bench.cost.unary import latency, unary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Part = Callable[[Stage], AsyncIterator[Row]]
    Rows = dict[str, list[Row]]

PARTS: dict[str, Part] = {
    "stream": stream,
    "many": many,
    "full": full,
    "unary": unary,
    "latency": latency,
    "rest": rest,
    "standing": standing,
    "waiting": waiting,
    "soak": soak,
    "workers": workers,
    "doors": doors,
    "queue": queue,
}


async def measure(names: list[str], stage: Stage, kept: Rows) -> Rows:
    """The rows of each part, in the order of the parts; of those not named, what was kept."""
    for name in names:
        rows = kept[name] = []
        async for row in PARTS[name](stage):
            show(row)
            rows.append(row)
    return {name: kept[name] for name in PARTS if name in kept}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the length; misses are no failure"
    )
    parser.add_argument("--keep", action="store_true", help="keep the other parts of the last run")
    parser.add_argument("--profile", action="store_true", help="py-spy into build/profile-PART.txt")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "bench.json", help="%(default)s"
    )
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    started = time.monotonic()
    stage = Stage(quick=asked.quick, profile=asked.profile)
    kept = load(asked.out) if asked.keep else {}
    found = uvloop.run(measure(asked.parts or list(PARTS), stage, kept))
    save(found, asked.out, seconds=time.monotonic() - started, quick=asked.quick)
    rows = [row for part in found.values() for row in part]
    missed = sum(row.ok is False for row in rows)
    judged = sum(row.ok is not None for row in rows)
    sys.stdout.write(f"\n{table(rows)}\n{judged - missed} of {judged} reached; {asked.out}\n")
    return 1 if missed and not asked.quick else 0


if __name__ == "__main__":
    sys.exit(main())
