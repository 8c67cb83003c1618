"""`make bench-mesh`: the figures of deploy/docs/envoy.md, through Envoy with its shipped settings.

Headgates, Redis, Envoy and the upstream are processes of their own. The callers have no retries.
Takes about three minutes; words after it name the parts to run. Prints one table and writes
`build/bench-mesh.json`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import grpc

from headgate.v1 import chat_pb2_grpc
from mesh.mesh import FAST, SANDBOX, Mesh, mesh
from support.envoy import ROOT, Config, without_tls
from support.gateway import ask, trailer
from support.processes import serving
from support.raw_upstream import Connection, RawUpstream, Request
from table import Row, save, show, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.replica import Replica

    Stub = chat_pb2_grpc.ChatServiceAsyncStub

STREAMS, UNARY = 50, 20
OPTIONS = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
PLENTY = ("--throttle.rate", "2000", "--throttle.min_interval", "0")
# What Istio writes into every route unless it is told otherwise.
ISTIO = {"retry_on": "connect-failure,refused-stream,unavailable,cancelled", "num_retries": 2}


@asynccontextmanager
async def running(
    *flags: str, interval: float = 0.05, change: Callable[[Config], Config] = without_tls
) -> AsyncIterator[tuple[Mesh, Stub]]:
    """The mesh before a sandbox that takes so many seconds a token, and a caller of it."""
    with TemporaryDirectory() as folder:
        own = (*SANDBOX, "--sandbox.token_interval", str(interval))
        with serving(Path(folder), *own) as sandbox:
            url = f"http://{sandbox}/api"
            async with (
                mesh(Path(folder), url, *flags, "--log.access", "off", change=change) as made,
                grpc.aio.insecure_channel(made.envoy.address, options=OPTIONS) as channel,
            ):
                yield made, cast("Stub", chat_pb2_grpc.ChatServiceStub(channel))


async def ending(call: Awaitable[Any]) -> str:
    """OK; or the status, with the reason that headgate gave or what Envoy said."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        told = trailer(error, "headgate-reason") or error.details()
        return f"{error.code().name} ({told})"
    return "OK"


async def read(stream: Any) -> None:
    """To its end, which has to be `finished`."""
    last = ""
    async for event in stream:
        last = event.WhichOneof("event")
    assert last == "finished", last


async def until(made: Mesh, replica: Replica, *, healthy: bool) -> None:
    """Ask Envoy again and again, which tells nobody by itself."""
    while bool((await made.envoy.hosts())[replica.address]) is healthy:  # noqa: ASYNC110 - as it says
        await asyncio.sleep(0.1)


class Load:
    """Streams that follow one another, and unary calls at a steady rate."""

    def __init__(self, stub: Stub) -> None:
        self.streams: Counter[str] = Counter()
        self.chats: Counter[str] = Counter()
        self._stub = stub
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._streams()) for _ in range(STREAMS)]
        self._tasks.append(asyncio.create_task(self._unary()))

    async def end(self) -> None:
        """No new calls; wait for those that run."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _streams(self) -> None:
        while not self._stop.is_set():
            stream = self._stub.StreamChat(ask("Tell me a story", max_tokens=60), timeout=120)
            self.streams[await ending(read(stream))] += 1

    async def _unary(self) -> None:
        async with asyncio.TaskGroup() as group:
            began, number = time.monotonic(), 0
            while not self._stop.is_set():
                group.create_task(self._chat())
                number += 1
                await asyncio.sleep(max(0.0, began + number / UNARY - time.monotonic()))

    async def _chat(self) -> None:
        self.chats[await ending(self._stub.Chat(ask(max_tokens=5), timeout=120))] += 1


async def rolling() -> AsyncIterator[Row]:
    """Each replica is drained and started anew, one after the other, under load."""
    async with running(*FAST, "--server.drain_delay", "5") as (made, stub):
        load = Load(stub)
        load.start()
        await asyncio.sleep(3)
        for one in made.replicas:
            await one.drain()
            await one.start()
            await until(made, one, healthy=True)
        await asyncio.sleep(2)
        await load.end()
        stats = await made.envoy.stats("cluster.headgate.upstream_rq_retry$")
    failed = (load.streams + load.chats).total() - load.streams["OK"] - load.chats["OK"]
    yield Row(
        f"rolling restart of 3 replicas under {STREAMS} streams and {UNARY} unary calls a second",
        "0 failed calls",
        f"{failed} failed; {load.streams.total()} streams {dict(load.streams)},"
        f" {load.chats.total()} unary calls {dict(load.chats)};"
        f" Envoy repeated {sum(stats.values())}",
        failed == 0,
    )


async def wedged() -> AsyncIterator[Row]:
    """One of three hangs for 20 s, with more callers than the shared limit serves."""
    rate, seconds = 20, 20
    pace = ("--throttle.rate", str(rate), "--throttle.min_interval", "0")
    async with running(*pace, interval=0) as (made, stub):
        ends: Counter[str] = Counter()
        stop = asyncio.Event()

        async def hammer() -> None:
            while not stop.is_set():
                ends[await ending(stub.Chat(ask(max_tokens=1), timeout=60))] += 1

        callers = [asyncio.create_task(hammer()) for _ in range(STREAMS)]
        await asyncio.sleep(5)
        first, *others = made.replicas
        on_it = await first.count("headgate_queue_depth") + await first.count("headgate_in_flight")
        before = [await one.count("headgate_slots_total", event="started") for one in others]
        done, began = ends.total(), time.monotonic()
        first.hang()
        await until(made, first, healthy=False)
        ejected = time.monotonic() - began
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        took = time.monotonic() - began
        after = [await one.count("headgate_slots_total", event="started") for one in others]
        done = ends.total() - done
        first.wake()
        stop.set()
        await asyncio.gather(*callers)
    used = (sum(after) - sum(before)) / (rate * took)
    failed = ends.total() - ends["OK"]
    yield Row(
        f"one of three hangs for {seconds} s, {STREAMS} callers at once, {rate} slots a second",
        "ejected within 6 s; no call fails; 60 % of the limit used",
        f"ejected after {ejected:.1f} s; {on_it} calls were on it; {done} calls ended meanwhile;"
        f" {failed} of {ends.total()} failed {dict(ends)}; {used:.0%} of the limit used",
        ejected <= 6 and failed == 0 and used >= 0.6,
    )


async def retries() -> AsyncIterator[Row]:
    """400 calls, 20 a second, whose attempts always fail: what arrives at the upstream."""

    async def fail(_: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    def as_istio(config: Config) -> Config:
        manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
        (host,) = manager["typed_config"]["route_config"]["virtual_hosts"]
        host["retry_policy"] = ISTIO
        del host["include_request_attempt_count"]
        return config

    calls = 400
    for name, change in (("as shipped", without_tls), ("Istio's default", as_istio)):
        with TemporaryDirectory() as folder:
            async with (
                RawUpstream(fail) as upstream,
                mesh(Path(folder), upstream.url, *FAST, "--log.access", "off", change=change) as m,
                grpc.aio.insecure_channel(m.envoy.address, options=OPTIONS) as channel,
            ):
                stub = cast("Stub", chat_pb2_grpc.ChatServiceStub(channel))
                made = []
                for _ in range(calls):
                    made.append(asyncio.create_task(ending(stub.Chat(ask(), timeout=60))))
                    await asyncio.sleep(0.05)
                ends = Counter(await asyncio.gather(*made))
                seen = len(upstream.requests)
        yield Row(
            f"{calls} calls whose attempts all fail, three gateways, retries of Envoy: {name}",
            "headgate's attempts alone" if name == "as shipped" else "for comparison",
            f"{seen} attempts at the upstream, {seen / calls:.2f} a call; {dict(ends)}",
            name != "as shipped" or seen <= 3 * calls,
        )


async def breakers() -> AsyncIterator[Row]:
    """1,500 streams of three callers at once, with Envoy's own limits and with those shipped."""

    def by_default(config: Config) -> Config:
        for cluster in config["static_resources"]["clusters"]:
            del cluster["circuit_breakers"]
        return config

    clients, each = 3, 500
    for name, change in (("as shipped", without_tls), ("Envoy's default", by_default)):
        async with (
            running(*PLENTY, interval=0.5, change=change) as (made, _),
            AsyncExitStack() as stack,
        ):
            streams: list[Any] = []
            for _ in range(clients):
                address = made.envoy.address
                channel = await stack.enter_async_context(
                    grpc.aio.insecure_channel(address, options=OPTIONS)
                )
                stub = cast("Stub", chat_pb2_grpc.ChatServiceStub(channel))
                streams += [stub.StreamChat(ask(max_tokens=10), timeout=120) for _ in range(each)]
            ends = Counter(await asyncio.gather(*(ending(read(one)) for one in streams)))
        yield Row(
            f"{clients} callers with {each} streams each, circuit breakers: {name}",
            "all OK" if name == "as shipped" else "for comparison",
            f"{dict(ends)}",
            name != "as shipped" or ends == {"OK": clients * each},
        )


async def measure(names: list[str]) -> list[Row]:
    rows = []
    for name in names:
        async for row in PARTS[name]():
            show(row)
            rows.append(row)
    return rows


PARTS = {part.__name__: part for part in (rolling, wedged, retries, breakers)}


def main() -> int:
    names = sys.argv[1:] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        sys.stderr.write(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}\n")
        return 2
    started = time.monotonic()
    rows = asyncio.run(measure(names))
    file = ROOT / "build" / "bench-mesh.json"
    save(rows, file, seconds=time.monotonic() - started, quick=False)
    sys.stdout.write(table(rows))
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
