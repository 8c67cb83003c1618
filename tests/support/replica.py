"""`headgate serve` as one of several: at a port that it keeps, killed, drained, or made to hang."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from support.ports import free_port
from support.processes import clean_environment
from support.scrape import scrape

if TYPE_CHECKING:
    from pathlib import Path

_METRICS = re.compile(r"headgate: metrics on (\S+)")


class Replica:
    """One gateway, which can be started again where it was.

    Args:
        log: where its lines go.
        arguments: of `headgate serve`.
        address: where it serves gRPC; without one, at some port of this machine.
    """

    def __init__(self, log: Path, *arguments: str, address: str = "") -> None:
        self.address = address or f"127.0.0.1:{free_port()}"
        self.log = log
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._metrics = ""
        self._said = b""
        self._more = asyncio.Condition()

    async def start(self) -> None:
        """Until it takes calls.

        Raises:
            RuntimeError: it ended instead; with what it said.
        """
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headgate", "serve", "--listen", self.address),
            *("--metrics.listen", "127.0.0.1:0", *self._arguments),
            env=clean_environment(),
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr is not None
        said = ""
        while "headgate: limits" not in said:
            line = (await process.stderr.readline()).decode()
            if not line:
                raise RuntimeError(f"headgate ended:\n{said}")
            said += line
        found = _METRICS.search(said)
        assert found is not None
        self._metrics = found[1]
        self._reading = asyncio.create_task(self._keep(said, process.stderr))

    @property
    def up(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """SIGKILL; whatever it was doing is lost."""
        self._send(signal.SIGKILL)
        await self._gone()

    def stop(self) -> None:
        """SIGTERM, by which it begins to drain."""
        self._send(signal.SIGTERM)

    async def drain(self) -> None:
        """SIGTERM, until it is gone."""
        self.stop()
        await self._gone()

    def hang(self) -> None:
        """SIGSTOP: it answers nothing, though its connections stay open."""
        self._send(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT, which ends what `hang` began."""
        self._send(signal.SIGCONT)

    async def count(self, name: str, **labels: str) -> int:
        """The sum of the samples of one of its metrics."""
        return int((await scrape(self._metrics)).total(name, **labels))

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _gone(self) -> None:
        assert self._process is not None
        await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def said(self, words: str, times: int) -> None:
        """Wait until it has said this so often since its start."""
        async with self._more:
            await self._more.wait_for(lambda: self._said.count(words.encode()) >= times)

    async def _keep(self, said: str, stderr: asyncio.StreamReader) -> None:
        self._said = data = said.encode()
        with self.log.open("ab") as log:
            while data:
                log.write(data)
                log.flush()
                data = await stderr.read(65536)
                async with self._more:
                    self._said += data
                    self._more.notify_all()
