"""Shows settings to a person: as TOML that can be fed back, and as one line of limits."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from headgate.config.callers import CallerLimits
from headgate.config.names import SETTINGS
from headgate.config.section import SECRET_QUERIES, SECRETS
from headgate.config.values import HIDDEN, conceal, conceal_query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.config.settings import Settings


def effective(config: Settings) -> str:
    """Every setting with its value and, where it was set, its source; secrets are hidden.

    The text is TOML that gives the same settings again, but for the secrets.
    """
    return "\n".join(_lines(config)) + "\n"


def _lines(config: Settings) -> Iterator[str]:
    section = ""
    for setting in SETTINGS:
        if setting.section != section:
            section = setting.section
            yield f"\n[{section}]"
        holder = getattr(config, section) if section else config
        yield _entry(setting.name, setting.key, getattr(holder, setting.key), config)
        if setting.name == "callers.trusted_peers":
            yield from _named_callers(config)


def _named_callers(config: Settings) -> Iterator[str]:
    for caller, limits in config.callers.overrides.items():
        yield f"\n[callers.{_quoted(caller)}]"
        for key in CallerLimits.model_fields:
            value = getattr(limits, key)
            if value != getattr(config.callers, key):
                yield _entry(f"callers.{caller}.{key}", key, value, config)


def _entry(name: str, key: str, value: object, config: Settings) -> str:
    origin = config.origins.get(name)
    note = f"from {origin}" if origin else ""
    if value is None:
        return f"# {key} is not set"
    shown = _toml(value)
    hidden = _hidden(name, value)
    if hidden == shown:
        return f"{key} = {shown}" + (f"  # {note}" if note else "")
    return f"# {key} = {hidden}  # {note}{'; ' if note else ''}hidden, set it again"


def _hidden(name: str, value: object) -> str:
    if name in SECRET_QUERIES:
        return _toml(conceal_query(str(value)))
    if name not in SECRETS:
        return conceal(_toml(value))
    return _toml(dict.fromkeys(value, HIDDEN) if isinstance(value, dict) else HIDDEN)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "inf" if value == math.inf else repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = [f"{_quoted(key)} = {_toml(inner)}" for key, inner in value.items()]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but TOML has none in pairs and does not allow a bare DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def limits_line(config: Settings) -> str:
    """The effective limits in one line, for the log at the start."""
    throttle, retry = config.throttle, config.retry
    parts = [
        _pace("attempts", throttle.rate, throttle.min_interval, throttle.burst),
        f"{_count(throttle.max_in_flight)} in flight",
        f"{_count(throttle.max_queue)} queued for {_at_most(throttle.max_wait)}",
        f"{retry.max_attempts} attempts a call",
        "each caller: "
        + _pace("calls", config.callers.rate, config.callers.min_interval, config.callers.burst),
    ]
    return f"limits (profile {config.profile}): " + "; ".join(parts)


def _pace(what: str, rate: float, gap: float, burst: int) -> str:
    words = []
    if rate != math.inf:
        words.append(f"{rate:g} {what}/s" + (f" in bursts of {burst}" if burst > 1 else ""))
    if gap:
        words.append(f"{gap:g} s apart")
    return ", ".join(words) or "no pace"


def _count(limit: float) -> str:
    return "any number" if limit == math.inf else str(limit)


def _at_most(limit: float) -> str:
    return "any time" if limit == math.inf else f"at most {limit:g} s"
