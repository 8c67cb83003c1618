"""Three headgates that share a schedule in Redis, with Envoy before them as deploy/envoy has it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from support.envoy import Config, Envoy, Files, envoy, without_tls
from support.redis_server import redis_server
from support.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

COUNT = 3
# The upstream, without limits of its own.
SANDBOX = (
    *("sandbox", "--listen", "127.0.0.1:0", "--callers.rate", "inf", "--callers.min_interval", "0"),
    *("--sandbox.token_interval", "0"),
)
TRUSTING = ("--callers.trusted_peers", "127.0.0.0/8")
UNLIMITED = ("--profile", "unlimited")
FAST = ("--throttle.rate", "200", "--throttle.min_interval", "0")


class Mesh(NamedTuple):
    """What runs.

    Attributes:
        envoy: where callers call.
        replicas: the headgates behind it.
    """

    envoy: Envoy
    replicas: list[Replica]

    async def counts(self, name: str, **labels: str) -> list[int]:
        """A metric of each replica that is up."""
        return [await one.count(name, **labels) for one in self.replicas if one.up]


@asynccontextmanager
async def mesh(
    folder: Path,
    upstream: str,
    *flags: str,
    front: str = "balance",
    change: Callable[[Config], Config] = without_tls,
    port: int = 0,
) -> AsyncIterator[Mesh]:
    """Run all of it until the end of this.

    Args:
        folder: for what Envoy reads, and the logs.
        upstream: the URL of the chat endpoint.
        flags: of each headgate, besides the store and that it trusts Envoy.
        front: which configuration of deploy/envoy.
        change: what else is changed in it.
        port: where Envoy listens; 0: any.
    """
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(str(folder)))
        own = ("--upstream", upstream, "--throttle.store", redis.url, *TRUSTING, *flags)
        replicas = [Replica(folder / f"headgate-{n}.log", *own) for n in range(1, COUNT + 1)]
        stack.push_async_callback(_end, replicas)
        await asyncio.gather(*(one.start() for one in replicas))
        files = Files(folder)
        config = files.config(front, [one.address for one in replicas], port=port)
        running = await stack.enter_async_context(envoy(change(config), folder))
        while any((await running.hosts()).values()):
            pass  # its first look at one may have come too soon; the next is in two seconds
        yield Mesh(running, replicas)


async def _end(replicas: list[Replica]) -> None:
    await asyncio.gather(*(one.kill() for one in replicas if one.up))
