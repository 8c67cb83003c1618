"""The memory store: what is written keeps its distance, whoever connects how slowly."""

from __future__ import annotations

import math

import pytest

from headgate.throttle.pacer import Pace
from headgate.throttle.store import MemoryStore, Slot, Store

PACE = Pace(rate=2, min_interval=0.5, margin=0)


def store() -> MemoryStore:
    return MemoryStore(PACE)


def written(store: Store, at: float) -> Slot:
    slot = store.take(at)
    assert store.start(slot, at) == at
    return slot


def test_the_memory_store_is_a_store() -> None:
    """It has the shape that other stores will have."""
    anything: Store = store()
    assert (anything.interval, anything.exact) == (0.5, True)


def test_the_first_slot_is_now() -> None:
    """A fresh schedule lets the first attempt start at once."""
    fresh = store()
    assert fresh.next_slot(7.0) == 7.0
    assert [fresh.forecast(7.0, ahead) for ahead in range(3)] == [7.0, 7.5, 8.0]


def test_the_next_slot_counts_from_the_write() -> None:
    """A granted slot that is written 200 ms later moves the next one by as much."""
    schedule = store()
    slot = schedule.take(0.0)
    assert schedule.next_slot(0.0) == 0.5
    assert schedule.start(slot, 0.2) == 0.2
    assert schedule.next_slot(0.3) == 0.7
    assert schedule.forecast(0.3, 1) == 1.2


def test_a_request_that_leaves_later_than_said_moves_the_next_slot() -> None:
    """`started` corrects the record, never to an earlier instant."""
    schedule = store()
    slot = written(schedule, 0.0)
    schedule.started(slot, 0.1)
    schedule.started(slot, 0.05)
    assert schedule.next_slot(0.2) == pytest.approx(0.6)


def test_an_unused_slot_comes_back() -> None:
    """A connect that failed frees its slot for the next at once."""
    schedule = store()
    slot = schedule.take(0.0)
    schedule.release(slot)
    assert schedule.next_slot(0.1) == 0.1


def test_a_used_slot_does_not_come_back() -> None:
    """Releasing after the write changes nothing: the upstream has seen it."""
    schedule = store()
    schedule.release(written(schedule, 0.0))
    assert schedule.next_slot(0.1) == 0.5


def test_a_hanging_connect_costs_one_interval() -> None:
    """After one interval the slot goes to the next, though the first still connects."""
    schedule = store()
    hanging = schedule.take(0.0)
    assert schedule.next_slot(0.4) == 0.5
    written(schedule, 0.5)
    written(schedule, 1.0)
    assert hanging.held is False
    assert schedule.next_slot(1.1) == 1.5


def test_an_overtaken_connect_takes_the_next_slot_before_all_who_wait() -> None:
    """It is never written into a gap too small, and waits for nobody else."""
    schedule = store()
    slow = schedule.take(0.0)
    written(schedule, 0.5)
    assert schedule.start(slow, 0.6) == 1.0
    assert schedule.next_slot(0.7) == 1.5
    assert schedule.start(slow, 1.0) == 1.0
    assert schedule.next_slot(1.0) == 1.5


def test_two_overtaken_connects_get_two_slots() -> None:
    """Held instants are as far apart as any others."""
    schedule = store()
    first = schedule.take(0.0)
    second = schedule.take(0.5)
    written(schedule, 1.0)
    assert schedule.start(second, 1.1) == 1.5
    assert schedule.start(first, 1.2) == 2.0
    assert schedule.next_slot(1.3) == 2.5
    assert schedule.start(second, 1.5) == 1.5
    assert schedule.start(first, 2.0) == 2.0


def test_a_connect_that_is_up_in_its_own_interval_keeps_its_slot() -> None:
    """Nobody is granted anything while the one before may still be written."""
    schedule = store()
    slot = schedule.take(0.0)
    assert schedule.next_slot(0.499) == 0.5
    assert schedule.start(slot, 0.499) == 0.499
    assert schedule.next_slot(0.499) == 0.999


def test_a_cooldown_moves_everybody_and_ends_by_time() -> None:
    """Nothing is written within it: not the next, and not who was granted before."""
    schedule = store()
    connecting = schedule.take(0.0)
    schedule.cooldown(10.0)
    assert schedule.start(connecting, 0.1) == 10.0
    assert schedule.next_slot(0.2) == 10.5
    assert schedule.start(connecting, 10.0) == 10.0
    assert schedule.next_slot(10.0) == 10.5
    assert schedule.next_slot(20.0) == 20.0


def test_a_shorter_cooldown_does_not_end_a_longer_one() -> None:
    """It tightens and never loosens."""
    schedule = store()
    schedule.cooldown(10.0)
    schedule.cooldown(2.0)
    assert schedule.next_slot(0.0) == 10.0


def test_a_cooldown_that_is_shorter_than_the_pace_loosens_nothing() -> None:
    """Retry-After: 0 does not shorten the gap."""
    schedule = store()
    written(schedule, 0.0)
    schedule.cooldown(0.1)
    assert schedule.next_slot(0.1) == 0.5


def test_held_slots_after_a_cooldown_keep_their_distance() -> None:
    """Two who connected through a cooldown do not start together at its end."""
    schedule = MemoryStore(Pace(rate=2, burst=2, margin=0))
    first, second = schedule.take(0.0), schedule.take(0.0)
    schedule.cooldown(4.0)
    assert schedule.start(second, 0.1) == 4.0
    assert schedule.start(first, 0.1) == 4.0
    assert schedule.next_slot(0.2) == 4.5
    tight = MemoryStore(PACE)
    one = tight.take(0.0)
    two = tight.take(0.5)
    tight.cooldown(4.0)
    instants = {tight.start(one, 0.6), tight.start(two, 0.6)}
    assert instants == {4.0, 4.5}


def test_a_burst_is_granted_at_once() -> None:
    """The attempts of a burst connect side by side."""
    schedule = MemoryStore(Pace(rate=2, burst=2, margin=0))
    slots = [schedule.take(0.0), schedule.take(0.0)]
    assert schedule.next_slot(0.0) == 0.5
    assert [schedule.start(slot, 0.25) for slot in slots] == [0.25, 0.25]
    assert schedule.next_slot(0.25) == 0.75


def test_without_a_pace_nothing_is_kept() -> None:
    """Only a cooldown holds back an upstream that has no pace."""
    schedule = MemoryStore(Pace())
    slots = [schedule.take(0.0) for _ in range(1000)]
    assert repr(schedule) == "<MemoryStore [0 held]>"
    assert schedule.start(slots[0], 0.0) == 0.0
    assert schedule.forecast(0.0, 10**6) == 0.0
    schedule.cooldown(3.0)
    assert schedule.start(slots[1], 1.0) == 3.0
    assert schedule.next_slot(1.0) == 3.0
    assert schedule.start(slots[1], 3.0) == 3.0
    assert not math.isinf(schedule.next_slot(3.0))
