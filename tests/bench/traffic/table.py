"""One row per claim: what was to be reached, what was reached."""

from __future__ import annotations

import json
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
    """One line of the table, as soon as it is known."""
    mark = "ok  " if row.ok else "MISS"
    sys.stdout.write(f"{mark}  {row.claim}\n      {row.reached}   (to reach: {row.target})\n")
    sys.stdout.flush()


def save(rows: list[Row], file: Path) -> None:
    """The same as JSON, with the machine it was measured on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.platform()}
    table = {"machine": machine, "rows": [row._asdict() for row in rows]}
    file.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
