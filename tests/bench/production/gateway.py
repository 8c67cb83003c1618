"""`headgate serve` as a process of its own, and what Linux and its log say of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
UNLIMITED = ("--profile", "unlimited")
_ADDRESS = re.compile(r"headgate: (?:(grpc|http) listening|(metrics)) on (\S+)")
_READY = re.compile(r"^headgate: limits", re.MULTILINE)
PATIENCE = 60.0
TABLES, ESTABLISHED = ("tcp", "tcp6"), "01"


class Gateway:
    """A running gateway.

    Attributes:
        process: of a single server, or of the supervisor.
        addresses: HOST:PORT by `grpc`, `http` and `metrics`, as far as it has them.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.addresses: dict[str, str] = {}
        self._log = log

    async def ready(self) -> None:
        """Wait until it serves.

        Raises:
            RuntimeError: it does not; with all that it said.
        """
        async with asyncio.timeout(PATIENCE):
            while not _READY.search(said := self._log.read_text(encoding="utf-8")):
                if self.process.returncode is not None:
                    raise RuntimeError(f"the gateway does not serve:\n{said}")
                await asyncio.sleep(0.02)
        for face, metrics, address in _ADDRESS.findall(said):
            self.addresses[face or metrics] = address

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log with this name."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if f'"event":"{name}"' in line]

    def faults(self) -> list[str]:
        """What it logged as an error, and what is no log line at all."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return [
            line
            for line in lines
            if '"level":"error"' in line or not line.startswith(("{", "headgate: "))
        ]

    def memory(self) -> int:
        """Resident bytes, of its workers too."""
        page = os.sysconf("SC_PAGE_SIZE")
        pids = [self.process.pid, *_children(self.process.pid)]
        return page * sum(int(_of(pid, "statm").split()[1]) for pid in pids)

    def processor(self) -> float:
        """Seconds of CPU so far, of its workers too."""
        pids = [self.process.pid, *_children(self.process.pid)]
        return sum(map(processor, pids))

    def connections(self) -> int:
        """Established ones at its gRPC port."""
        port = int(self.addresses["grpc"].rpartition(":")[2])
        # gRPC listens for IPv4 on sockets of IPv6.
        tables = [Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in TABLES]
        rows = [row.split() for table in tables for row in table.splitlines()[1:]]
        return sum(row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED for row in rows)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Its exit status."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


def processor(pid: int) -> float:
    """Seconds of CPU of one process, user and system."""
    fields = _of(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    return [int(child) for child in _of(pid, f"task/{pid}/children").split()]


def _of(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")


@asynccontextmanager
async def gateway(
    upstream: int, *flags: str, listen: str = "127.0.0.1:0"
) -> AsyncIterator[Gateway]:
    """Start one in front of the upstream at a port of this machine, and wait until it serves."""
    url = f"http://127.0.0.1:{upstream}/v1/chat/completions"
    arguments = ("-m", "headgate", "serve", "--listen", listen, "--upstream", url, *flags)
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, env=clean_environment(), stderr=stderr
            )
        running = Gateway(process, log)
        try:
            await running.ready()
            yield running
        finally:
            if faults := running.faults():
                sys.stderr.write("the gateway said:\n" + "\n".join(faults[:20]) + "\n")
            await _end(process)


@asynccontextmanager
async def program(name: str, *arguments: str) -> AsyncIterator[Program]:
    """Run a program of this directory; it is killed at the end if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / name),
        *arguments,
        env=clean_environment() | {"PYTHONPATH": str(ROOT / "tests"), "GRPC_VERBOSITY": "NONE"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    try:
        yield Program(process)
    finally:
        await _end(process)


class Program:
    """A program that says one JSON value on each line, and ends when its input does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self) -> Any:
        """Its next line.

        Raises:
            RuntimeError: it has ended.
        """
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"it ended with {await self.process.wait()}")
        return json.loads(line)

    async def tells(self) -> Any:
        """Ask it for its next line."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        return await self.says()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Workers go when they see that their supervisor has gone."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


@asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    """The port of an upstream, a process of its own."""
    async with program("upstream.py") as running:
        yield int(await running.says())
