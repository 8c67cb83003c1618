"""The figures of deploy/docs/{kubernetes,istio,linkerd}.md, over real processes on one machine.

`PYTHONPATH=tests:tests/bench/traffic python tests/deploy/measure.py [PART ...]`; takes about two
minutes, and needs a Redis.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import grpc

from envoy import HTTP2, install
from headgate.v1 import chat_pb2_grpc
from support.gateway import ask
from support.ports import free_port
from support.processes import clean_environment
from support.redis_server import redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_SAID = re.compile(r"(grpc listening|metrics) on (\S+)|sandbox at (http://[\d.:]+)")
_SAMPLE = re.compile(r"^(\w+)(?:\{[^}]*\})? ([\d.e+-]+)$", re.MULTILINE)
UNLIMITED = ("--profile", "unlimited")
FREE = ("--callers.rate", "inf", "--callers.min_interval", "0")
CALLS = 60


class Program:
    """One `headgate` process, by what it said of itself."""

    def __init__(self, said: dict[str, str]) -> None:
        self.grpc = said.get("grpc listening", "")
        self.url = said.get("sandbox", "")
        self._metrics = said.get("metrics", "")

    async def count(self, name: str) -> float:
        """The sum of a metric's samples."""
        page = await asyncio.to_thread(_read, f"http://{self._metrics}/metrics")
        return sum(float(value) for found, value in _SAMPLE.findall(page) if found == name)


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _read(url: str) -> str:
    with urlopen(url) as page:
        return str(page.read().decode())


@asynccontextmanager
async def headgate(*arguments: str, until: str = "limits (") -> AsyncIterator[Program]:
    """Run `headgate ARGUMENTS` until it serves."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headgate", *arguments),
        env=clean_environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        said = ""
        while until not in said:
            line = (await process.stderr.readline()).decode()
            if not line:
                raise RuntimeError(said)
            said += line
        drained = asyncio.create_task(process.stderr.read())
        found = {a or "sandbox": b or c for a, b, c in _SAID.findall(said)}
        yield Program(found)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await drained


def gateway(upstream: str, *arguments: str) -> Any:
    """A gateway on free ports."""
    ports = ("--listen", "127.0.0.1:0", "--metrics.listen", "127.0.0.1:0", "--log.access", "off")
    return headgate("serve", *ports, "--upstream", upstream, *arguments)


def sandbox(interval: float) -> Any:
    """The upstream, with a token each `interval` seconds."""
    pace = ("--sandbox.token_interval", str(interval))
    return headgate("sandbox", "--listen", "127.0.0.1:0", *FREE, *pace, until="sandbox at")


@asynccontextmanager
async def envoy(
    targets: Sequence[str], route: dict[str, Any], cluster: dict[str, Any]
) -> AsyncIterator[tuple[str, str]]:
    """Run Envoy in front of gateways; gives its address, and its administrator's."""
    port, admin = free_port(), free_port()
    with TemporaryDirectory() as folder:
        config = Path(folder) / "envoy.json"
        config.write_text(json.dumps(_config(port, admin, targets, route, cluster)))
        process = await asyncio.create_subprocess_exec(
            *(await install(), "-c", config, "--log-level", "error", "--concurrency", "1"),
            *("--base-id-path", f"{folder}/id", "--use-dynamic-base-id"),
            env={**clean_environment(), "PYTHONPATH": ""},
        )
        try:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            await asyncio.wait_for(channel.channel_ready(), 30)
            await channel.close()
            yield f"127.0.0.1:{port}", f"127.0.0.1:{admin}"
        finally:
            process.terminate()
            await process.wait()


def _config(
    port: int, admin: int, targets: Sequence[str], route: dict[str, Any], cluster: dict[str, Any]
) -> dict[str, Any]:
    types = "type.googleapis.com/envoy.extensions.filters"
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "headgate", **route}}]
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "codec_type": "HTTP2",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{types}.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    endpoints = [{"endpoint": {"address": _address(target)}} for target in targets]
    load = {"cluster_name": "headgate", "endpoints": [{"lb_endpoints": endpoints}]}
    listener = {
        "name": "front",
        "address": _address(f"127.0.0.1:{port}"),
        "filter_chains": [{"filters": filters}],
    }
    own = {"name": "headgate", "type": "STATIC", "typed_extension_protocol_options": HTTP2}
    clusters = [{**own, "load_assignment": load, **cluster}]
    return {
        "admin": {"address": _address(f"127.0.0.1:{admin}")},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }


def _address(text: str) -> dict[str, Any]:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


@asynccontextmanager
async def connections_in_turn(targets: Sequence[str]) -> AsyncIterator[str]:
    """What a Kubernetes Service does: each new connection goes to some pod, its bytes with it."""
    turns = iter(range(1_000_000))

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = targets[next(turns) % len(targets)].rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def calls(
    target: str, number: int, *options: tuple[str, Any], at_once: int = 6, **fields: Any
) -> Counter[str]:
    """Make StreamChat calls over one channel; gives how they ended."""
    gate = asyncio.Semaphore(at_once)
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        stub: Any = chat_pb2_grpc.ChatServiceStub(channel)

        async def one() -> str:
            async with gate:
                try:
                    async for _ in stub.StreamChat(ask(**fields), timeout=120):
                        pass
                except grpc.aio.AioRpcError as error:
                    ours = dict(error.trailing_metadata() or ()).get("headgate-reason")
                    return f"{error.code().name}, {ours or error.details()}"
                return "OK"

        return Counter(await asyncio.gather(*(one() for _ in range(number))))


async def spread() -> None:
    """One channel against three gateways."""
    robin = ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}')
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(sandbox(0))
        three = [
            await stack.enter_async_context(gateway(f"{upstream.url}/api", *UNLIMITED))
            for _ in range(3)
        ]
        addresses = [one.grpc for one in three]
        service = await stack.enter_async_context(connections_in_turn(addresses))
        proxy, _ = await stack.enter_async_context(envoy(addresses, {"timeout": "0s"}, {}))
        everywhere = f"ipv4:{','.join(addresses)}"
        ways = [("a Service", service, ()), ("round_robin", everywhere, (robin,))]
        for name, target, options in [*ways, ("Envoy", proxy, ())]:
            before = [await one.count("headgate_rpcs_total") for one in three]
            ends = await calls(target, CALLS, *options)
            after = [await one.count("headgate_rpcs_total") for one in three]
            counts = [int(b - a) for a, b in zip(before, after, strict=True)]
            tell(f"one channel, {CALLS} calls, {name}: {counts} {dict(ends)}")


async def long_streams() -> None:
    """A stream of some twenty seconds through Envoy."""
    async with sandbox(0.5) as upstream, gateway(f"{upstream.url}/api", *UNLIMITED) as one:
        for name, route in [("Envoy's default", {}), ("timeout 0s", {"timeout": "0s"})]:
            async with envoy([one.grpc], route, {}) as (proxy, _):
                tell(f"route timeout, {name}: {await _stream(proxy)}")


async def _stream(target: str) -> str:
    began, deltas, end = time.monotonic(), 0, "OK"
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = chat_pb2_grpc.ChatServiceStub(channel)
        try:
            async for event in stub.StreamChat(ask(max_tokens=45), timeout=60):
                deltas += event.WhichOneof("event") == "delta"
        except grpc.aio.AioRpcError as error:
            end = f"{error.code().name} ({error.details()})"
    return f"{deltas} deltas in {time.monotonic() - began:.1f} s, {end}"


async def outliers() -> None:
    """Three gateways in front of an upstream that refuses everything."""
    closed = f"http://127.0.0.1:{free_port()}/api"
    counted = {"consecutive_5xx": 5}
    ours = {
        "consecutive_5xx": 0,
        "consecutive_gateway_failure": 0,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 5,
    }
    async with AsyncExitStack() as stack:
        once = ("--retry.max_attempts", "1")
        gateways = [gateway(closed, *UNLIMITED, *once) for _ in range(3)]
        three = [(await stack.enter_async_context(one)).grpc for one in gateways]
        for name, detection in [("statuses counted", counted), ("as in the chart", ours)]:
            limits = {"interval": "1s", "base_ejection_time": "15s", "max_ejection_percent": 100}
            # As Istio has it: where too few are left, the others get nothing all the same.
            panic = {"healthy_panic_threshold": {"value": 0}}
            cluster = {"outlier_detection": {**limits, **detection}, "common_lb_config": panic}
            async with envoy(three, {"timeout": "0s"}, cluster) as (proxy, admin):
                await calls(proxy, CALLS)
                await asyncio.sleep(1)  # Envoy's threads hear of it
                page = await asyncio.to_thread(_read, f"http://{admin}/clusters")
                ejected = page.count("health_flags::/failed_outlier_check")
                ends = await calls(proxy, CALLS)
                tell(f"outliers, {name}: {ejected} of 3 replicas ejected, then {dict(ends)}")


async def waits() -> None:
    """The average wait of 24 calls at once, by the number of replicas."""
    with TemporaryDirectory() as folder:
        async with sandbox(0.05) as upstream, redis_server(folder) as redis:
            url = f"{upstream.url}/api"
            store = ("--throttle.store", redis.url)
            pace = (
                "--profile",
                "published",
                "--throttle.rate",
                "4",
                "--throttle.min_interval",
                "0",
            )
            for name, arguments in [
                ("4 a second for all", (*pace, *store)),
                ("max_in_flight 2 each", (*UNLIMITED, "--throttle.max_in_flight", "2")),
            ]:
                for replicas in (1, 2, 4):
                    tell(f"{name}, {replicas} replicas: {await _wait(url, replicas, arguments)}")


async def _wait(url: str, replicas: int, arguments: tuple[str, ...]) -> str:
    async with AsyncExitStack() as stack:
        programs = [
            await stack.enter_async_context(gateway(url, *arguments)) for _ in range(replicas)
        ]
        await asyncio.sleep(3)  # each replica hears of the others
        share = 24 // replicas
        many = (calls(one.grpc, share, at_once=share, max_tokens=20) for one in programs)
        ends = sum(await asyncio.gather(*many), Counter[str]())
        name = "headgate_queue_wait_seconds"
        seconds = sum([await one.count(f"{name}_sum") for one in programs])
        count = sum([await one.count(f"{name}_count") for one in programs])
    return f"{seconds / count:.2f} s on average {dict(ends)}"


async def main() -> None:
    parts = {part.__name__: part for part in (spread, long_streams, outliers, waits)}
    for name in sys.argv[1:] or parts:
        await parts[name]()


if __name__ == "__main__":
    asyncio.run(main())
