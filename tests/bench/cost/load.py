"""The load generator, a process of its own: reads one job as JSON, writes what came of it.

Jobs are named after the functions of loads.py; each result holds the CPU of the processes that the
job names, of the generator itself, and the seconds of the wall between the same two instants.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import TYPE_CHECKING, Any

import uvloop

from bench.cost import loads
from bench.cost.callers import Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Work = Callable[..., Awaitable[dict[str, Any]]]

JOBS: dict[str, Work] = {
    "streams": loads.streams,
    "arrivals": loads.arrivals,
    "mixture": loads.mixture,
}


def _read(job: dict[str, Any]) -> dict[str, Any]:
    """With every target as one."""
    if "target" in job:
        job["target"] = Target(*job["target"])
    for flow in job.get("flows", ()):
        flow["target"] = Target(*flow["target"])
    return job


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    job = _read(json.load(sys.stdin))
    work = JOBS[job.pop("kind")]
    json.dump(uvloop.run(_made(work, job)), sys.stdout)


async def _made(work: Work, job: dict[str, Any]) -> dict[str, Any]:
    return await work(**job)


if __name__ == "__main__":
    main()
