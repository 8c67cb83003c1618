"""One row per claim: what was to be reached, what was reached."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Row(NamedTuple):
    claim: str
    target: str
    reached: str
    ok: bool


def show(row: Row) -> None:
    """A line as soon as it is known; the table comes at the end."""
    mark = "ok  " if row.ok else "MISS"
    sys.stderr.write(f"{mark} {row.claim}: {row.reached}\n")


def table(rows: list[Row]) -> str:
    """The table of issue and README, as Markdown."""
    lines = ["| claim | figure to reach | reached | ok |", "|---|---|---|---|"]
    for claim, target, reached, ok in rows:
        lines.append(f"| {claim} | {target} | {reached} | {'yes' if ok else '**NO**'} |")
    return "\n".join(lines) + "\n"


def save(rows: list[Row], file: Path, *, seconds: float, quick: bool) -> None:
    """The same as JSON, with the machine it was measured on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    run = {
        "quick": quick,
        "seconds": round(seconds),
        "python": platform.python_version(),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "rows": [row._asdict() for row in rows],
    }
    file.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
