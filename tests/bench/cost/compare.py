"""`make bench-compare A=... B=...`: two results of `make bench`, side by side with ratios."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def compared(first: dict[str, Any], second: dict[str, Any]) -> str:
    """A row for each number that both have, and those that one of them lacks by name."""
    before, after = _numbers(first), _numbers(second)
    lines = ["| figure | A | B | B / A |", "|---|---|---|---|"]
    for name, value in before.items():
        if name in after:
            ratio = f"{after[name] / value:.2f}" if value else ""
            lines.append(f"| {name} | {_short(value)} | {_short(after[name])} | {ratio} |")
    text = "\n".join(lines) + "\n"
    for side, only in (("A", before.keys() - after), ("B", after.keys() - before)):
        text += "".join(f"\nonly in {side}: {name}" for name in sorted(only))
    return f"{_about('A', first)}{_about('B', second)}\n{text}"


def _numbers(run: dict[str, Any]) -> dict[str, float]:
    return {
        f"{row['what']}, {unit}": value
        for row in run["rows"]
        for unit, value in row["values"].items()
    }


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _about(side: str, run: dict[str, Any]) -> str:
    quick = ", quick: not to be compared" if run["quick"] else ""
    return f"{side}: {run['commit']}, Python {run['python']}, {run['machine']}{quick}\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-compare", description=__doc__)
    parser.add_argument("a", type=Path, metavar="A")
    parser.add_argument("b", type=Path, metavar="B")
    asked = parser.parse_args()
    try:
        first, second = (json.loads(file.read_text("utf-8")) for file in (asked.a, asked.b))
        sys.stdout.write(compared(first, second) + "\n")
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"cannot compare {asked.a} with {asked.b}: {error!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
