"""The page of state: what an operator asks first, as one JSON object."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headgate import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.telemetry.house import House

State = dict[str, Any]


def state_of(house: House, *, wall: Callable[[], float] = time.time) -> State:
    """What is true at this moment; seconds, and instants as RFC 3339 has them.

    None stands for what is not known, and for a limit that there is not.
    """
    house.store.look()  # first, so that nothing was lost later than now
    now, throttle = wall(), house.turnstile.throttle
    slot, instant = house.next_slot(), house.clock()
    call = throttle.predict(instant, "")
    return {
        "version": __version__,
        "time": _instant(now),
        "phase": house.phase,
        "schedule": {
            "interval_seconds": house.interval,
            "next_slot": _due(slot, now),
            "a_call_now": _due(max(0.0, call.at - instant), now)
            | {"position": call.position, "exact": call.exact},
            "pause_seconds": _seconds(house.pause()),
        },
        "queue": {
            "waiting": throttle.waiting,
            "limit": _finite(house.limits.max_queue),
            "by_priority": {name: depth for name, depth in house.queue.depth.items() if depth},
        },
        "in_flight": {"now": throttle.in_flight, "limit": _finite(house.limits.max_in_flight)},
        "store": _store(house),
        "retry_budget": {
            "left": _seconds(house.budget.left()),
            "retries": house.budget.spent,
            "denied": house.budget.denied,
        },
        "calls": {
            "running": house.calls.running["calls"],
            "streams": house.calls.running["streams"],
        },
    }


def _store(house: House) -> State:
    watch = house.store
    return {
        "kind": watch.kind,
        "name": watch.name,
        "status": "lost" if watch.lost else "ok",
        "lost_since": None if watch.lost_since is None else _instant(watch.lost_since),
        "losses": watch.losses,
        "members": watch.members,
        "rank": watch.rank,
        "share": watch.share,
        "grants": watch.counts,
    }


def _due(seconds: float, now: float) -> State:
    known = seconds < math.inf
    return {
        "in_seconds": _seconds(seconds) if known else None,
        "at": _instant(now + seconds) if known else None,
    }


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _seconds(seconds: float) -> float:
    return round(seconds, 3)


def _finite(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None
