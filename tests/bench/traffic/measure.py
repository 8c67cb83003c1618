"""`make bench-traffic`: the promises about time and number, measured over sockets.

Gateway, upstream and callers are processes of their own. Figures about time are medians of three
runs; `--quick` makes one run of a tenth of the length, for development, and words after it name
the parts to run. Prints one table and writes `build/bench-traffic.json`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cancels import cancels
from endings import cut, faults
from joins import joins
from lines import full_queue, thousand
from pace import hammering, hopeless, prediction
from replicas import clock, killed, slow, stopped
from running import QUICK, run
from scene import ROOT
from store_cost import store_cost
from storms import storms
from workers import worker_killed

if TYPE_CHECKING:
    from running import Part


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


def main(arguments: list[str]) -> int:
    known = parts(quick=QUICK in arguments)
    return run(known, arguments, ROOT / "build" / "bench-traffic.json")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
