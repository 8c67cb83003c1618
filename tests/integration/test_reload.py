"""SIGHUP: other limits, prompts, callers and keys under running and waiting calls."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest

from headgate.config import ConfigError, renewed
from headgate.reload import Reload
from headgate.signals import meanwhile
from headgate.v1 import chat_pb2_grpc
from support.gateway import TRUSTING, ask, gateway, settings, trailer
from support.raw_upstream import RawUpstream, answers, says
from support.service import Service, serving
from support.traffic import SLOT, SLOW, gaps, held, texts, waiting

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.config import Settings
    from headgate.gateway import Gateway
    from headgate.service_manager import ServiceManager

Code = grpc.StatusCode


async def reload(running: Gateway, **sections: Any) -> None:
    """As at SIGHUP, with these sections in the file."""
    before = running.settings
    wanted = settings(before.upstream.url or "", **sections)
    await running.renew(renewed(before, before.model_copy(), _same_ports(before, wanted)))


def _same_ports(before: Any, wanted: Any) -> Any:
    fixed = {"listen": before.listen, "http_listen": before.http_listen}
    return wanted.model_copy(update=fixed)


async def test_who_waits_and_who_runs_is_not_disturbed() -> None:
    """A running stream goes on, a waiting call keeps its place and starts at the new cap."""
    async with held() as (upstream, caller, release):
        told = [await waiting(caller.named(name), name) for name in ("a", "b")]
        await reload(caller.gateway, throttle={"max_in_flight": 2}, callers=TRUSTING)
        await told[0].rest()
        await told[1].rest()
        assert texts(upstream) == ["holder", "a", "b"]
        release.set()


async def test_a_slower_pace_holds_from_the_last_attempt_on() -> None:
    """The attempt before the reload was written under the old one: the longer gap follows it."""
    slower = {"rate": 1.25, "min_interval": 0.8}
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=SLOW) as caller,
    ):
        await caller.chat("first")
        told = await waiting(caller, "second")
        await reload(caller.gateway, throttle=slower)
        await told.rest()
        await caller.chat("third")
    assert min(gaps(upstream)) >= 0.8


async def test_a_faster_pace_does_not_jump_ahead() -> None:
    """Within a second of what was written under the old one, its gap still holds."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, throttle=SLOW) as caller,
    ):
        await caller.chat("first")
        told = await waiting(caller, "second")
        await reload(caller.gateway, profile="unlimited")
        await told.rest()
    assert gaps(upstream)[0] >= SLOW["min_interval"]
    assert gaps(upstream)[0] < 2 * SLOT


async def test_rules_prompt_and_key_change_for_the_next_call() -> None:
    """What is sent upstream is of the new settings, headers and bearer token included."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, upstream={"api_key": "k-old"}) as caller,
    ):
        await caller.chat("first")
        refused = await caller.refused(extra={"top_k": 3})
        await reload(
            caller.gateway,
            upstream={"api_key": "k-new", "headers": {"x-team": "a"}, "extra_allowed": ["top_k"]},
            system_prompt={"text": "Be brief."},
        )
        await caller.chat("second", extra={"top_k": 3})

    first, second = upstream.requests
    assert refused.code() is Code.INVALID_ARGUMENT
    assert first.headers["authorization"] == "Bearer k-old"
    assert (second.headers["authorization"], second.headers["x-team"]) == ("Bearer k-new", "a")
    assert [m["content"] for m in first.json["messages"]] == ["first"]
    assert [m["content"] for m in second.json["messages"]] == ["Be brief.", "second"]
    assert second.json["top_k"] == 3


async def test_callers_get_other_limits_and_other_rights() -> None:
    """What a caller has used of its allowance counts; whom nobody trusts is nobody again."""
    async with (
        RawUpstream(says("Hello")) as upstream,
        gateway(upstream.url, callers=TRUSTING | {"bob": {"rate": 0.01}}) as caller,
    ):
        bob = caller.named("bob")
        await bob.chat()
        assert trailer(await bob.refused(timeout=5), "headgate-reason") == "CALLER_LIMIT"
        await reload(caller.gateway, callers=TRUSTING | {"bob": {"rate": 0.02}})
        assert trailer(await bob.refused(timeout=5), "headgate-reason") == "CALLER_LIMIT"
        await reload(caller.gateway, callers=TRUSTING | {"bob": {"methods": ["Chat"]}})
        await bob.chat()
        assert (await bob.refused()).code() is Code.PERMISSION_DENIED
        await reload(caller.gateway, callers={"bob": {"methods": []}})
        await bob.chat()


async def test_retries_change_for_the_next_call() -> None:
    """A failing upstream is asked as often as the new settings say."""
    async with (
        RawUpstream(answers(b"{}", status="503 Busy")) as upstream,
        gateway(upstream.url, retry={"max_attempts": 2, "initial_backoff": 0.01}) as caller,
    ):
        await caller.refused()
        await reload(caller.gateway, retry={"max_attempts": 1})
        await caller.refused()
    assert len(upstream.requests) == 3


def caller_of(channel: grpc.aio.Channel) -> chat_pb2_grpc.ChatServiceAsyncStub:
    return cast("chat_pb2_grpc.ChatServiceAsyncStub", chat_pb2_grpc.ChatServiceStub(channel))


async def answer(running: Service) -> None:
    async with grpc.aio.insecure_channel(running.address) as channel:
        await caller_of(channel).Chat(ask(), timeout=20)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_signal_reloads_all_or_nothing(workers: int, tmp_path: Path) -> None:
    """A wrong file is one line for each reason, and the old settings stay; a right one holds."""
    file, key = tmp_path / "headgate.toml", tmp_path / "key"
    key.write_text("k-1")
    common = f"[server]\nworkers = {workers}\n[upstream]\napi_key_file = '{key}'\n"
    file.write_text(common + "[throttle]\nrate = 20\nmin_interval = 0\n")
    async with RawUpstream(says("Hello")) as upstream:
        flags = ("--upstream", upstream.url, "--config", str(file), "--server.grace", "5")
        async with serving(*flags) as running:
            await answer(running)
            key.write_text("k-2")
            file.write_text(common + "[throttle]\nrate = 0\nmin_interval = -1\n")
            running.send(signal.SIGHUP)
            why = [(await running.event("reload_refused"))["why"] for _ in range(2)]
            await answer(running)
            file.write_text(f"http_listen = '127.0.0.1:0'\n{common}[throttle]\nrate = 30\n")
            running.send(signal.SIGHUP)
            fixed = (await running.event("reload_refused"))["why"]
            file.write_text(common + "[throttle]\nrate = 30\nmin_interval = 0\n")
            running.send(signal.SIGHUP)
            done = await running.event("reloaded")
            for _ in range(4):
                await answer(running)
            running.send(signal.SIGTERM)
            status = await running.end()

    assert [line.partition(" ")[0] for line in why] == ["throttle.rate:", "throttle.min_interval:"]
    assert fixed.startswith("http_listen cannot change from none to 127.0.0.1:0")
    assert done["changed"] == ["upstream.api_key", "throttle.rate"]
    keys = [request.headers["authorization"] for request in upstream.requests]
    assert keys == ["Bearer k-1"] * 2 + ["Bearer k-2"] * 4
    assert status == 0


class Manager:
    """Stands where the service manager would, and keeps what it was told."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[str] = asyncio.Queue()

    def reloading(self) -> None:
        self._heard.put_nowait("reloading")

    def ready(self, status: str) -> None:
        self._heard.put_nowait(status)

    async def reload(self) -> str:
        """What it hears of one, from its beginning to its end."""
        async with asyncio.timeout(10):
            assert await self._heard.get() == "reloading"
            return await self._heard.get()


async def test_a_reload_that_fails_is_not_the_last() -> None:
    """The manager hears of the end of each one, whatever broke it."""
    manager, failures = Manager(), [OSError(), RuntimeError("broken"), ConfigError(["wrong"])]
    async with RawUpstream() as upstream, gateway(upstream.url) as caller:
        before = caller.gateway.settings

        def load() -> Settings:
            if failures:
                raise failures.pop()
            return before

        reloads = Reload(caller.gateway, load, before, cast("ServiceManager", manager))
        asked = asyncio.Event()
        async with meanwhile(reloads.obey(asked)):
            for end in ("reload refused", "reload failed", "reload failed", "limits"):
                asked.set()
                assert (await manager.reload()).startswith(end)


async def test_workers_share_the_new_pace(tmp_path: Path) -> None:
    """The supervisor keeps one schedule, and no gap across the reload is too small."""
    file = tmp_path / "headgate.toml"
    fast, slow = "[throttle]\nrate = 20\nmin_interval = 0.05\n", "[throttle]\nmin_interval = 0.2\n"
    file.write_text(fast + "margin = 0.05\n")
    async with RawUpstream(says("Hello")) as upstream:
        flags = ("--upstream", upstream.url, "--config", str(file), "--workers", "2")
        async with serving(*flags) as running:
            calls = [asyncio.create_task(answer(running)) for _ in range(20)]
            await upstream.until(lambda: len(upstream.requests) == 4)
            file.write_text(slow + "rate = 5\nmargin = 0.05\n")
            running.send(signal.SIGHUP)
            await running.event("reloaded")
            known = asyncio.get_running_loop().time()
            await asyncio.gather(*calls)
            running.send(signal.SIGTERM)
            assert await running.end() == 0
    late = [request.at for request in upstream.requests if request.at > known]
    assert len(late) >= 4
    assert min(later - earlier for earlier, later in pairwise(late)) >= 0.2


async def test_a_worker_that_comes_later_has_the_new_settings(tmp_path: Path) -> None:
    """And what files held at the reload, whatever they hold by then."""
    file, key = tmp_path / "headgate.toml", tmp_path / "key"
    key.write_text("k-1")
    file.write_text(f"[upstream]\napi_key_file = '{key}'\n[server]\nworkers = 2\n")
    async with RawUpstream(says("Hello")) as upstream:
        flags = ("--upstream", upstream.url, "--config", str(file), "--profile", "published")
        async with serving(*flags) as running:
            key.write_text("k-2")
            running.send(signal.SIGHUP)
            await running.event("reloaded")
            key.unlink()
            line = next(line for line in running.said if "(processes " in line)
            first = int(line.partition("(processes ")[2].partition(",")[0])
            os.kill(first, signal.SIGKILL)
            await running.event("worker_ready")
            await answer(running)
            running.send(signal.SIGTERM)
            assert await running.end() == 0
    assert upstream.requests[-1].headers["authorization"] == "Bearer k-2"
