"""Real gateways that share one Redis: one limit for all, and none of them stops with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from headgate.config import StartError
from headgate.gateway import Gateway
from support.gateway import Caller, gateway, settings
from support.raw_upstream import RawUpstream, response, says
from support.redis_server import needs_redis, redis_server, slow_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.raw_upstream import Connection, Request
    from support.redis_server import RedisServer

pytestmark = needs_redis

GAP = 0.1
PACE = {"rate": 10, "min_interval": GAP}
well = says("well")
too_many = response(b'{"error":{"message":"too many"}}', status="429 Too Many Requests")


class Strict:
    """Answers 429 to whoever comes too soon behind another, and counts both."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._last = float("-inf")

    async def __call__(self, request: Request, connection: Connection) -> None:
        soon = request.at - self._last < GAP - 0.001
        self._last = request.at
        self.seen["429" if soon else "200"] += 1
        await (connection.send(too_many) if soon else well(request, connection))


class Group:
    """Gateways on one store, in front of one strict upstream."""

    def __init__(self, strict: Strict, callers: list[Caller]) -> None:
        self.strict = strict
        self.callers = callers

    async def ask_all(self, times: int) -> None:
        """So many calls through each gateway at once; all end OK."""
        await asyncio.gather(*(caller.chat() for caller in self.callers for _ in range(times)))


@asynccontextmanager
async def group(count: int, url: str, **throttle: Any) -> AsyncIterator[Group]:
    strict = Strict()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(RawUpstream(strict))
        limits = PACE | {"store": url} | throttle
        made = [gateway(upstream.url, throttle=limits) for _ in range(count)]
        yield Group(strict, [await stack.enter_async_context(one) for one in made])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(str(tmp_path)) as server:
        yield server


async def test_three_replicas_share_one_limit(store: RedisServer) -> None:
    """A strict upstream has nothing to complain of, and every call is answered once."""
    async with group(3, store.url) as replicas:
        await replicas.ask_all(8)
        assert replicas.strict.seen == {"200": 24}


async def test_replicas_go_on_while_the_store_is_away_and_share_again_after(
    store: RedisServer,
) -> None:
    """A lost store costs nobody a call, and never the upstream's limit."""
    async with group(3, store.url) as replicas:
        await replicas.ask_all(2)
        await store.stop()
        await replicas.ask_all(4)
        await store.start()
        await replicas.ask_all(8)
        assert replicas.strict.seen == {"200": 42}


async def test_a_store_that_hangs_costs_its_timeout_and_no_call(store: RedisServer) -> None:
    """Connections that stay open and say nothing are a loss, too."""
    async with group(2, store.url, store_timeout=0.2) as replicas:
        await replicas.ask_all(2)
        store.hang()
        await replicas.ask_all(3)
        store.wake()
        await replicas.ask_all(3)
        assert replicas.strict.seen == {"200": 16}


async def test_a_slow_store_costs_no_gap(store: RedisServer) -> None:
    """Grants are asked for ahead, as far as replies take."""
    async with slow_link(store.port) as link, group(2, link.url) as replicas:
        await replicas.ask_all(1)
        link.delay = 0.2
        await replicas.ask_all(8)
        assert replicas.strict.seen == {"200": 18}


async def test_a_call_that_is_cancelled_while_a_slot_is_fetched_harms_nobody(
    store: RedisServer,
) -> None:
    """The store's calls belong to no RPC: those that come after it are served."""
    async with slow_link(store.port) as link, group(1, link.url) as replicas:
        await replicas.ask_all(1)
        link.delay = 0.1
        calls = [asyncio.create_task(replicas.callers[0].chat()) for _ in range(10)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        await replicas.ask_all(2)


async def test_an_unreachable_store_refuses_the_start_in_one_line() -> None:
    """What is wrong, where, and what to do."""
    lost = settings("http://127.0.0.1:1/", throttle=PACE | {"store": "redis://127.0.0.1:1/0"})
    with pytest.raises(StartError) as caught:
        await Gateway(lost).start()
    line = str(caught.value)
    assert "redis://127.0.0.1:1/0 cannot be reached" in line
    assert "throttle.store_required" in line
    assert "\n" not in line


async def test_a_store_that_is_not_required_may_come_later(tmp_path: Path) -> None:
    """The gateway serves on its share meanwhile; `throttle.replicas` says how small that is."""
    async with redis_server(str(tmp_path)) as server:
        await server.stop()
        async with group(1, server.url, store_required=False, replicas=2) as alone:
            await alone.ask_all(2)
            await server.start()
            await alone.ask_all(4)
            assert alone.strict.seen == {"200": 6}
