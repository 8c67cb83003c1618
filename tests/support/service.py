"""`headgate serve` as a process of its own, with what it says line by line."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from support.processes import clean_environment

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Callable

PATIENCE = 30.0
_GRPC = re.compile(r"headgate: grpc listening on (\S+)")


class Service:
    """A running server.

    Attributes:
        process: of a single server, or of the supervisor.
        said: its lines so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []

    @property
    def address(self) -> str:
        """Where it serves gRPC."""
        return next(found[1] for line in self.said if (found := _GRPC.match(line)))

    async def until(self, wanted: Callable[[str], bool]) -> str:
        """The next line that is wanted; fails with all that was said when there is none."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stderr.readline()).decode().rstrip("\n"):
                self.said.append(line)
                if wanted(line):
                    return line
        raise AssertionError("\n".join(self.said))

    async def event(self, name: str) -> dict[str, Any]:
        """The next line of the log with this name."""
        line = await self.until(lambda line: f'"event":"{name}"' in line)
        found: dict[str, Any] = json.loads(line)
        return found

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> int:
        """Wait until it is gone and all was said; its exit status."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            self.said += (await self.process.stderr.read()).decode().splitlines()
            return await self.process.wait()


@asynccontextmanager
async def service(*arguments: str, **environment: str) -> AsyncIterator[Service]:
    """Start `headgate serve ARGUMENTS` on a free port; it may still be starting."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headgate", "serve", "--listen", "127.0.0.1:0", *arguments),
        env=clean_environment() | environment,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Service(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def serving(*arguments: str, **environment: str) -> AsyncIterator[Service]:
    """The same, ready."""
    async with service(*arguments, **environment) as running:
        await running.until(lambda line: line.startswith("headgate: limits"))
        yield running
