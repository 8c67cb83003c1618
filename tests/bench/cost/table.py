"""One row per figure: what was to be reached, what was reached; as a table and as JSON."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.cost.running import MEASURED, OTHERS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[3]
_LIBRARIES = ("grpcio", "protobuf", "aiohttp", "httpx", "msgspec", "uvloop")


class Row(NamedTuple):
    """One figure.

    Attributes:
        what: the figure's name.
        reach: what it should be; empty if it is only told.
        reached: in words, with its unit.
        ok: whether it is; None if it is only told.
        values: the numbers in it by name, for those who compare.
    """

    what: str
    reach: str
    reached: str
    ok: bool | None
    values: Mapping[str, float]


def show(row: Row) -> None:
    """A line as soon as it is known; the table comes at the end."""
    mark = {None: "    ", True: "ok  ", False: "MISS"}[row.ok]
    sys.stderr.write(f"{mark} {row.what}: {row.reached}\n")


def table(rows: list[Row]) -> str:
    """All rows, as Markdown."""
    lines = ["| figure | to reach | reached | |", "|---|---|---|---|"]
    for what, reach, reached, ok, _ in rows:
        mark = {None: "", True: "ok", False: "**missed**"}[ok]
        lines.append(f"| {what} | {reach} | {reached} | {mark} |")
    return "\n".join(lines) + "\n"


def save(parts: dict[str, list[Row]], file: Path, *, seconds: float, quick: bool) -> None:
    """The same as JSON, with the machine, the versions and the commit."""
    file.parent.mkdir(parents=True, exist_ok=True)
    run = {
        "quick": quick,
        "seconds": round(seconds),
        "commit": commit(),
        "machine": machine(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "cores": {"measured": MEASURED, "the rest": OTHERS},
        "rows": [{"part": part} | row._asdict() for part, rows in parts.items() for row in rows],
    }
    file.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load(file: Path) -> dict[str, list[Row]]:
    """What was saved, by part."""
    parts: dict[str, list[Row]] = {}
    for row in json.loads(file.read_text(encoding="utf-8"))["rows"]:
        parts.setdefault(row.pop("part"), []).append(Row(**row))
    return parts


def machine() -> str:
    """Processor, cores and kernel."""
    found = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return f"{found[0] if found else platform.machine()}, {len(found)} cores, {platform.platform()}"


def commit() -> str:
    """Of the checkout, with a plus if files were changed; empty if it is no checkout."""
    said: Any = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return str(said.stdout).strip()
