"""A gateway as a process of its own, and what it uses: CPU, memory, file descriptors."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc

from headgate.v1 import chat_pb2_grpc
from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Stub = chat_pb2_grpc.ChatServiceAsyncStub

_TICKS = os.sysconf("SC_CLK_TCK")
_ADDRESS = re.compile(r"(grpc listening|metrics) on (\S+)")
_WORKERS = re.compile(r"\(processes ([\d, ]+)\)")


class Process:
    """Looks at a process by its number, in Linux's /proc."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    def cpu(self) -> float:
        """Seconds of CPU so far, user and system."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Resident bytes."""
        status = (self._folder / "status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(list((self._folder / "fd").iterdir()))


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
        self.metrics = found.get("metrics", "")
        numbers = _WORKERS.search(said)
        self.workers = [Process(int(n)) for n in numbers[1].split(", ")] if numbers else []
        self._channels: list[grpc.aio.Channel] = []

    def stubs(self, connections: int) -> list[Stub]:
        """Each on a connection of its own."""
        options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
        channels = [
            grpc.aio.insecure_channel(self.address, options=options) for _ in range(connections)
        ]
        self._channels += channels
        return [cast("Stub", chat_pb2_grpc.ChatServiceStub(channel)) for channel in channels]

    async def leave(self) -> None:
        """Close the connections that were made."""
        for channel in self._channels:
            await channel.close()
        self._channels.clear()


@asynccontextmanager
async def serving(url: str, *flags: str) -> AsyncIterator[Gateway]:
    """`headgate serve` without a pace, unless the flags give one; it logs into nothing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headgate", "serve", "--upstream", url),
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
    gateway = Gateway(process.pid, said)
    try:
        yield gateway
    finally:
        await gateway.leave()
        process.send_signal(signal.SIGTERM)
        await process.wait()
        await reading


async def _read_away(stream: asyncio.StreamReader) -> None:
    while await stream.read(1 << 16):
        pass
