"""`make bench-traffic`: the promises about time and number, measured over sockets.

Servers are processes of their own; figures about time are ratios or medians within one run.
`--quick` takes a tenth of the time and of the numbers, for development.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING

import uvloop

from pace import full_queue, hammering, hopeless_deadline, prediction, thousand_waiting
from scene import ROOT
from storms import always_failing, cancels
from table import Row, save, show

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PASSED = re.compile(r"(\d+) passed")


async def by_test(claim: str, target: str, *tests: str) -> AsyncIterator[Row]:
    """A claim that counts and orders prove, so that a test is its measurement."""
    command = [sys.executable, "-m", "pytest", "-q", *tests]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[0].decode()
    passed = PASSED.search(said)
    count = passed[1] if passed else "0"
    good = process.returncode == 0 and passed is not None
    yield Row(claim, target, f"{count} cases, {'all well' if good else 'not all well'}", good)


async def measure(quick: bool) -> list[Row]:
    """All rows in the order of the promises, each shown as soon as it is known."""
    scale = 0.1 if quick else 1.0
    ends, retries = "tests/integration/test_stream_ends.py", "tests/integration/test_retry.py"
    parts = [
        *(hammering(60.0 * scale) for _ in range(1 if quick else 3)),
        thousand_waiting(),
        full_queue(),
        hopeless_deadline(),
        prediction(),
        cancels(int(10_000 * scale)),
        by_test(
            "the upstream cut at every byte, closed or reset, every chunking",
            "never OK before the finish, OK after it, always a prefix",
            f"{ends}::test_cut_at_every_byte",
            f"{ends}::test_a_whole_stream_is_ok_with_every_chunking",
        ),
        by_test(
            "429, 5xx, refused, reset, timeout, HTML, error in a 200: twice, then well; once more",
            "OK after exactly three attempts; the status of the table",
            retries,
            "-k",
            "two_faults or two_refused or one_more_fault",
        ),
        always_failing(30.0 * scale, 200),
    ]
    rows = []
    for part in parts:
        async for row in part:
            show(row)
            rows.append(row)
    return rows


def main() -> int:
    rows = uvloop.run(measure("--quick" in sys.argv))
    save(rows, ROOT / "build" / "bench-traffic.json")
    missed = sum(not row.ok for row in rows)
    sys.stdout.write(f"{len(rows) - missed} of {len(rows)} reached; build/bench-traffic.json\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
