"""The names of settings: dotted (`throttle.rate`), and as the environment spells them."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel

from headgate.config.callers import CallerLimits, CallersSettings
from headgate.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

Path = tuple[str, ...]

PREFIX = "HEADGATE_"
# Read by the command line before there are settings.
CONFIG_VARIABLE = "HEADGATE_CONFIG"
# Kubernetes puts these into every pod beside a Service whose name begins with "headgate".
_SERVICE_LINK = re.compile(
    r"HEADGATE_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"HEADGATE_(\w+_)?PORT")


class Setting(NamedTuple):
    """One setting: `name` is `section.key`, or the key alone at the top."""

    name: str
    section: str
    key: str
    field: FieldInfo


def _settings() -> Iterator[Setting]:
    for key, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for inner, inner_field in field.annotation.model_fields.items():
                yield Setting(f"{key}.{inner}", key, inner, inner_field)
        else:
            yield Setting(key, "", key, field)


# Every setting in the order of the models, without the tables of named callers.
SETTINGS = tuple(_settings())
_PATHS = frozenset(tuple(setting.name.split(".")) for setting in SETTINGS)


def is_setting(path: Path) -> bool:
    """Whether `path` names a setting, one in a named caller's table included."""
    return path in _PATHS or (_in_caller(path) and path[2] in CallerLimits.model_fields)


def nearest(path: Path) -> str | None:
    """The known dotted name that looks most like `path`, or has its last word; None: none does."""
    known = [setting.name for setting in SETTINGS]
    if _in_caller(path):
        known = [".".join((*path[:2], key)) for key in CallerLimits.model_fields]
    if near := difflib.get_close_matches(".".join(path), known, n=1):
        return near[0]
    return next((name for name in known if name.rpartition(".")[2] == path[-1]), None)


def flag(name: str) -> str:
    """`throttle.rate` as --throttle.rate, and `http_listen` as --http-listen."""
    return f"--{name}" if "." in name else f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """`throttle.rate` as HEADGATE_THROTTLE__RATE."""
    return PREFIX + name.replace(".", "__").upper()


def is_service_link(name: str, value: str) -> bool:
    """Whether a HEADGATE_ variable is not ours: Kubernetes made it for a Service of that name."""
    if _SERVICE_LINK.fullmatch(name):
        return True
    return bool(_SERVICE_PORT.fullmatch(name)) and "://" in value


def _in_caller(path: Path) -> bool:
    return len(path) == 3 and path[0] == "callers" and path[1] not in CallersSettings.model_fields
