"""The metrics of several: workers behind one port of their supervisor's, replicas on one Redis."""

from __future__ import annotations

import os
import re
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp

from headgate.workers.supervisor import show_metrics
from support.gateway import gateway
from support.raw_upstream import RawUpstream, says
from support.redis_server import needs_redis, redis_server
from support.scrape import page, scrape, state
from support.traffic import GAP
from support.workers import command, workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METRICS: dict[str, Any] = {"listen": "127.0.0.1:0"}
PACE: dict[str, Any] = {"rate": 20, "min_interval": GAP, "margin": GAP}


async def until(address: str | None, condition: Callable[[Any], bool]) -> Any:
    """Ask for the page of state until it is so."""
    while not condition(told := await state(address)):
        pass
    return told


async def test_one_port_tells_what_all_workers_counted() -> None:
    """Each worker's samples under its number, the supervisor's as its own; the sums are right."""
    async with (
        RawUpstream(says("a", "b")) as upstream,
        workers(upstream.url, metrics=METRICS, throttle=PACE) as company,
        AsyncExitStack() as stack,
    ):
        address = await show_metrics(company.supervisor, METRICS["listen"], stack)
        of_each = await company.of_each()
        asked = len(upstream.requests)
        for worker, calls in ((0, 2), (1, 1)):
            for _ in range(calls):
                await of_each[worker].events()
        said, told = await scrape(address), await state(address)
        ready = await page(address, "/readyz")
        pids = company.supervisor.pids

    streamed = {
        worker: said.total("headgate_rpcs_total", worker=worker, method="StreamChat", code="OK")
        for worker in ("0", "1")
    }
    assert streamed == {"0": 2, "1": 1}
    assert said.total("headgate_attempts_total") == asked + 3
    assert said.total("headgate_deltas_total") == 6
    assert said.values("worker") == {"0", "1", "supervisor"}
    assert all("worker" in sample.labels for sample in said.samples)
    assert said.total("headgate_workers") == said.total("headgate_workers_wanted") == 2
    assert len(said.find("process_resident_memory_bytes")) == 3
    assert said.by("headgate_store_up", "store", "worker") == {
        ("supervisor", "0"): 1,
        ("supervisor", "1"): 1,
    }
    assert (told["phase"], told["schedule_members"], ready) == ("serving", [0, 1], "ok\n")
    assert {int(number): worker["pid"] for number, worker in told["workers"].items()} == pids
    stores = [told["workers"][number]["store"] for number in ("0", "1")]
    assert [(store["kind"], store["members"], store["rank"]) for store in stores] == [
        ("supervisor", 2, 0),
        ("supervisor", 2, 1),
    ]


async def test_a_worker_that_hangs_keeps_nobody_from_the_others_counts() -> None:
    """Its samples are missing, and that they are is counted."""
    async with (
        RawUpstream(says("a")) as upstream,
        workers(upstream.url, metrics=METRICS) as company,
        AsyncExitStack() as stack,
    ):
        address = await show_metrics(company.supervisor, METRICS["listen"], stack)
        hung = company.supervisor.pids[1]
        os.kill(hung, signal.SIGSTOP)
        try:
            said = await scrape(address)
        finally:
            os.kill(hung, signal.SIGCONT)

    assert said.values("worker") == {"0", "supervisor"}
    assert said.total("headgate_workers_silent_total") == 1


async def test_the_command_says_where_its_metrics_are() -> None:
    """`serve --workers 2 --metrics.listen`: one line at the start, and a page behind it."""
    async with (
        RawUpstream(says("a")) as upstream,
        command("--upstream", upstream.url, "--metrics.listen", "127.0.0.1:0") as running,
    ):
        found = re.search(r"headgate: metrics on (\S+)\n", running.said)
        assert found
        await running.caller().chat()
        said = await scrape(found[1])
        assert said.total("headgate_rpcs_total", code="OK") == 1
        told = await state(found[1])
        assert sorted(worker["pid"] for worker in told["workers"].values()) == sorted(running.pids)
        assert "phase" in told["workers"]["0"]


@needs_redis
async def test_replicas_see_each_other_and_a_lost_store(tmp_path: Path) -> None:
    """Members, ranks and shares on each replica's page; lost since, and found again."""
    async with redis_server(str(tmp_path)) as redis:
        shared = PACE | {"store": redis.url, "store_timeout": 2}
        sections: dict[str, Any] = {"metrics": METRICS, "throttle": shared}
        async with (
            RawUpstream(says("a")) as upstream,
            gateway(upstream.url, **sections) as one,
            gateway(upstream.url, **sections) as two,
        ):
            addresses = [caller.gateway.metrics_address for caller in (one, two)]
            fine = [await until(a, lambda told: told["store"]["members"] == 2) for a in addresses]
            await one.chat()
            used = (await scrape(addresses[0])).total("headgate_store_grants_total", event="used")
            await redis.stop()
            lost = await until(addresses[0], lambda told: told["store"]["status"] == "lost")
            said = await scrape(addresses[0])
            await redis.start()
            found = await until(addresses[0], lambda told: told["store"]["status"] == "ok")

    assert {told["store"]["rank"] for told in fine} == {0, 1}
    assert {told["store"]["kind"] for told in fine} == {"redis"}
    assert {told["store"]["share"] for told in fine} == {1.0}
    assert used == 1
    assert lost["store"]["share"] == 0.5
    assert lost["store"]["lost_since"] <= lost["time"]
    assert lost["store"]["losses"] == 1
    assert said.find("headgate_store_up", store="redis")[0].value == 0
    assert said.total("headgate_store_losses_total") == 1
    assert found["store"]["lost_since"] is None


async def test_nothing_listens_when_the_workers_are_gone() -> None:
    """The port lives as long as the stack that was given."""
    async with (
        RawUpstream(says("a")) as upstream,
        workers(upstream.url, metrics=METRICS) as company,
    ):
        async with AsyncExitStack() as stack:
            address = await show_metrics(company.supervisor, METRICS["listen"], stack)
            assert await page(address, "/healthz") == "ok\n"
        assert await _refused(address)
        assert await show_metrics(company.supervisor, None, AsyncExitStack()) is None


async def _refused(address: str | None) -> bool:
    try:
        async with aiohttp.ClientSession() as client:
            await client.get(f"http://{address}/healthz")
    except aiohttp.ClientConnectorError:
        return True
    return False
