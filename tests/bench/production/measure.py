"""`make bench-production`: what an operator needs to know before letting it near traffic.

Gateways, upstreams, callers and attackers are processes of their own, with real certificates and
tokens. Figures about time are medians of three runs; `--quick` makes one run of a tenth of the
length, for development, and words after it name the parts to run. Prints one table and writes
`build/bench-production.json`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.production.draining import draining
from bench.production.gateway import ROOT
from bench.production.labels import labels
from bench.production.rotation import rotation
from bench.production.strangers import strangers
from bench.production.watching import watching
from running import QUICK, run

if TYPE_CHECKING:
    from running import Part


def parts(*, quick: bool) -> dict[str, Part]:
    """By name, in the order of the table."""
    share, runs = (0.1, 1) if quick else (1.0, 3)
    return {
        "rotation": lambda: rotation(1 if quick else 5),
        "strangers": lambda: strangers(int(10_000 * share), runs, tls=False),
        "strangers_tls": lambda: strangers(int(10_000 * share), runs, tls=True),
        "watchers": lambda: watching(runs),
        "labels": lambda: labels(int(10_000 * share)),
        "draining": lambda: draining(runs),
    }


def main(arguments: list[str]) -> int:
    known = parts(quick=QUICK in arguments)
    return run(known, arguments, ROOT / "build" / "bench-production.json")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
