"""Puts the sources together: flags over environment over file over defaults."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from headgate.config.complaint import complaints
from headgate.config.fault import ConfigError
from headgate.config.names import (
    CONFIG_VARIABLE,
    PREFIX,
    Path,
    flag,
    is_service_link,
    is_setting,
    nearest,
    variable,
)
from headgate.config.otel import from_otel
from headgate.config.settings import PROFILES, Settings

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator, Mapping


_ALL_SETTINGS = "`headgate check` prints all settings"


class Source(NamedTuple):
    """Values by path, and how the place of a setting is called in this source."""

    values: Mapping[Path, object]
    place: Callable[[str], str]

    def unknown(self) -> Iterator[str]:
        """One line for each key that no setting has."""
        for path in self.values:
            if not is_setting(path):
                here, near = self.place(".".join(path)), nearest(path)
                advice = f"did you mean {self.place(near)}?" if near else _ALL_SETTINGS
                yield f"unknown setting {here}; {advice}"


def load(
    flags: Mapping[str, object],
    env: Mapping[str, str],
    file: pathlib.Path | None,
    *,
    defaults: Mapping[str, object] | None = None,
) -> Settings:
    """The settings of this process.

    Args:
        flags: values by dotted name (`throttle.rate`); they win over everything.
        env: the environment: HEADGATE_ names, `__` stands for the dot; and beneath the file those
            of OpenTelemetry.
        file: a TOML file, or None.
        defaults: values by dotted name that a command puts beneath everything else.

    Raises:
        ConfigError: with one line for each thing that is wrong.
    """
    otel = from_otel(env)
    sources = [
        Source({tuple(name.split(".")): value for name, value in flags.items()}, flag),
        Source(_from_environment(env), variable),
        Source(_from_toml(file) if file else {}, lambda name: f"{name} in {file}"),
        Source(
            {tuple(name.split(".")): found.value for name, found in otel.items()},
            lambda name: otel[name].variable,
        ),
    ]
    if lines := [line for source in sources for line in source.unknown()]:
        raise ConfigError(lines)
    values: dict[Path, object] = {
        tuple(name.split(".")): value for name, value in (defaults or {}).items()
    }
    origins: dict[str, str] = {}
    for source in reversed(sources):
        values.update(source.values)
        origins.update({(name := ".".join(path)): source.place(name) for path in source.values})
    try:
        settings = Settings.model_validate(_tree(values))
    except ValidationError as error:
        raise ConfigError(complaints(error, origins)) from None
    settings.origins.update(_from_profile(settings.profile) | origins)
    settings.upstream.read_api_key()
    settings.system_prompt.read_text()
    return settings


def _from_environment(env: Mapping[str, str]) -> dict[Path, str]:
    return {
        tuple(name.removeprefix(PREFIX).lower().split("__")): value
        for name, value in env.items()
        if name.startswith(PREFIX) and name != CONFIG_VARIABLE and not is_service_link(name, value)
    }


def _from_toml(file: pathlib.Path) -> dict[Path, object]:
    try:
        return dict(_leaves((), tomllib.loads(file.read_text(encoding="utf-8-sig"))))
    except OSError as error:
        raise ConfigError([f"cannot read {file}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file} is not UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file} is not TOML: {str(error).splitlines()[0]}"]) from None


def _leaves(path: Path, value: object) -> Iterator[tuple[Path, object]]:
    """Every value by its path; a table that is itself the value of a setting is one value."""
    if isinstance(value, dict) and not is_setting(path):
        for key, inner in value.items():
            yield from _leaves((*path, key), inner)
    else:
        yield path, value


def _from_profile(profile: str) -> dict[str, str]:
    return {
        f"{section}.{key}": f"profile {profile}"
        for section, values in PROFILES[profile].items()
        for key in values
    }


def _tree(values: Mapping[Path, object]) -> dict[str, Any]:
    """`{("a", "b"): 1}` as `{"a": {"b": 1}}`."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    return tree
