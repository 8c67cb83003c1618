"""Processes: the gateway, the mock upstream, the load generator, each on its cores.

What is measured has the first core for itself and everything else has the others, so that the
figures are those of one core and the mock's and the generator's work is not in the way.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from bench.cost.callers import Target
from bench.cost.process import Process
from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_ADDRESS = re.compile(r"(grpc listening|http listening|metrics) on (\S+)")
_WORKERS = re.compile(r"\(processes ([\d, ]+)\)")
ALL = sorted(os.sched_getaffinity(0))
MEASURED = ALL[:1]
OTHERS = ALL[1:] or ALL
# Python where headgate is installed as operators do it; see the Makefile.
SERVED = os.environ.get("SERVED", sys.executable)


class Gateway(Process):
    """A running one.

    Attributes:
        address: of gRPC.
        metrics: of the metrics port, if there is one.
        workers: their processes, with `--workers`.
    """

    def __init__(self, pid: int, said: str) -> None:
        super().__init__(pid)
        found = dict(_ADDRESS.findall(said))
        self.address = found["grpc listening"]
        self.http = found.get("http listening", "")
        self.metrics = found.get("metrics", "")
        numbers = _WORKERS.search(said)
        self.workers = [Process(int(n)) for n in numbers[1].split(", ")] if numbers else []

    def target(self, connections: int = 4) -> Target:
        return Target("grpc", self.address, connections)

    @property
    def pids(self) -> dict[str, list[int]]:
        """For a load to watch."""
        workers = {f"worker {n}": [worker.pid] for n, worker in enumerate(self.workers, 1)}
        return {"gateway": [self.pid], **workers}


class Mock(Process):
    """The running mock upstream."""

    def __init__(self, pid: int, port: int) -> None:
        super().__init__(pid)
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}/v1/chat/completions"

    def target(self, connections: int = 0) -> Target:
        return Target("http", self.address, connections)

    @property
    def pids(self) -> dict[str, list[int]]:
        """For a load to watch."""
        return {"mock": [self.pid]}


@contextmanager
def on(cores: list[int]) -> Iterator[None]:
    """What is started within stays on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Writer(Process):
    """The running bare server."""

    def __init__(self, pid: int, port: int) -> None:
        super().__init__(pid)
        self._address = f"127.0.0.1:{port}"

    def target(self, connections: int = 4) -> Target:
        return Target("grpc", self._address, connections)


@asynccontextmanager
async def mock(gap: float = 0.1) -> AsyncIterator[Mock]:
    """The mock upstream; see mock.py."""
    async with _module("mock", gap, OTHERS) as (pid, port):
        yield Mock(pid, port)


@asynccontextmanager
async def writer(gap: float = 0.1) -> AsyncIterator[Writer]:
    """The bare server that the gateway is held against; see writer.py."""
    async with _module("writer", gap, MEASURED) as (pid, port):
        yield Writer(pid, port)


@asynccontextmanager
async def _module(name: str, gap: float, cores: list[int]) -> AsyncIterator[tuple[int, int]]:
    """A module of this folder as a process that prints its port."""
    with on(cores):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"bench.cost.{name}", "--gap", str(gap)),
            stdout=asyncio.subprocess.PIPE,
        )
    assert process.stdout is not None
    try:
        yield process.pid, int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def gateway(url: str, *flags: str, cores: list[int] = MEASURED) -> AsyncIterator[Gateway]:
    """`headgate serve` as it is by default, but without a pace unless the flags give one."""
    with on(cores):
        process = await asyncio.create_subprocess_exec(
            *(SERVED, "-m", "headgate", "serve", "--upstream", url),
            *("--profile", "unlimited", "--listen", "127.0.0.1:0", "--server.grace", "0", *flags),
            env=clean_environment(),
            stderr=asyncio.subprocess.PIPE,
        )
    assert process.stderr is not None
    said = ""
    while "limits" not in said:
        line = await process.stderr.readline()
        if not line:
            raise RuntimeError(f"headgate does not serve:\n{said}")
        said += line.decode()
    # Its lines are read away, so that it never waits for a reader.
    reading = asyncio.create_task(_read_away(process.stderr))
    running = Gateway(process.pid, said)
    sys.stderr.write(f"gateway: process {running.pid}, gRPC on {running.address}\n")
    try:
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        await reading


async def _read_away(stream: asyncio.StreamReader) -> None:
    while await stream.read(1 << 16):
        pass


async def load(kind: str, **job: Any) -> dict[str, Any]:
    """Run the load generator; see loads.py.

    Raises:
        RuntimeError: it failed; what it said was written to standard error.
    """
    with on(OTHERS):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.cost.load"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    said, _ = await process.communicate(json.dumps({"kind": kind, **job}).encode())
    if process.returncode:
        raise RuntimeError("the load generator failed")
    made: dict[str, Any] = json.loads(said)
    return made
