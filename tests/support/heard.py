"""Headgate as a process of its own, and everything that it writes."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Heard:
    """Everything that a process writes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.text = ""
        self._changed = asyncio.Condition()
        streams = (process.stdout, process.stderr)
        self._readers = [asyncio.create_task(self._read(s)) for s in streams if s]

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(65536):
            async with self._changed:
                self.text += data.decode(errors="replace")
                self._changed.notify_all()

    async def until(self, said: Callable[[str], bool]) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: said(self.text))

    async def end(self) -> int:
        """All of it has been read; the exit status."""
        await asyncio.gather(*self._readers)
        return await self.process.wait()

    def address(self, face: str) -> str:
        line = next(line for line in self.text.splitlines() if f"{face} on" in line)
        return line.split()[-1]


async def heard_of(*arguments: str, environment: Mapping[str, str] | None = None) -> Heard:
    """Start `headgate ARGUMENTS` with these variables beside the usual ones."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headgate", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment() | dict(environment or {}),
    )
    return Heard(process)
