"""Grants: future instants that are ours, met in time or not used; our share when alone."""

from __future__ import annotations

import math

import pytest

from headgate.errors import WaitTooLong
from headgate.throttle.ledger import Standing
from headgate.throttle.pacer import Pace
from headgate.throttle.shared_store import SharedStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.ticket import Patience, Phase

PACE = Pace(rate=2, min_interval=0.5)
NOW = 100.0


def standing(*instants: float, free_at: float = NOW, members: int = 1, rank: int = 0) -> Standing:
    return Standing(instants, free_at, members, rank, 0.0)


@pytest.fixture
def store() -> SharedStore:
    made = SharedStore(PACE)
    made.hear(standing(members=3, rank=1), NOW, 0.001)
    return made


def needs(store: SharedStore) -> list[None]:
    """One entry for each time that the store asks for its courier."""
    asked: list[None] = []
    store.on_need = lambda: asked.append(None)
    return asked


def test_without_grants_the_next_slot_is_not_known(store: SharedStore) -> None:
    """The throttle waits until the courier says that something came."""
    assert store.next_slot(NOW) == math.inf


def test_who_waits_makes_it_fetch_and_nobody_makes_it_fetch_nothing(store: SharedStore) -> None:
    """At a slow pace one slot is held ahead, however many wait."""
    asked = needs(store)
    store.expect(NOW, 0)
    assert (asked, store.ask(NOW)) == ([], 0)
    store.expect(NOW, 7)
    assert (len(asked), store.ask(NOW), store.ask(NOW)) == (1, 1, 0)


def test_an_attempt_is_let_in_to_connect_and_waits_for_its_instant(store: SharedStore) -> None:
    """Somewhat before the slot, so that a handshake does not cost it."""
    store.hear(standing(NOW + 1), NOW, 0.001)
    due = store.next_slot(NOW)
    assert NOW < due < NOW + 1
    slot = store.take(due)
    assert store.start(slot, due) == NOW + 1
    assert store.start(slot, NOW + 1.001) == NOW + 1.001


def test_a_grant_that_is_met_too_late_is_not_used(store: SharedStore) -> None:
    """Its attempt waits for the next one, which is asked for at once."""
    store.hear(standing(NOW + 1), NOW, 0.001)
    slot = store.take(NOW + 1)
    late = NOW + 1 + 2 * PACE.margin
    assert store.start(slot, late) > late
    assert (store.counts["missed"], store.ask(late)) == (1, 1)
    store.hear(standing(NOW + 2), late, 0.001)
    assert store.next_slot(late) == math.inf  # it is spoken for
    assert store.start(slot, late) == NOW + 2


def test_a_grant_that_came_too_late_is_dropped(store: SharedStore) -> None:
    """It costs its slot and no gap."""
    store.hear(standing(NOW - 1), NOW, 1.0)
    assert store.next_slot(NOW) == math.inf


def test_what_nobody_needs_goes_back(store: SharedStore) -> None:
    """Callers that have gone leave their slots to the other members, once."""
    asked = needs(store)
    store.expect(NOW, 1)
    store.hear(standing(NOW + 1, NOW + 2), NOW, 0.001)
    store.expect(NOW, 0)
    assert len(asked) == 2
    assert store.take_surplus(NOW) == [NOW + 1, NOW + 2]
    assert store.take_surplus(NOW) == []
    store.expect(NOW, 0)
    assert len(asked) == 2


def test_what_is_due_too_soon_to_be_of_use_elsewhere_stays(store: SharedStore) -> None:
    """Giving it back would take longer than it is worth, and must not be tried for ever."""
    store.hear(standing(NOW + 0.001), NOW, 0.001)
    asked = needs(store)
    store.expect(NOW, 0)
    assert (asked, store.take_surplus(NOW)) == ([], [])


def test_a_pause_voids_grants_and_held_slots(store: SharedStore) -> None:
    """Nothing that was granted within it is started; the others hear of it once."""
    store.hear(standing(NOW + 1, NOW + 2), NOW, 0.001)
    slot = store.take(NOW)
    store.cooldown(NOW + 5)
    assert store.next_slot(NOW) == math.inf
    assert store.start(slot, NOW + 1) > NOW + 1
    assert store.counts["used"] == 0
    assert store.untold == NOW + 5
    store.told(NOW + 5)
    assert store.untold is None


def test_a_pause_is_untold_until_the_others_have_heard_of_it(store: SharedStore) -> None:
    """A later one may come while they hear of it, and an earlier one changes nothing."""
    store.cooldown(NOW + 5)
    store.cooldown(NOW + 9)
    store.told(NOW + 5)
    store.cooldown(NOW + 7)
    assert store.untold == NOW + 9


def test_alone_it_goes_on_with_its_turns(store: SharedStore) -> None:
    """Behind what others may still hold, and a whole round apart."""
    store.lose(NOW)
    store.expect(NOW, 3)
    first = store.next_slot(NOW)
    assert NOW + 2 * PACE.interval <= first <= NOW + 5 * PACE.interval
    slot = store.take(first)
    assert store.start(slot, slot.at) == slot.at
    assert store.went_alone
    store.expect(slot.at, 2)
    second = store.take(store.next_slot(slot.at))
    assert second.at - slot.at == pytest.approx(3 * PACE.interval)


def test_what_was_granted_before_the_loss_is_still_ours(store: SharedStore) -> None:
    """The schedule counted it; nobody else has it."""
    store.hear(standing(NOW + 1), NOW, 0.001)
    store.lose(NOW)
    slot = store.take(store.next_slot(NOW + 1))
    assert store.start(slot, NOW + 1) == NOW + 1
    assert not store.went_alone


def test_a_turn_of_our_own_is_void_once_the_schedule_is_back(store: SharedStore) -> None:
    """Somebody else may have been granted that instant."""
    store.lose(NOW)
    store.expect(NOW, 1)
    slot = store.take(store.next_slot(NOW))
    store.find()
    assert store.start(slot, slot.at) > slot.at
    assert store.counts["used"] == 0


def test_what_we_hold_is_known_for_the_return(store: SharedStore) -> None:
    """A schedule that forgot all has to hear of it."""
    store.hear(standing(NOW + 3), NOW, 0.001)
    assert store.latest == NOW + 3
    store.take(NOW)
    assert store.latest == NOW + 3


def test_a_share_counts_those_that_the_operator_named() -> None:
    """A store that was never reached says nothing about the others."""
    alone = SharedStore(PACE, least_members=4)
    alone.lose(NOW)
    alone.expect(NOW, 9)
    first = alone.take(alone.next_slot(NOW))
    alone.start(first, first.at)
    alone.expect(first.at, 9)
    assert alone.take(alone.next_slot(first.at)).at - first.at == pytest.approx(4 * PACE.interval)


def test_forecasts_say_what_is_granted_and_guess_the_rest(store: SharedStore) -> None:
    """With slots of others in between, those further back are further apart."""
    store.hear(standing(NOW + 1, free_at=NOW + 1.505), NOW, 0.001)
    assert store.forecast(NOW, 0) == NOW + 1
    assert store.forecast(NOW, 2) > store.forecast(NOW, 1) > NOW + 1
    assert store.soonest(NOW, 2) == NOW + 2 * PACE.interval


def test_the_lead_follows_the_handshakes(store: SharedStore) -> None:
    """After a slow one attempts are let in sooner; quick ones bring it down again, slowly."""
    store.hear(standing(NOW + 1), NOW, 0.001)
    before = NOW + 1 - store.next_slot(NOW)
    store.start(store.take(NOW + 0.7), NOW + 0.9)
    store.hear(standing(NOW + 3), NOW + 2, 0.001)
    assert NOW + 3 - store.next_slot(NOW + 2) > before + 0.2


def test_a_pause_that_another_heard_of_is_judged_here_too(store: SharedStore) -> None:
    """Who would start behind its deadline hears it now, wherever the 429 came (promise 4)."""
    gate = Throttle(store)
    ticket = gate.enqueue(NOW, "a", patience=Patience(NOW + 5, "the deadline"))
    assert ticket.phase is Phase.WAITING
    store.hear_pause(NOW + 30)
    assert gate.step(NOW + 0.1) == [ticket]
    assert isinstance(ticket.error, WaitTooLong)


def test_a_slot_of_another_pace_is_no_grant_any_more() -> None:
    """One that comes back behind a change may be too near to what others have by now."""
    store = SharedStore(Pace(rate=20, min_interval=0.05))
    store.hear(standing(NOW + 0.1), NOW, 0.001)
    store.expect(NOW, 1)
    slot = store.take(store.next_slot(NOW))
    store.change(PACE, NOW)
    store.release(slot)
    assert store.next_slot(NOW) == math.inf
