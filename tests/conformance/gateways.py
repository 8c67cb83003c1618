"""A real gateway: `headgate serve` as a process of its own, on a port that it keeps."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from support.ports import free_port
from support.processes import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 30
LOG_SECONDS = 5


class GatewayError(Exception):
    """A gateway did not start, or did not stop as it should; the message says what it said."""


class StartError(GatewayError):
    """A gateway did not start, and nothing can be said of any client."""


class PortTakenError(StartError):
    """Somebody else got its port first."""


class GatewayProcess:
    """Starts, stops and starts again at the same address.

    Args:
        config: the file with its settings.
    """

    def __init__(self, config: Path) -> None:
        self.port = free_port()
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._said: list[str] = []
        self._reader: asyncio.Task[None] | None = None
        self._asked = False
        self._reloaded = asyncio.Event()
        self._sent_away = 0
        self._spoke = asyncio.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Returns once it listens.

        Raises:
            StartError: it did not.
        """
        self._said = []
        self._asked = False
        listening: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headgate", "serve"),
            *("--listen", self.address, "--config", self._config),
            env=clean_environment(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read(self._process.stderr, listening))
        try:
            async with asyncio.timeout(START_SECONDS):
                if await listening:
                    return
                await self._process.wait()
        except TimeoutError:
            await self._end_at_once()
        except asyncio.CancelledError:
            await self._end_at_once()  # nobody else would, since it has not started
            raise
        self._process = None
        taken = "address already in use" in self._last_words()
        kind = PortTakenError if taken else StartError
        raise kind(f"the gateway did not start: {self._last_words()}")

    async def do(self, what: str) -> None:
        """`stop`, `start`, `restart`, or `kill`, which is a crash and a start.

        Raises:
            GatewayError: see `start` and `stop`.
        """
        if what == "kill":
            await self._end_at_once()
        if what in ("stop", "restart"):
            await self.stop()
        if what in ("start", "restart", "kill"):
            await self.start()

    async def reload(self) -> None:
        """Have it read its files again; returns when it has.

        Raises:
            GatewayError: it did not say so.
        """
        assert self._process is not None
        self._reloaded.clear()
        self._process.send_signal(signal.SIGHUP)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._reloaded.wait()
        except TimeoutError:
            raise GatewayError(f"the gateway did not reload: {self._last_words()}") from None

    def ask_to_stop(self) -> None:
        """Once; a second time would be an order to stop at once."""
        if self._process is not None and self._process.returncode is None and not self._asked:
            self._process.send_signal(signal.SIGTERM)
            self._asked = True

    async def sent_away(self, calls: int) -> int:
        """How many calls it has refused because it goes, by its access log.

        Returns once it has told of so many, or of no more in some seconds.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LOG_SECONDS):
                while self._sent_away < calls:
                    self._spoke.clear()
                    await self._spoke.wait()
        return self._sent_away

    async def until_deaf(self) -> None:
        """Returns once it takes no more connections."""
        with suppress(ConnectionError):  # refused, or closed while it was made
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop it; returns when it has gone.

        Raises:
            GatewayError: it had to be killed, or failed.
        """
        self.ask_to_stop()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise GatewayError(f"the gateway did not stop: {self._last_words()}") from None
        finally:
            if self._reader is not None:
                await self._reader
        if status != 0:
            raise GatewayError(f"the gateway ended with status {status}: {self._last_words()}")

    async def _end_at_once(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                process.kill()
            await process.wait()

    def _last_words(self) -> str:
        return " | ".join(self._said[-3:]) or "it said nothing"

    async def _read(
        self, said: asyncio.StreamReader | None, listening: asyncio.Future[bool]
    ) -> None:
        assert said is not None
        async for line in said:
            self._said = [*self._said[-50:], line.decode(errors="replace").rstrip()]
            if b"grpc listening on" in line and not listening.done():
                listening.set_result(True)
            if b'"event":"reloaded"' in line:
                self._reloaded.set()
            self._sent_away += b'"reason":"DRAINING"' in line
            self._spoke.set()
        if not listening.done():
            listening.set_result(False)  # it has ended
