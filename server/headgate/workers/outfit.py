"""The settings of one worker, and how settings travel to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from headgate.config import Settings
from headgate.workers.messages import Outfit, Renew

if TYPE_CHECKING:
    from headgate.config import ThrottleSettings


def keeps_schedule(throttle: ThrottleSettings) -> bool:
    """Whether the supervisor keeps a schedule: there is a pace, and no store has it."""
    return not throttle.shared and (throttle.rate != math.inf or throttle.min_interval > 0)


def outfit(settings: Settings, worker: int, *, again: bool) -> Outfit:
    """What the worker of this number gets.

    Args:
        settings: of the whole server, with ports that are not 0.
        worker: from 0 to `server.workers` - 1.
        again: it takes the place of one that died.
    """
    own = _own(settings, worker, again=again)
    return Outfit(plain_settings(own), own.origins, keeps_schedule(own.throttle), worker)


def renewal(settings: Settings, worker: int, number: int) -> Renew:
    """What the worker of this number is told at a reload."""
    own = _own(settings, worker, again=True)
    return Renew(number, plain_settings(own), own.origins)


def settings_of(outfit: Outfit | Renew) -> Settings:
    """The settings in it, as they were."""
    settings = Settings.model_validate(outfit.settings)
    settings.origins.update(outfit.origins)
    return settings


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Settings as JSON can carry them: secrets in clear, "no limit" as the text `inf`."""
    plain: dict[str, Any] = _plain(settings.model_dump())
    return plain


def _own(settings: Settings, worker: int, *, again: bool) -> Settings:
    """Limits that hold over the whole server are divided; each worker is one process."""
    workers, throttle = settings.server.workers, settings.throttle
    changes: dict[str, Any] = {
        "max_in_flight": _part(throttle.max_in_flight, workers, worker),
        "replicas": throttle.replicas * workers,
    }
    if again:
        # The others go on without the store, and so does whoever takes the place of one of them.
        changes["store_required"] = False
    own = {
        "throttle": throttle.model_copy(update=changes),
        "server": settings.server.model_copy(update={"workers": 1}),
    }
    return settings.model_copy(update=own)


def _part(limit: float, workers: int, worker: int) -> float:
    if limit == math.inf:
        return limit
    part, rest = divmod(int(limit), workers)
    return part + (worker < rest)


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return "inf" if value == math.inf else value
