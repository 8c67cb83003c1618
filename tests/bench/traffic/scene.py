"""Recorder, gateway and callers, each server a process of its own, as in real life."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import grpc

from headgate.v1 import chat_pb2 as pb
from headgate.v1 import chat_pb2_grpc
from support.processes import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Stream = grpc.aio.UnaryStreamCall[pb.ChatRequest, pb.StreamChatResponse]
    Stub = chat_pb2_grpc.ChatServiceAsyncStub

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
UPDATES = pb.StreamOptions(queue_updates=True)
UNLIMITED = ("--profile", "unlimited")
_LISTENING = re.compile(r"grpc listening on (\S+)")


class Report(NamedTuple):
    """What the recorder saw since the last report; times on this machine's monotonic clock.

    Attributes:
        arrivals: when and of whom, in order.
        errors: of probes: by how many seconds their record came after they were sent.
        refused: answered 429 because the published limit was broken.
        running: requests that have no whole answer yet.
        open: connections, idle ones and the one of this report included.
    """

    arrivals: list[tuple[float, str]]
    errors: list[float]
    refused: int
    running: int
    open: int

    def gaps(self) -> list[float]:
        return [later - earlier for (earlier, _), (later, _) in pairwise(self.arrivals)]


class Scene:
    """A gateway in front of a recorder, and callers of it."""

    def __init__(self, gateway: asyncio.subprocess.Process, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self._gateway = gateway
        self._channels: list[grpc.aio.Channel] = []

    def stub(self, *options: tuple[str, Any], address: str = "") -> Stub:
        """A generated stub on a connection of its own."""
        own = [("grpc.use_local_subchannel_pool", 1), *options]
        channel = grpc.aio.insecure_channel(address or self.address, options=own)
        self._channels.append(channel)
        return cast("Stub", chat_pb2_grpc.ChatServiceStub(channel))

    async def report(self) -> Report:
        return Report(**json.loads(await http_get(self.port, "/report")))

    async def quiet(self) -> Report:
        """The report once no request is under way, with the arrivals of all until then."""
        arrivals: list[tuple[float, str]] = []
        while True:
            report = await self.report()
            arrivals += report.arrivals
            if not report.running:
                return report._replace(arrivals=arrivals)
            await asyncio.sleep(0.05)

    def memory(self) -> int:
        """Resident bytes of the gateway's process."""
        pages = Path(f"/proc/{self._gateway.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


def ask(model: str = "ok", user: str = "", **fields: Any) -> pb.ChatRequest:
    message = pb.ChatMessage(role=pb.ROLE_USER, content="Hello")
    return pb.ChatRequest(messages=[message], model=model, user=user, **fields)


def as_caller(name: str) -> tuple[tuple[str, str], ...]:
    return (("x-headgate-caller", name),)


async def next_event(stream: Stream) -> pb.StreamChatResponse | None:
    """None at an end that is OK."""
    received = await stream.read()
    return received if isinstance(received, pb.StreamChatResponse) else None


async def in_line(stream: Stream) -> pb.Queued:
    """Read the event that says that the call waits."""
    event = await next_event(stream)
    if event is None or event.WhichOneof("event") != "queued":
        raise RuntimeError(f"the call should wait, but there came {event}")
    return event.queued


async def ending(stream: Stream) -> str:
    """`OK`, or the reason of the status."""
    try:
        while await next_event(stream) is not None:
            pass
    except grpc.aio.AioRpcError as error:
        return reason(error)
    return "OK"


def trailer(error: grpc.aio.AioRpcError, name: str) -> str:
    return str(dict(error.trailing_metadata() or ()).get(name, ""))


def reason(error: grpc.aio.AioRpcError) -> str:
    return trailer(error, "headgate-reason") or error.code().name


async def http_get(port: int, path: str) -> bytes:
    """The body of a response with a Content-Length, from this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: recorder\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]
        return await reader.readexactly(length)
    finally:
        writer.close()


@asynccontextmanager
async def scene(*flags: str, port: int = 0) -> AsyncIterator[Scene]:
    """Start a recorder, and a gateway with these flags in front of it.

    Args:
        port: where the gateway looks for its upstream, when that is not the recorder.
    """
    async with recorder() as recorder_port, gateway(port or recorder_port, *flags) as running:
        made = Scene(*running, recorder_port)
        try:
            yield made
        finally:
            await made.close()


@asynccontextmanager
async def recorder(port: int = 0) -> AsyncIterator[int]:
    """Its port; 0: any free one."""
    process = await _start(str(HERE / "recorder.py"), str(port), stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(await process.stdout.readline())
    finally:
        await _end(process)


@asynccontextmanager
async def gateway(
    upstream: int, *flags: str, environment: dict[str, str] | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its address; what the environment has is added to ours."""
    url = f"http://127.0.0.1:{upstream}/v1/chat/completions"
    common = ("--listen", "127.0.0.1:0", "--upstream", url)
    trusted = ("--callers.trusted_peers", "127.0.0.0/8")
    arguments = ("-m", "headgate", "serve", *common, *trusted, *flags)
    process = await _start(
        *arguments, environment=environment or {}, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr
    reading: asyncio.Task[None] | None = None
    try:
        address = await _address(said)
        reading = asyncio.create_task(_read_away(said))
        yield process, address
    finally:
        await _end(process)
        if reading is not None:
            await reading


async def _start(
    *arguments: str, environment: dict[str, str] | None = None, **pipes: Any
) -> asyncio.subprocess.Process:
    ours = clean_environment() | {"PYTHONPATH": str(ROOT / "tests")}
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=ours | (environment or {}), **pipes
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _address(stderr: asyncio.StreamReader) -> str:
    said = ""
    while line := (await stderr.readline()).decode():
        said += line
        if found := _LISTENING.search(line):
            return found[1]
    raise RuntimeError(f"the gateway does not serve:\n{said}")


async def _read_away(stderr: asyncio.StreamReader) -> None:
    """What it says at a crash is for the one who runs the bench."""
    while line := await stderr.readline():
        if b"Traceback" in line:
            sys.stderr.write("the gateway logged an error:\n")
        if b'"level":"error"' in line or b"Traceback" in line or line.startswith(b"  "):
            sys.stderr.write(line.decode(errors="replace"))
