"""Several workers on one port: under a supervisor of this process, or under the real command."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import grpc

from headgate.signals import Signals
from headgate.v1 import chat_pb2_grpc
from headgate.workers.process import COMMAND
from headgate.workers.supervisor import Supervisor, hold_ports
from support.gateway import Caller, settings
from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from headgate.workers.crew import Crew

_LISTENING = re.compile(r"headgate: grpc listening on (\S+)\n")
_WORKERS = re.compile(r"headgate: \d+ workers \(processes ([\d, ]+)\)")
_LAST_LINE = "headgate: limits"


class Orders(Signals):
    """Signals that nobody sent to this process."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.reload = asyncio.Event()
        self.status = 143


class Connections:
    """Connections of one's own to a port that several processes share."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channels: list[grpc.aio.Channel] = []

    def caller(self) -> Caller:
        """On a new connection, which the kernel gives to one of them."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        channel = grpc.aio.insecure_channel(self._address, options=options)
        self._channels.append(channel)
        stub = chat_pb2_grpc.ChatServiceStub(channel)
        caller = object.__new__(Caller)
        caller.channel, caller.metadata = channel, ()
        caller.stub = cast("chat_pb2_grpc.ChatServiceAsyncStub", stub)
        return caller

    async def aclose(self) -> None:
        for channel in self._channels:
            await channel.close()


class Company(Connections):
    """Workers whose supervisor is at hand."""

    def __init__(self, supervisor: Supervisor, orders: Orders, listen: str) -> None:
        super().__init__(listen)
        self.supervisor = supervisor
        self.orders = orders

    def granted(self) -> dict[int, int]:
        """Slots that each worker was given so far."""
        keeper = self.supervisor.keeper
        return {worker: keeper.granted(worker) for worker in self.supervisor.pids}

    async def of_each(self) -> dict[int, Caller]:
        """For each worker a caller whose connection it has; found out by calls."""
        found: dict[int, Caller] = {}
        while len(found) < len(self.supervisor.pids):
            caller, before = self.caller(), self.granted()
            await caller.chat()
            [worker] = [w for w, count in self.granted().items() if count > before[w]]
            found[worker] = caller
        return found


@asynccontextmanager
async def workers(
    url: str, *, crew: Crew | None = None, command: Sequence[str] = COMMAND, **sections: Any
) -> AsyncIterator[Company]:
    """Two workers with these settings, ready; at the end they are drained."""
    sections["server"] = {"workers": 2, "grace": 10} | sections.get("server", {})
    async with AsyncExitStack() as stack:
        held = hold_ports(settings(url, **sections), stack)
        supervisor, orders = Supervisor(held, crew=crew, command=command), Orders()
        running = asyncio.create_task(supervisor.run(orders))
        company = Company(supervisor, orders, held.listen)
        try:
            serving = asyncio.create_task(supervisor.serving.wait())
            await asyncio.wait({running, serving}, return_when=asyncio.FIRST_COMPLETED)
            serving.cancel()
            assert not running.done(), running.result()
            yield company
        finally:
            await company.aclose()
            orders.first.set()
            await running


class Command(Connections):
    """`headgate serve --workers 2`, as a person starts it.

    Attributes:
        process: the supervisor's.
        said: its lines at the start.
        pids: of the workers.
    """

    def __init__(self, process: asyncio.subprocess.Process, said: str) -> None:
        address = _LISTENING.search(said)
        workers = _WORKERS.search(said)
        assert address, said
        assert workers, said
        super().__init__(address[1])
        self.process = process
        self.said = said
        self.pids = [int(pid) for pid in workers[1].split(", ")]

    async def rest(self) -> str:
        """All that is said until supervisor and workers, who share the pipe, are gone."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[Command]:
    """The command in a session of its own, as under a terminal; two workers, ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headgate", "serve", "--listen", "127.0.0.1:0"),
        *("--workers", "2", "--profile", "unlimited", "--log.access", "off", *arguments),
        env=clean_environment(),
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    said = ""
    try:
        assert process.stderr is not None
        while _LAST_LINE not in said:
            line = (await process.stderr.readline()).decode()
            assert line, said
            said += line
        running = Command(process, said)
        yield running
        await running.aclose()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
