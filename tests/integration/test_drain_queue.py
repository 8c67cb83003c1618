"""Promise 9 as clients see it: a long line on one channel moves on with every replica that goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import TYPE_CHECKING

from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from front import Front
from headgate_client import AsyncClient
from support.gateway import Caller, gateway
from support.raw_upstream import RawUpstream, answers, says
from support.traffic import texts, waiting

if TYPE_CHECKING:
    from support.raw_upstream import Connection, Request

IN_LINE = 200
REPLICAS = 4
GRACE = 30.0
HOLDER, FAILING = "holder", "failing"
ONE_BY_ONE = {"max_in_flight": 1}


async def test_a_rolling_update_moves_every_line_on_one_channel() -> None:
    """Whoever waits is refused once, goes on by itself, and is asked of the upstream once.

    Also where the next replica has just seen its upstream fail: nobody repeats that call.
    """
    go = asyncio.Event()

    async def script(request: Request, connection: Connection) -> None:
        content = request.json["messages"][-1]["content"]
        if content == HOLDER:
            await go.wait()
        answer = answers(b"{}", status="503 Busy") if content == FAILING else says("done")
        await answer(request, connection)

    with capture_logs(processors=[merge_contextvars]) as logs:
        async with RawUpstream(script) as upstream, Front() as front, AsyncExitStack() as stack:
            start = stack.enter_async_context
            replicas = [
                await start(gateway(upstream.url, throttle=ONE_BY_ONE)) for _ in range(REPLICAS)
            ]
            front.lead_to(_port(replicas[0]))
            client = await start(AsyncClient(front.address, timeout=50))
            for old, new in pairwise(replicas):
                go.clear()
                holder = await _hold(old, upstream)
                line = [asyncio.create_task(client.chat(f"call {n}")) for n in range(IN_LINE)]
                await _in_line(old, IN_LINE)
                await new.refused_chat(FAILING)
                front.lead_to(_port(new))
                stop = asyncio.create_task(old.gateway.stop(GRACE))
                replies = await asyncio.gather(*line)
                go.set()
                await asyncio.gather(holder, stop)
                assert {reply.gateway.attempts for reply in replies} == {1}

    drains = REPLICAS - 1
    asked = Counter(text for text in texts(upstream) if text != FAILING)
    assert asked == {HOLDER: drains} | {f"call {n}": drains for n in range(IN_LINE)}
    ends = Counter(log.get("reason") or log["code"] for log in logs if log["event"] == "call")
    assert ends["DRAINING"] == drains * IN_LINE
    assert ends["OK"] == drains * (IN_LINE + 1)


def _port(caller: Caller) -> int:
    return int(caller.gateway.grpc_address.rpartition(":")[2])


async def _hold(caller: Caller, upstream: RawUpstream) -> asyncio.Task[object]:
    """Take the only place in flight; returns once it is taken."""
    before = len(upstream.requests)
    holder: asyncio.Task[object] = asyncio.create_task(caller.chat(HOLDER, timeout=50))
    await upstream.until(lambda: len(upstream.requests) > before)
    return holder


async def _in_line(caller: Caller, waiters: int) -> None:
    """Returns once so many wait: the one who asks is told to stand behind them."""
    position = 0
    while position <= waiters:
        probe = await waiting(caller, "probe")
        probe.cancel()
        position = probe.place.position
