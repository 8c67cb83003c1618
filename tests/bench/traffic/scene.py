"""Recorder, gateway and callers, each server a process of its own, as in real life."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import urlopen

import grpc

from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
_LISTENING = re.compile(r"grpc listening on (\S+)")


class Report(NamedTuple):
    """What the recorder saw since the last report; times on this machine's monotonic clock."""

    arrivals: list[tuple[float, str]]
    running: int
    late: list[float]

    def gaps(self) -> list[float]:
        times = [at for at, _ in self.arrivals]
        return [later - earlier for earlier, later in pairwise(times)]


class Scene:
    """A gateway in front of a recorder, and callers of it."""

    def __init__(self, gateway: asyncio.subprocess.Process, address: str, port: int) -> None:
        self.gateway = gateway
        self.address = address
        self._port = port
        self._channels: list[grpc.aio.Channel] = []

    def stub(self, *options: tuple[str, Any], address: str = "") -> Any:
        """A generated stub on a connection of its own."""
        own = [("grpc.use_local_subchannel_pool", 1), *options]
        channel = grpc.aio.insecure_channel(address or self.address, options=own)
        self._channels.append(channel)
        return chat_pb2_grpc.ChatServiceStub(channel)

    async def report(self) -> Report:
        url = f"http://127.0.0.1:{self._port}/report"
        seen = json.loads(await asyncio.to_thread(_get, url))
        return Report([(at, user) for at, user in seen["arrivals"]], seen["running"], seen["late"])

    async def quiet(self) -> Report:
        """Wait until the recorder has no request under way; what it saw until then."""
        arrivals: list[tuple[float, str]] = []
        while True:
            report = await self.report()
            arrivals += report.arrivals
            if not report.running:
                return Report(arrivals, 0, report.late)
            await asyncio.sleep(0.05)

    def memory(self) -> int:
        """Resident bytes of the gateway's process."""
        pages = Path(f"/proc/{self.gateway.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


def ask(model: str = "ok", user: str = "", **fields: Any) -> pb.ChatRequest:
    message = pb.ChatMessage(role=pb.ROLE_USER, content="Hello")
    return pb.ChatRequest(messages=[message], model=model, user=user, **fields)


def as_caller(name: str) -> tuple[tuple[str, str], ...]:
    return (("x-headgate-caller", name),)


@asynccontextmanager
async def scene(*flags: str) -> AsyncIterator[Scene]:
    """Start a recorder and a gateway with these flags in front of it."""
    recorder = await _start(str(HERE / "recorder.py"), out=True)
    assert recorder.stdout is not None
    port = int(await recorder.stdout.readline())
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    trusting = ["--callers.trusted_peers", "127.0.0.0/8"]
    common = ["--listen", "127.0.0.1:0", "--upstream", url, *trusting]
    gateway = await _start("-m", "headgate", "serve", *common, *flags, err=True)
    assert gateway.stderr is not None
    try:
        made = Scene(gateway, await _address(gateway.stderr), port)
        reading = asyncio.create_task(_read_away(gateway.stderr))
        try:
            yield made
        finally:
            await made.close()
            gateway.kill()
            await reading
    finally:
        for process in (gateway, recorder):
            if process.returncode is None:
                process.kill()
            await process.wait()


def _get(url: str) -> bytes:
    with urlopen(url) as answer:
        body: bytes = answer.read()
        return body


async def _start(
    *arguments: str, out: bool = False, err: bool = False
) -> asyncio.subprocess.Process:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HEADGATE_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=clean,
        stdout=asyncio.subprocess.PIPE if out else None,
        stderr=asyncio.subprocess.PIPE if err else None,
    )


async def _address(stderr: asyncio.StreamReader) -> str:
    said = ""
    while line := (await stderr.readline()).decode():
        said += line
        if found := _LISTENING.search(line):
            return found[1]
    raise RuntimeError(f"the gateway does not serve: {said}")


async def _read_away(stderr: asyncio.StreamReader) -> None:
    while await stderr.readline():
        pass
