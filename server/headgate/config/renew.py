"""Which settings can change while a server runs, and what a reload makes of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from headgate.config.complaint import show
from headgate.config.fault import ConfigError
from headgate.config.names import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.config.settings import Settings
    from headgate.config.throttle import ThrottleSettings

# Whole sections, and single settings. A profile is a set of defaults: what it sets is looked at.
LIVE = frozenset(
    {
        "profile",
        "upstream.api_key",
        "upstream.api_key_file",
        "upstream.headers",
        "upstream.extra_allowed",
        "throttle.rate",
        "throttle.min_interval",
        "throttle.burst",
        "throttle.margin",
        "throttle.max_in_flight",
        "throttle.max_queue",
        "throttle.max_wait",
        "throttle.max_cooldown",
        "retry",
        "callers",
        "system_prompt",
        "server.drain_delay",
        "server.grace",
        "log.level",
        "log.access",
        "log.addresses",
    }
)


def is_live(name: str) -> bool:
    """Whether the setting of this dotted name can change without a restart."""
    return name in LIVE or name.partition(".")[0] in LIVE


def without_files(settings: Settings) -> Settings:
    """The same, with what the files of live settings hold in place of their names.

    So that all who get these settings get the same, at whatever time.

    Raises:
        ConfigError: a file cannot be read.
    """
    upstream, prompt = settings.upstream, settings.system_prompt
    key = upstream.read_api_key()
    secret = {"api_key": None if key is None else SecretStr(key), "api_key_file": None}
    text = {"text": prompt.read_text() or None, "file": None}
    return settings.model_copy(
        update={
            "upstream": upstream.model_copy(update=secret),
            "system_prompt": prompt.model_copy(update=text),
        }
    )


def renewed(running: Settings, before: Settings, wanted: Settings) -> Settings:
    """What a running server goes on with: all of it, or nothing.

    Args:
        running: its settings, with the ports and the upstream that it really has.
        before: as they were loaded the last time.
        wanted: as they are loaded now.

    Raises:
        ConfigError: with one line for each setting that differs and cannot change live.
    """
    if lines := [*_fixed(before, wanted), *_without_schedule(running, wanted)]:
        raise ConfigError(lines)
    wanted = without_files(wanted)
    live: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS:
        if is_live(setting.name):
            live.setdefault(setting.section, {})[setting.key] = _value(wanted, setting.name)
    update: dict[str, Any] = live.pop("")
    for section, values in live.items():
        update[section] = getattr(running, section).model_copy(update=values)
    update["callers"] = wanted.callers  # with the named ones
    return running.model_copy(update=update)


def changes(before: Settings, after: Settings) -> list[str]:
    """The dotted names of the settings that differ; a named caller's as `callers.NAME`."""
    names = [s.name for s in SETTINGS if _value(before, s.name) != _value(after, s.name)]
    old, new = before.callers.overrides, after.callers.overrides
    named = [f"callers.{name}" for name in {**old, **new} if old.get(name) != new.get(name)]
    return [*names, *named]


def _fixed(before: Settings, wanted: Settings) -> Iterator[str]:
    for name in changes(before, wanted):
        if not is_live(name):
            was, would = (_words(name, _value(which, name)) for which in (before, wanted))
            yield f"{name} cannot change from {was} to {would} while headgate runs; restart it"


def _without_schedule(running: Settings, wanted: Settings) -> Iterator[str]:
    """Workers share a schedule from their start, or none."""
    had, has = _paced(running.throttle), _paced(wanted.throttle)
    if running.server.workers > 1 and had != has:
        word = "none to some" if has else "some to none"
        yield (
            f"throttle.rate and min_interval: with server.workers a pace cannot change from {word}"
            " while headgate runs; restart it"
        )


def _paced(throttle: ThrottleSettings) -> bool:
    return throttle.rate != math.inf or throttle.min_interval > 0


def _value(settings: Settings, name: str) -> object:
    section, _, key = name.rpartition(".")
    return getattr(getattr(settings, section) if section else settings, key)


def _words(name: str, value: object) -> str:
    return "none" if value in (None, [], {}) else show(name, value)
