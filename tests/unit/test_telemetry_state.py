"""The page of state and the gauges, over every kind of store."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from headgate.budget import RetryBudget
from headgate.telemetry.calls import CallMeter
from headgate.telemetry.gauges import Gauges
from headgate.telemetry.house import House, Limits
from headgate.telemetry.lag import EVERY, LoopLag
from headgate.telemetry.queue import MeteredTurnstile, QueueMeter
from headgate.telemetry.samples import exposition, families_of
from headgate.telemetry.state import state_of
from headgate.telemetry.store import StoreWatch
from headgate.throttle.ledger import Standing
from headgate.throttle.pacer import Pace
from headgate.throttle.shared_store import SharedStore
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import Throttle
from support.clockwork import HALF_SECOND, started
from support.scrape import Scrape

if TYPE_CHECKING:
    from headgate.throttle.store import Store

EPOCH = 1_800_000_000.0


class Rooms:
    """A house without a gateway around it; its clock stands at 50."""

    def __init__(self, store: Store, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        registry = CollectorRegistry()
        self.now = 50.0
        self.wall = EPOCH
        self.throttle = Throttle(store)
        queue = QueueMeter(registry)
        self.watch = StoreWatch(
            "redis" if isinstance(store, SharedStore) else "memory", store, wall=lambda: self.wall
        )
        self.house = House(
            turnstile=MeteredTurnstile(self.throttle, queue, lambda: self.now),
            budget=RetryBudget(0.2, 10),
            store=self.watch,
            limits=limits,
            calls=CallMeter(registry, ()),
            queue=queue,
            clock=lambda: self.now,
        )

    def state(self) -> Any:
        """As a reader of the page gets it."""
        return json.loads(json.dumps(state_of(self.house, wall=lambda: self.wall)))

    def scrape(self) -> Scrape:
        registry = CollectorRegistry()
        registry.register(Gauges(self.house))
        return Scrape.of(exposition(families_of(registry))[0].decode())


def test_the_next_slot_in_seconds_and_as_a_time_of_day() -> None:
    """A quarter of a second after a start, the next slot is a quarter away."""
    rooms = Rooms(MemoryStore(HALF_SECOND))
    ticket = started(rooms.throttle, rooms.now)
    rooms.now, rooms.wall = 50.25, EPOCH + 0.25
    schedule = rooms.state()["schedule"]
    assert schedule["next_slot"] == {"in_seconds": 0.25, "at": "2027-01-15T08:00:00.500+00:00"}
    assert schedule["a_call_now"] == schedule["next_slot"] | {"position": 1, "exact": True}
    assert schedule["interval_seconds"] == 0.5
    assert rooms.state()["in_flight"] == {"now": 1, "limit": None}
    assert rooms.scrape().total("headgate_next_slot_seconds") == 0.25
    assert rooms.scrape().total("headgate_in_flight") == 1
    rooms.throttle.leave(ticket, rooms.now)
    assert rooms.state()["in_flight"]["now"] == 0


def test_who_waits_puts_a_new_call_back_and_not_the_next_slot() -> None:
    """The slot is the schedule's; when a call would get one is another matter."""
    rooms = Rooms(MemoryStore(HALF_SECOND))
    started(rooms.throttle, rooms.now)
    rooms.throttle.enqueue(rooms.now, "anna")
    state = rooms.state()
    assert state["queue"]["waiting"] == 1
    assert state["schedule"]["next_slot"]["in_seconds"] == 0.5
    assert state["schedule"]["a_call_now"]["in_seconds"] == 1.0
    assert state["schedule"]["a_call_now"]["position"] == 2


async def test_a_pause_is_told_while_it_lasts() -> None:
    """In the page and as a gauge; the next slot comes behind it."""
    rooms = Rooms(MemoryStore(HALF_SECOND))
    rooms.house.turnstile.cooldown(8)
    rooms.now += 3
    assert rooms.state()["schedule"]["pause_seconds"] == 5
    assert rooms.state()["schedule"]["next_slot"]["in_seconds"] == 5
    assert rooms.scrape().total("headgate_pause_seconds") == 5
    assert rooms.scrape().total("headgate_pauses_total") == 1
    rooms.now += 5
    assert rooms.state()["schedule"]["pause_seconds"] == 0


def test_a_pause_that_another_member_heard_of_is_told_too() -> None:
    """A shared store passes it on."""
    store = SharedStore(Pace(rate=2, min_interval=0.5))
    rooms = Rooms(store)
    store.hear_pause(57.0)
    assert rooms.state()["schedule"]["pause_seconds"] == 7
    rooms.now = 58.0
    assert rooms.state()["schedule"]["pause_seconds"] == 0


def test_limits_that_there_are_not_are_null() -> None:
    """JSON has no infinity, and Prometheus needs no gauge for it."""
    rooms = Rooms(MemoryStore(HALF_SECOND), Limits(4, 100))
    assert rooms.state()["in_flight"]["limit"] == 4
    assert rooms.state()["queue"]["limit"] == 100
    assert rooms.scrape().total("headgate_in_flight_limit") == 4
    rooms = Rooms(MemoryStore(HALF_SECOND))
    assert rooms.state()["queue"]["limit"] is None
    assert rooms.scrape().find("headgate_in_flight_limit") == []


def test_a_store_that_is_lost_and_found() -> None:
    """Who shares the limit, this one's place, its share, and since when it is alone."""
    store = SharedStore(Pace(rate=2, min_interval=0.5))
    rooms = Rooms(store)
    store.hear(Standing([], 50.0, 4, 2, 0.0), 50.0, 0.001)
    fine = rooms.state()["store"]
    told = {name: fine[name] for name in ("status", "members", "rank", "share", "lost_since")}
    assert told == {"status": "ok", "members": 4, "rank": 2, "share": 1.0, "lost_since": None}
    assert rooms.scrape().by("headgate_store_up", "store") == {"redis": 1}
    store.lose(rooms.now)
    rooms.watch.look()
    rooms.wall += 90
    lost = rooms.state()["store"]
    assert (lost["status"], lost["share"]) == ("lost", 0.25)
    assert lost["lost_since"] == "2027-01-15T08:00:00.000+00:00"
    assert rooms.scrape().by("headgate_store_up", "store") == {}
    assert rooms.scrape().total("headgate_store_share") == 0.25
    store.find()
    assert rooms.state()["store"]["lost_since"] is None
    assert rooms.scrape().by("headgate_store_up", "store") == {"redis": 1}


def test_the_budget_counts_what_it_allowed_and_what_it_did_not() -> None:
    """Eleven retries at once against a floor of ten."""
    rooms = Rooms(MemoryStore(HALF_SECOND))
    for _ in range(11):
        rooms.house.budget.allow(rooms.now)
    assert rooms.scrape().total("headgate_retries_total") == 10
    assert rooms.scrape().total("headgate_retries_denied_total") == 1
    assert rooms.state()["retry_budget"] == {"left": 0, "retries": 10, "denied": 1}


def test_looking_changes_nothing() -> None:
    """Neither the page nor a scrape takes a slot, a place or a promise."""
    rooms = Rooms(MemoryStore(HALF_SECOND))
    started(rooms.throttle, rooms.now)
    waiting = rooms.throttle.enqueue(rooms.now, "anna")
    before = repr(rooms.throttle), rooms.throttle.outlook(waiting, rooms.now), waiting.told
    for _ in range(3):
        rooms.state()
        rooms.scrape()
    assert (
        repr(rooms.throttle),
        rooms.throttle.outlook(waiting, rooms.now),
        waiting.told,
    ) == before


async def test_the_loops_lag_is_how_late_the_timer_was() -> None:
    """Counted once a look, and the look goes on until it is stopped."""
    registry, clock, looked = CollectorRegistry(), [10.0], asyncio.Event()
    lag = LoopLag(registry, looked.set, lambda: clock[0])
    lag.start()
    clock[0] += EVERY + 0.75
    await looked.wait()
    lag.stop()
    said = Scrape.of(exposition(families_of(registry))[0].decode())
    assert said.total("headgate_event_loop_lag_seconds_count") == 1
    assert said.total("headgate_event_loop_lag_seconds_sum") == pytest.approx(0.75)
