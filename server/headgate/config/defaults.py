"""A setting's default in words, for the help and the README: profiles and sandbox included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.config.section import MIB
from headgate.config.settings import PROFILES, SANDBOX_DEFAULTS

if TYPE_CHECKING:
    from headgate.config.names import Setting


def default_text(setting: Setting) -> str:
    """`2 (openai, unlimited: inf)`; `none` where there is no value."""
    others: dict[str, list[str]] = {}
    for who, value in _exceptions(setting):
        others.setdefault(_text(value), []).append(who)
    notes = "; ".join(f"{', '.join(names)}: {value}" for value, names in others.items())
    default = _text(setting.field.default)
    return f"{default} ({notes})" if notes else default


def _exceptions(setting: Setting) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = [
        (profile, sections[setting.section][setting.key])
        for profile, sections in PROFILES.items()
        if setting.key in sections.get(setting.section, {})
    ]
    if setting.name in SANDBOX_DEFAULTS:
        found.append(("sandbox", SANDBOX_DEFAULTS[setting.name]))
    return found


def _text(value: object) -> str:
    match value:
        case None | [] | {}:
            return "none"
        case bool():
            return str(value).lower()
        case int() if value >= MIB and value % MIB == 0:
            return f"{value // MIB} MiB"
        case int() | float():
            return f"{value:g}"
        case list():
            return ", ".join(map(str, value))
    return str(value)
