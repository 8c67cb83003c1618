"""`make bench-traffic`: the promises about time and number, measured over sockets.

Gateway, upstream and callers are processes of their own. Figures about time are medians of three
runs; `--quick` makes one run of a tenth of the length, for development, and words after it name
the parts to run. Prints one table and writes `build/bench-traffic.json`.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import uvloop

from cancels import cancels
from endings import cut, faults
from joins import joins
from lines import full_queue, thousand
from pace import hammering, hopeless, prediction
from replicas import clock, killed, slow, stopped
from scene import ROOT
from store_cost import store_cost
from storms import storms
from table import Row, save, show, table
from workers import worker_killed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Part = Callable[[], AsyncIterator[Row]]


def parts(*, quick: bool) -> dict[str, Part]:
    """By name, in the order of the table."""
    share, runs = (0.1, 1) if quick else (1.0, 3)
    return {
        "hammering": lambda: hammering(60 * share, runs),
        "thousand": lambda: thousand(runs),
        "full_queue": full_queue,
        "hopeless": lambda: hopeless(runs),
        "prediction": lambda: prediction(runs, 6 if quick else 30),
        "cancels": lambda: cancels(int(10_000 * share)),
        "cut": lambda: cut(10 if quick else 1),
        "faults": faults,
        "storms": lambda: storms(30 * share, 200),
        "replica_killed": lambda: killed(20 if quick else 60, runs),
        "worker_killed": lambda: worker_killed(20 if quick else 60, runs),
        "store_stopped": lambda: stopped(10, runs),
        "store_slow": lambda: slow(10, runs),
        "clock": lambda: clock(20 if quick else 60),
        "store_cost": lambda: store_cost(5, runs),
        "joins": joins,
    }


async def measure(chosen: list[Part]) -> list[Row]:
    rows = []
    for part in chosen:
        async for row in part():
            show(row)
            rows.append(row)
    return rows


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    known = parts(quick=quick)
    names = [word for word in arguments if word != "--quick"] or list(known)
    if unknown := set(names) - set(known):
        sys.stderr.write(f"no part {', '.join(unknown)}; there are {', '.join(known)}\n")
        return 2
    started = time.monotonic()
    rows = uvloop.run(measure([known[name] for name in names]))
    save(
        rows,
        ROOT / "build" / "bench-traffic.json",
        seconds=time.monotonic() - started,
        quick=quick,
    )
    missed = sum(not row.ok for row in rows)
    sys.stdout.write(f"\n{table(rows)}\n{len(rows) - missed} of {len(rows)} reached")
    sys.stdout.write("; build/bench-traffic.json\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
