"""The schedule of workers: who holds which slot, and what becomes of it when its holder dies."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from headgate.throttle.pacer import Pace
from headgate.throttle.schedule import LONG_AGO, Terms
from headgate.workers.keeper import Keeper
from headgate.workers.messages import Changed, Give, Granted, Join, Leave, Pause, Reserve, Stop

SECOND = 1_000_000
GAP = SECOND // 2
TERMS = Terms.of(Pace(rate=2, min_interval=0.5, margin=0))


def keeper(*workers: int) -> Keeper:
    """One at which these have joined."""
    made = Keeper(TERMS)
    for worker in workers:
        join(made, 0, worker)
    return made


def join(made: Keeper, now: int, worker: int) -> Granted:
    *_, (_, granted) = made.hear(now, worker, Join(1, LONG_AGO, 0))
    assert isinstance(granted, Granted)
    return granted


def reserve(made: Keeper, now: int, worker: int, count: int = 1, lead: int = 0) -> list[int]:
    [(to, granted)] = made.hear(now, worker, Reserve(7, count, lead))
    assert to == worker
    assert isinstance(granted, Granted)
    assert granted.number == 7
    return granted.instants


def test_workers_share_one_schedule() -> None:
    """Slots go in the order of the requests for them."""
    both = keeper(0, 1)
    assert reserve(both, 0, 0, 2) == [0, GAP]
    assert reserve(both, 0, 1) == [2 * GAP]
    assert reserve(both, 0, 0, lead=5 * GAP) == [5 * GAP]
    assert (both.granted(0), both.granted(1), both.granted(2)) == (3, 1, 0)


def test_a_dead_workers_slots_come_back() -> None:
    """Those that lie ahead; what may have been used is lost."""
    both = keeper(0, 1)
    assert reserve(both, 0, 0, 3) == [0, GAP, 2 * GAP]
    assert reserve(both, 1, 0) == [3 * GAP]
    both.leave(GAP + 1, 0)
    assert both.members == [1]
    assert reserve(both, GAP + 1, 1, 3) == [2 * GAP, 3 * GAP, 4 * GAP]


def test_a_slot_that_was_given_back_is_lost_with_its_next_holder_only() -> None:
    """Else the death of the first would free what the second has."""
    both = keeper(0, 1)
    assert reserve(both, 0, 0, 3) == [0, GAP, 2 * GAP]
    assert both.hear(0, 0, Give([GAP])) == []
    assert reserve(both, 0, 1) == [GAP]
    assert both.hear(0, 0, Give([GAP])) == []
    both.leave(1, 0)
    assert reserve(both, 1, 1, 2) == [2 * GAP, 3 * GAP]


def test_one_cannot_give_back_what_it_does_not_have() -> None:
    """A slot that nobody reserved is not made by a message."""
    one = keeper(0)
    assert one.hear(0, 0, Give([GAP])) == []
    assert reserve(one, 0, 0, 2) == [0, GAP]


def test_a_worker_that_leaves_gives_back_too() -> None:
    """A drained one does not wait for its connection to close."""
    both = keeper(0, 1)
    reserve(both, 0, 0, 2)
    assert both.hear(1, 0, Leave()) == [(1, Changed())]
    assert both.hear(1, 0, Leave()) == []
    assert both.leave(1, 0) == []
    assert reserve(both, 1, 1) == [GAP]


def test_a_pause_reaches_the_others() -> None:
    """Its sender knows already; whoever joins later hears of it before the answer."""
    all_of_them = keeper(0, 1, 2)
    told = all_of_them.hear(0, 1, Stop(9 * GAP))
    assert told == [(0, Pause(9 * GAP)), (2, Pause(9 * GAP))]
    assert reserve(all_of_them, 0, 0) == [9 * GAP]
    *_, news, (_, granted) = all_of_them.hear(0, 3, Join(1, LONG_AGO, 0))
    assert news == (3, Pause(9 * GAP))
    assert isinstance(granted, Granted)
    later = all_of_them.hear(9 * GAP, 3, Join(1, LONG_AGO, 0))
    assert [type(news) for _, news in later] == [Granted]


def test_members_and_ranks() -> None:
    """The same order for all, so that shares of the rate take turns."""
    some = keeper(2)
    assert (join(some, 0, 0).rank, join(some, 0, 2).rank) == (0, 1)
    assert join(some, 0, 1).members == 3
    some.leave(0, 0)
    granted = join(some, 0, 2)
    assert (granted.members, granted.rank) == (2, 1)


def test_coming_and_going_is_told() -> None:
    """To the others, at once; who only comes back was never gone."""
    some = keeper(0, 1)
    assert some.hear(0, 2, Join(1, LONG_AGO, 0))[:2] == [(0, Changed()), (1, Changed())]
    assert [to for to, _ in some.hear(0, 2, Join(2, LONG_AGO, 0))] == [2]
    assert some.leave(0, 0) == [(1, Changed()), (2, Changed())]


def test_what_a_worker_started_alone_is_known_when_it_is_back() -> None:
    """It could not ask for a while, and used its share of the rate."""
    both = keeper(0, 1)
    both.hear(10, 0, Join(1, 3 * GAP, 0))
    assert reserve(both, 10, 1) == [4 * GAP]


class Hands(RuleBasedStateMachine):
    """Any order of calls and deaths: no slot is in two hands, and none is ever too close."""

    def __init__(self) -> None:
        super().__init__()
        self.keeper = keeper(0, 1, 2)
        self.now = 0
        self.hands: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
        self.used: list[int] = []

    @rule(by=st.integers(0, 3 * GAP))
    def pass_time(self, by: int) -> None:
        """Whatever is in somebody's hands is used at its instant."""
        self.now += by
        for worker, held in self.hands.items():
            self.used += (instant for instant in held if instant < self.now)
            self.hands[worker] = {instant for instant in held if instant >= self.now}

    @rule(worker=st.integers(0, 2), count=st.integers(1, 4), lead=st.integers(0, 2 * GAP))
    def reserve(self, worker: int, count: int, lead: int) -> None:
        instants = reserve(self.keeper, self.now, worker, count, lead)
        assert len(instants) == count
        assert min(instants) >= self.now + lead
        self.hands[worker] |= set(instants)
        self.check()

    @precondition(lambda self: any(self.hands.values()))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([w for w, held in self.hands.items() if held]))
        given = data.draw(st.sets(st.sampled_from(sorted(self.hands[worker])), min_size=1))
        self.keeper.hear(self.now, worker, Give(sorted(given)))
        self.hands[worker] -= given

    @rule(worker=st.integers(0, 2))
    def die_and_come_back(self, worker: int) -> None:
        self.keeper.leave(self.now, worker)
        self.hands[worker] = set()
        join(self.keeper, self.now, worker)

    @rule(worker=st.integers(0, 2), until=st.integers(0, 6 * GAP))
    def pause(self, worker: int, until: int) -> None:
        self.keeper.hear(self.now, worker, Stop(self.now + until))
        # Who hears of it uses nothing before.
        for other, held in self.hands.items():
            self.hands[other] = {instant for instant in held if instant >= self.now + until}

    def check(self) -> None:
        taken = sorted([*self.used, *(at for held in self.hands.values() for at in held)])
        assert all(later - earlier >= GAP for earlier, later in pairwise(taken))


TestHands = Hands.TestCase
