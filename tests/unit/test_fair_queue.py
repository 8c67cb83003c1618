"""The fair queue: one line per caller, served in turn by weight."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.throttle.fair_queue import FairQueue
from headgate.throttle.ticket import Ticket


class Arrivals:
    """A queue, and numbered calls of callers named by letters."""

    def __init__(self) -> None:
        self.queue = FairQueue()
        self.numbers = count(1)
        self.names: dict[Ticket, str] = {}

    def call(
        self, caller: str, *, weight: float = 1.0, priority: int = 0, head: bool = False
    ) -> Ticket:
        ticket = Ticket(caller, priority=priority, head=head, number=next(self.numbers))
        self.queue.add(ticket, weight)
        self.names[ticket] = f"{caller}{ticket.number}"
        return ticket

    def line(self, callers: str) -> list[Ticket]:
        return [self.call(caller) for caller in callers]

    def served(self, most: int | None = None) -> str:
        names: list[str] = []
        while self.queue and (most is None or len(names) < most):
            names.append(self.names[self.queue.pop()])
        return " ".join(names)


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals()


def test_one_caller_is_first_in_first_out(arrivals: Arrivals) -> None:
    """Within a line the order of arrival is the order of service."""
    arrivals.line("aaa")
    assert arrivals.served() == "a1 a2 a3"


def test_callers_take_turns(arrivals: Arrivals) -> None:
    """However long a line is, each caller gets one call in turn."""
    arrivals.line("aaaabbc")
    assert arrivals.served() == "a1 b5 c7 a2 b6 a3 a4"


def test_a_newcomer_waits_two_slots_behind_a_thousand(arrivals: Arrivals) -> None:
    """Another caller's single call is the second at the latest, however long a line is."""
    arrivals.line("a" * 1000)
    arrivals.served(100)
    newcomer = arrivals.call("b")
    assert arrivals.queue.ahead(newcomer) <= 1
    assert arrivals.names[newcomer] in arrivals.served(2)


def test_newcomers_cannot_starve_who_waits(arrivals: Arrivals) -> None:
    """Callers that come one after the other do not push back a second call for ever."""
    arrivals.line("aa")
    served = []
    for n in range(6):
        arrivals.call(f"new{n}-")
        served.append(arrivals.served(1))
    assert served[:3] == ["a1", "new0-3", "a2"]


def test_coming_back_gains_nothing(arrivals: Arrivals) -> None:
    """A caller that always has one call waiting gets no more than one with a long line."""
    arrivals.line("aaaaaab")
    served = ""
    for _ in range(4):
        served += arrivals.served(1)[0]
        served += arrivals.served(1)[0]
        arrivals.call("b")
    assert served == "abababab"


def test_weights_are_shares(arrivals: Arrivals) -> None:
    """A caller of weight 3 is served three times as often, spread out."""
    for _ in range(9):
        arrivals.call("a", weight=3)
        arrivals.call("b", weight=1)
    served = "".join(name[0] for name in arrivals.served(12).split())
    assert served.count("a") == 9
    assert "bb" not in served
    assert "aaaa" not in served


def test_priorities_count_within_a_line_only(arrivals: Arrivals) -> None:
    """A caller's urgent call passes its own calls and nobody else's."""
    arrivals.line("aabb")
    arrivals.call("a", priority=5)
    assert arrivals.served() == "a5 b3 a1 b4 a2"


def test_a_retry_re_enters_at_the_head_of_its_line(arrivals: Arrivals) -> None:
    """Before all first attempts of its caller, whatever their priority; retries in their order."""
    arrivals.line("ab")
    arrivals.call("a", priority=9)
    arrivals.call("a", head=True)
    arrivals.call("a", head=True)
    assert arrivals.served() == "a4 b2 a5 a3 a1"


def test_who_leaves_lets_the_line_move_up(arrivals: Arrivals) -> None:
    """The turn of a call that left goes to the next of its line, not to another caller."""
    first, second, *_ = arrivals.line("aaabbb")
    arrivals.queue.remove(first)
    arrivals.queue.remove(second)
    assert arrivals.served() == "a3 b4 b5 b6"


def test_a_line_of_one_that_leaves_is_gone(arrivals: Arrivals) -> None:
    """Nothing of a caller stays behind."""
    (only,) = arrivals.line("a")
    arrivals.queue.remove(only)
    assert repr(arrivals.queue) == "<FairQueue [0 waiting in 0 lines]>"
    assert (arrivals.queue.longest, arrivals.queue.length("a")) == (0, 0)


def test_the_newest_of_the_longest(arrivals: Arrivals) -> None:
    """The one to displace is the last to be served of the longest line."""
    arrivals.line("abbbcc")
    assert arrivals.names[arrivals.queue.newest_of_longest()] == "b4"
    arrivals.call("b", priority=-1)
    arrivals.call("b", priority=1)
    assert arrivals.names[arrivals.queue.newest_of_longest()] == "b7"
    assert arrivals.queue.longest == 5


def test_the_longest_is_known_while_lines_shrink(arrivals: Arrivals) -> None:
    """Service and leaving keep the longest line's length right."""
    tickets = arrivals.line("aaabb")
    lengths = [arrivals.queue.longest]
    for ticket in tickets:
        arrivals.queue.remove(ticket)
        lengths.append(arrivals.queue.longest)
    assert lengths == [3, 2, 2, 2, 1, 0]


def test_who_does_not_fit_is_found_in_the_order_of_service(arrivals: Arrivals) -> None:
    """Nobody is thrown out for the sake of one who is thrown out as well."""
    tickets = arrivals.line("aaabb")  # served a1 b4 a2 b5 a3
    latest = dict(zip(tickets, (0, 0, 2, 0, 2), strict=True))
    unfit = arrivals.queue.unfit(lambda ticket, ahead: ahead <= latest[ticket])
    assert sorted(arrivals.names[ticket] for ticket in unfit) == ["a2", "b4"]


calls = st.tuples(
    st.sampled_from("abcd"), st.sampled_from([1.0, 1.0, 2.0, 0.5]), st.integers(-1, 1)
)


@given(st.lists(calls, min_size=1, max_size=60), st.integers(0, 20))
def test_positions_are_true(arriving: list[tuple[str, float, int]], served: int) -> None:
    """`would_stand` and `ahead` name the place in which each call is then served."""
    arrivals = Arrivals()
    weights = {caller: weight for caller, weight, _ in arriving}
    for n, (caller, _, priority) in enumerate(arriving):
        candidate = Ticket(caller, priority=priority, number=n + 1)
        foretold = arrivals.queue.would_stand(candidate, weights[caller])
        ticket = arrivals.call(caller, weight=weights[caller], priority=priority)
        assert arrivals.queue.ahead(ticket) == foretold
        if n < served:
            arrivals.served(n % 3)
    waiting = [t for t in arrivals.names if t in {e[3] for e in _entries(arrivals.queue)}]
    places = {arrivals.names[ticket]: arrivals.queue.ahead(ticket) for ticket in waiting}
    order = arrivals.served().split()
    assert [places[name] for name in order] == list(range(len(order)))


@given(st.lists(calls, min_size=2, max_size=40), st.sampled_from("abcde"), st.integers(-1, 1))
def test_a_place_is_foretold_with_the_displaced_gone(
    arriving: list[tuple[str, float, int]], newcomer: str, priority: int
) -> None:
    """`would_stand` knows that the displaced call's seat goes away."""
    arrivals = Arrivals()
    weights = {caller: weight for caller, weight, _ in arriving}
    for caller, _, rank in arriving:
        arrivals.call(caller, weight=weights[caller], priority=rank)
    weight = weights.get(newcomer, 1.0)
    victim = arrivals.queue.newest_of_longest()
    candidate = Ticket(newcomer, priority=priority, number=10**6)
    if victim.caller == newcomer:
        return
    foretold = arrivals.queue.would_stand(candidate, weight, victim)
    arrivals.queue.add(candidate, weight)
    arrivals.queue.remove(victim)
    assert arrivals.queue.ahead(candidate) == foretold


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 10))
def test_backlogged_callers_are_never_more_than_one_apart(one: int, other: int, late: int) -> None:
    """While two callers both wait, neither is served twice more than the other."""
    arrivals = Arrivals()
    arrivals.line("a" * (one + late))
    arrivals.served(late)
    arrivals.line("b" * other)
    served = [name[0] for name in arrivals.served().split()][: 2 * min(one, other)]
    for n in range(len(served)):
        assert abs(served[:n].count("a") - served[:n].count("b")) <= 1


def _entries(queue: FairQueue) -> list[tuple[bool, int, int, Ticket]]:
    return [entry for line in queue._lines.values() for entry in line.entries]
