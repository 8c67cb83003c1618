"""Runs the parts of a bench, all of them or those that were named."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import uvloop

from table import Row, save, show, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    Part = Callable[[], AsyncIterator[Row]]

QUICK = "--quick"


def run(known: dict[str, Part], arguments: Sequence[str], file: Path) -> int:
    """Prints one table and writes the file.

    Args:
        known: the parts by name, in the order of the table.
        arguments: the names of those to run, none for all; `--quick` among them is only noted.
        file: the same as JSON.

    Returns:
        The exit status: 1 when a figure was missed, 2 when there is no such part.
    """
    names = [word for word in arguments if word != QUICK] or list(known)
    if unknown := set(names) - set(known):
        sys.stderr.write(f"no part {', '.join(unknown)}; there are {', '.join(known)}\n")
        return 2
    started = time.monotonic()
    rows = uvloop.run(_measure([known[name] for name in names]))
    save(rows, file, seconds=time.monotonic() - started, quick=QUICK in arguments)
    missed = sum(not row.ok for row in rows)
    sys.stdout.write(f"\n{table(rows)}\n{len(rows) - missed} of {len(rows)} reached")
    sys.stdout.write(f"; {file.parent.name}/{file.name}\n")
    return 1 if missed else 0


async def _measure(chosen: list[Part]) -> list[Row]:
    rows = []
    for part in chosen:
        async for row in part():
            show(row)
            rows.append(row)
    return rows
