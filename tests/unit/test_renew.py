"""What a reload may change, what it may not, and that it takes all or nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from headgate.config import ConfigError, Settings, changes, load, renewed, without_files
from headgate.config.names import SETTINGS
from headgate.config.renew import is_live
from headgate.reload import Reload
from headgate.service_manager import ServiceManager

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://h/api"


def made(**sections: Any) -> Settings:
    upstream = {"url": URL, **sections.pop("upstream", {})}
    return Settings.model_validate(sections | {"upstream": upstream})


def refusal(before: Settings, wanted: Settings, running: Settings | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        renewed(running or before, before, wanted)
    return caught.value.lines


def test_the_documented_settings_are_live() -> None:
    """An operator reads the list in deploy/docs/run.md."""
    assert [setting.name for setting in SETTINGS if is_live(setting.name)] == [
        "profile",
        "upstream.api_key",
        "upstream.api_key_file",
        "upstream.headers",
        "upstream.extra_allowed",
        "throttle.rate",
        "throttle.min_interval",
        "throttle.burst",
        "throttle.max_in_flight",
        "throttle.max_queue",
        "throttle.max_wait",
        "throttle.margin",
        "throttle.max_cooldown",
        *(f"retry.{key}" for key in ("max_attempts", "initial_backoff", "max_backoff")),
        *(f"retry.{key}" for key in ("backoff_multiplier", "budget", "budget_floor")),
        *(s.name for s in SETTINGS if s.section == "callers"),
        *(f"system_prompt.{key}" for key in ("text", "file", "mode", "allow_override")),
        "server.drain_delay",
        "server.grace",
        "log.level",
        "log.access",
        "log.addresses",
    ]


def test_live_settings_come_from_the_new_ones() -> None:
    """With the callers' tables; all else is as it runs, real ports included."""
    before = made(callers={"bob": {"rate": 3}})
    running = before.model_copy(update={"listen": "127.0.0.1:4711"})
    wanted = made(
        throttle={"rate": 5, "max_queue": 7},
        callers={"rate": 9, "eve": {"max_in_flight": 1}},
        retry={"max_attempts": 1},
        system_prompt={"text": "Be brief."},
        server={"grace": 3},
    )
    after = renewed(running, before, wanted)
    assert (after.listen, after.upstream.url) == ("127.0.0.1:4711", URL)
    assert (after.throttle.rate, after.throttle.max_queue, after.retry.max_attempts) == (5, 7, 1)
    assert (after.callers.of("bob").rate, after.callers.of("eve").max_in_flight) == (9, 1)
    assert (after.system_prompt.text, after.server.grace) == ("Be brief.", 3)


def test_each_setting_that_cannot_change_is_a_line() -> None:
    """All of them at once, with both values, secrets hidden; the live ones wait for the restart."""
    wanted = made(
        http_listen="127.0.0.1:1",
        upstream={"connect_timeout": 1},
        throttle={"rate": 9, "store_password": "hunter22"},
    )
    again = "while headgate runs; restart it"
    assert refusal(made(), wanted) == (
        f"http_listen cannot change from none to 127.0.0.1:1 {again}",
        f"upstream.connect_timeout cannot change from 5.0 to 1.0 {again}",
        f"throttle.store_password cannot change from none to *** {again}",
    )


def test_a_profile_is_judged_by_what_it_sets() -> None:
    """`unlimited` sets a pace, which is live; `openai` also a field's name, which is not."""
    assert renewed(made(), made(), made(profile="unlimited")).throttle.rate == float("inf")
    (line,) = refusal(made(), made(profile="openai"))
    assert line.startswith("upstream.max_tokens_field cannot change")


def test_workers_keep_their_schedule_or_their_lack_of_one() -> None:
    """They share it from their start."""
    paced, free = made(server={"workers": 2}), made(server={"workers": 2}, profile="unlimited")
    assert "a pace cannot change from some to none" in refusal(paced, free)[0]
    assert "a pace cannot change from none to some" in refusal(free, paced)[0]
    faster = made(server={"workers": 2}, throttle={"rate": 9})
    assert renewed(paced, paced, faster).throttle.rate == 9


def test_what_files_hold_goes_along(tmp_path: Path) -> None:
    """Read once, so that all workers have the same, those that start later too."""
    key, prompt = tmp_path / "key", tmp_path / "prompt"
    key.write_text("k-1\n")
    prompt.write_text("Be brief.\n")
    files = made(upstream={"api_key_file": str(key)}, system_prompt={"file": str(prompt)})
    before = without_files(files)
    key.write_text("k-2\n")
    after = renewed(before, files, files)
    assert (before.upstream.read_api_key(), after.upstream.read_api_key()) == ("k-1", "k-2")
    assert after.system_prompt.read_text() == "Be brief."
    assert changes(before, after) == ["upstream.api_key"]


def test_a_file_that_cannot_be_read_refuses_all(tmp_path: Path) -> None:
    """As at the start."""
    gone = made(throttle={"rate": 9}, system_prompt={"file": str(tmp_path / "gone")})
    assert refusal(made(), gone)[0].startswith("system_prompt.file: cannot read")


class Server:
    """Goes on with whatever it is told."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def renew(self, settings: Settings) -> None:
        self.settings = settings


def from_file(file: Path) -> Settings:
    return load({"upstream.url": URL}, {}, file)


async def test_a_reload_is_told_in_the_log(tmp_path: Path) -> None:
    """What has changed, and the limits that hold now; of a refused one why, and nothing holds."""
    file = tmp_path / "headgate.toml"
    file.write_text("[throttle]\nrate = 2")
    first = from_file(file)
    server = Server(first)
    reload = Reload(server, lambda: from_file(file), first, ServiceManager({}))
    with capture_logs() as logs:
        file.write_text("[throttle]\nrate = 4\n[callers.bob]\nrate = 1")
        await reload.once()
        file.write_text("listen = '127.0.0.1:1'\n[throttle]\nrate = 6")
        await reload.once()
        file.write_text("[throttle]\nraet = 6\nrate = 6")
        await reload.once()
    done, fixed, unknown = logs
    assert (done["event"], done["changed"]) == ("reloaded", ["throttle.rate", "callers.bob"])
    assert "4 attempts/s" in done["limits"]
    assert [fixed["event"], unknown["event"]] == ["reload_refused"] * 2
    assert fixed["why"].startswith("listen cannot change from 127.0.0.1:50051 to 127.0.0.1:1")
    assert unknown["why"].endswith("did you mean throttle.rate in " + f"{file}?")
    assert (server.settings.throttle.rate, server.settings.listen) == (4, "127.0.0.1:50051")


async def test_each_request_to_reload_is_heard(tmp_path: Path) -> None:
    """Also one that comes while the one before is still at work."""
    file = tmp_path / "headgate.toml"
    file.write_text("[throttle]\nrate = 2")
    first = from_file(file)
    asked, loads = asyncio.Event(), 0
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def loading() -> Settings:
        nonlocal loads
        loads += 1
        loop.call_soon_threadsafe(asked.set if loads == 1 else done.set)
        return from_file(file)

    reload = Reload(Server(first), loading, first, ServiceManager({}))
    obeying = asyncio.create_task(reload.obey(asked))
    asked.set()
    await done.wait()
    obeying.cancel()
    assert loads == 2
