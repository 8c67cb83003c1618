"""One interface to call anything that is measured: a gateway over gRPC, a proxy over HTTP."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from bench.cost import http1, http2

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.cost.answers import Answer


P = TypeVar("P", bound=asyncio.Protocol)


class Target(NamedTuple):
    """What is called.

    Attributes:
        protocol: `grpc` or `http`.
        address: HOST:PORT.
        connections: how many are opened before anything is measured; over gRPC all calls share
            them, over HTTP further ones are opened when all are in use.
        path: of HTTP.
        headers: of HTTP.
    """

    protocol: str
    address: str
    connections: int
    path: str = "/v1/chat/completions"
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


class Caller(Protocol):
    """Makes calls; `begin` gives a function that cancels the call."""

    async def open(self) -> None: ...

    def begin(
        self, answer: Answer, *, model: str, tokens: int, stream: bool
    ) -> Callable[[], None]: ...

    def close(self) -> None: ...


def caller(target: Target) -> Caller:
    return _Grpc(target) if target.protocol == "grpc" else _Http(target)


class _Grpc:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._channels: list[http2.Channel] = []
        self._turn = 0

    async def open(self) -> None:
        for _ in range(self._target.connections):
            self._channels.append(await _connect(http2.Channel, self._target.address))

    def begin(self, answer: Answer, *, model: str, tokens: int, stream: bool) -> Callable[[], None]:
        self._turn += 1
        channel = self._channels[self._turn % len(self._channels)]
        method = "StreamChat" if stream else "Chat"
        number = channel.call(method, _grpc_request(model, tokens), answer)
        return lambda: channel.cancel(number)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


class _Http:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._free: list[http1.Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._request = cache(self._write)

    async def open(self) -> None:
        for _ in range(self._target.connections):
            self._free.append(await self._connect())

    def begin(self, answer: Answer, *, model: str, tokens: int, stream: bool) -> Callable[[], None]:
        data = self._request(model, tokens, stream)
        while self._free:
            connection = self._free.pop()
            if not connection.transport.is_closing():
                connection.call(data, answer)
                return connection.cancel
        task = asyncio.create_task(self._begin_anew(data, answer))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return lambda: _cancel(task, answer)

    async def _begin_anew(self, data: bytes, answer: Answer) -> None:
        try:
            (await self._connect()).call(data, answer)
        except OSError as error:
            answer.end(f"no connection: {error}")

    async def _connect(self) -> http1.Connection:
        return await _connect(lambda: http1.Connection(self._free.append), self._target.address)

    def _write(self, model: str, tokens: int, stream: bool) -> bytes:
        return http1.request(self._target.path, self._target.headers, model, tokens, stream=stream)

    def close(self) -> None:
        for connection in self._free:
            connection.transport.close()


async def _connect(make: Callable[[], P], address: str) -> P:
    host, _, port = address.rpartition(":")
    _, made = await asyncio.get_running_loop().create_connection(make, host, int(port))
    return made


def _cancel(task: asyncio.Task[None], answer: Answer) -> None:
    task.cancel()
    answer.end("cancelled")


@cache
def _grpc_request(model: str, tokens: int) -> bytes:
    return http2.request(model, tokens)
