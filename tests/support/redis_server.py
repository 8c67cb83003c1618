"""A Redis of one's own: started on a free port, without persistence, ended with the test."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROGRAMS = ("redis-server", "valkey-server")


def program() -> str | None:
    """The server's program, of either name; None: not on this machine."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


needs_redis = pytest.mark.skipif(
    program() is None and "CI" not in os.environ,
    reason=f"neither {' nor '.join(PROGRAMS)} is on the PATH; on Debian: apt-get install redis",
)


class RedisServer:
    """A server process that can be stopped, started anew, and made to hang.

    Attributes:
        port: where it listens, the same after every start.
        url: the same as a setting.
    """

    def __init__(self, port: int, *arguments: str, directory: str, tls: bool = False) -> None:
        self.port = port
        self._listen = ("--port", "0", "--tls-port", str(port)) if tls else ("--port", str(port))
        self.url = f"redis://127.0.0.1:{port}/0"
        self._arguments = arguments
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it with no data, and wait until it answers."""
        found = program()
        if found is None:
            raise FileNotFoundError(f"none of {', '.join(PROGRAMS)} is on the PATH")
        self._process = await asyncio.create_subprocess_exec(
            found,
            *(*self._listen, "--bind", "127.0.0.1", "--dir", self._directory),
            *("--save", "", "--appendonly", "no", *self._arguments),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        said = b""
        while b"eady to accept connections" not in said:
            line = await self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server ended:\n{said.decode(errors='replace')}")
            said += line

    async def stop(self) -> None:
        """Kill it; its data are lost."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            # Reads what it still says: a full pipe is no way to end.
            await process.communicate()

    def hang(self) -> None:
        """Let it answer nothing, though connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """End what `hang` began."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def redis_server(
    directory: str, *arguments: str, tls: bool = False
) -> AsyncIterator[RedisServer]:
    """A running server; further arguments are its own."""
    server = RedisServer(free_port(), *arguments, directory=directory, tls=tls)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class SlowLink:
    """A TCP link to a server whose replies can be slow, held back, or lost.

    Attributes:
        port: where to connect instead.
        delay: seconds that each piece of a reply takes.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay = 0.0
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def hold(self) -> None:
        """No reply comes through until `free`."""
        self._open.clear()

    def free(self) -> None:
        """Replies come through again."""
        self._open.set()

    def cut(self) -> None:
        """Close every connection."""
        for writer in self._writers:
            writer.close()

    @property
    def url(self) -> str:
        """As a setting of a gateway."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, forth}
        for task in (self._pump(reader, forth, slow=False), self._pump(back, writer, slow=True)):
            running = asyncio.create_task(task)
            self._tasks.add(running)
            running.add_done_callback(self._tasks.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if slow:
                    await asyncio.sleep(self.delay)
                    await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
        self._writers.discard(writer)


@asynccontextmanager
async def slow_link(target: int) -> AsyncIterator[SlowLink]:
    """A link to this port of this machine."""
    link = SlowLink(target)
    server = await asyncio.start_server(link._serve, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        link.cut()
        for task in list(link._tasks):
            task.cancel()
        await asyncio.gather(*link._tasks, return_exceptions=True)
        await server.wait_closed()
