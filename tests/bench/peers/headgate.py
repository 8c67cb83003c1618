"""headgate beside the peers: over gRPC, and over its HTTP face, which is what they speak."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.cost.callers import Target
from bench.cost.running import gateway
from bench.peers.peer import Running, call_once
from headgate import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.cost.running import Mock


class Grpc:
    """As it is by default."""

    name = "headgate, gRPC"
    version = __version__

    @asynccontextmanager
    async def running(self, mock: Mock) -> AsyncIterator[Running]:
        async with gateway(mock.url) as served:
            await call_once(served.target(1))
            yield Running(served.pid, served.target())


class Http:
    """The same with `--http-listen`."""

    name = "headgate, HTTP face"
    version = __version__

    @asynccontextmanager
    async def running(self, mock: Mock) -> AsyncIterator[Running]:
        async with gateway(mock.url, "--http-listen", "127.0.0.1:0") as served:
            target = Target("http", served.http, 0)
            await call_once(target)
            yield Running(served.pid, target)
