"""The throttle under random arrivals, cancels, deadlines, cooldowns, slow connects and clocks."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from headgate.errors import Draining, QueueFull, Refused, WaitTooLong
from headgate.throttle.pacer import Pace
from headgate.throttle.store import MemoryStore
from headgate.throttle.throttle import Throttle
from headgate.throttle.ticket import Patience, Phase, Ticket

# All times are multiples of a power of two, so that arithmetic on them is exact.
TICK = 1 / 64
PACES = [
    Pace(),
    Pace(rate=2, min_interval=0.5, margin=0),
    Pace(rate=2, min_interval=0.5, margin=1 / 128),
    Pace(rate=4, margin=0),
    Pace(rate=4, burst=3, margin=0),
    Pace(rate=8, min_interval=0.0625, burst=4, margin=1 / 64),
    Pace(min_interval=1.0, margin=0),
]
ticks = st.integers(0, 400).map(lambda n: n * TICK)


class Line(NamedTuple):
    """The plainest fair queue: the next call of a caller stands at virtual time `next`."""

    next: int
    formed: int


class Model:
    """Who is served next, by looking at everybody."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.waiting: list[Ticket] = []
        self.served = 0
        self.formed = 0

    def add(self, ticket: Ticket) -> None:
        self.waiting.append(ticket)
        if ticket.caller not in self.lines:
            self.lines[ticket.caller] = Line(self.served + 1, self.formed)
            self.formed += 1

    def remove(self, ticket: Ticket) -> None:
        self.waiting.remove(ticket)
        if not self.line(ticket.caller):
            del self.lines[ticket.caller]

    def line(self, caller: str) -> list[Ticket]:
        mine = [ticket for ticket in self.waiting if ticket.caller == caller]
        return sorted(mine, key=lambda t: (not t.head, -t.priority, t.number))

    def pop(self) -> Ticket:
        caller = min(self.lines, key=lambda name: self.lines[name])
        line = self.lines[caller]
        ticket = self.line(caller)[0]
        self.served = line.next
        self.lines[caller] = line._replace(next=line.next + 1)
        self.remove(ticket)
        return ticket


class ThrottleMachine(RuleBasedStateMachine):
    """No slot lost, none used twice, order as promised, bounds never passed."""

    @initialize(
        pace=st.sampled_from(PACES),
        cap=st.sampled_from([math.inf, math.inf, 1, 3]),
        bound=st.sampled_from([0, 1, 3, 8, 1000]),
    )
    def build(self, pace: Pace, cap: float, bound: int) -> None:
        self.pace, self.cap, self.bound = pace, cap, bound
        self.store = MemoryStore(pace)
        self.gate = Throttle(self.store, max_in_flight=cap, max_queue=bound, max_cooldown=8.0)
        self.now = self.latest = 1000.0
        self.gate.step(self.now)
        self.model = Model()
        self.live: list[Ticket] = []  # all that have not left
        self.holding: dict[Ticket, float] = {}  # granted, and told to come back at an instant
        self.written: list[float] = []
        self.cool_until = -math.inf
        self.drain_until = math.inf
        self.passed: dict[str, Counter[str]] = {}  # services of others since a line's last one

    def tickets(self, *phases: Phase) -> list[Ticket]:
        return [ticket for ticket in self.live if ticket.phase in phases]

    # What happens to a throttle.

    @rule(
        caller=st.sampled_from("abcd"),
        patience=st.one_of(st.just(math.inf), ticks),
        priority=st.integers(-1, 1),
        head=st.sampled_from([False, False, False, True]),
        share=st.sampled_from([math.inf, math.inf, 2]),
    )
    def arrive(self, caller: str, patience: float, priority: int, head: bool, share: float) -> None:
        until = self.latest + patience
        waited = len(self.model.waiting)
        own = len(self.model.line(caller))
        foretold = self.gate.predict(self.now, caller, priority=priority, head=head)
        try:
            ticket = self.gate.enqueue(
                self.now,
                caller,
                patience=Patience(until, "the test"),
                priority=priority,
                head=head,
                max_line=share,
            )
        except Refused as error:
            if isinstance(error, Draining):
                assert self.drain_until < math.inf
            elif isinstance(error, WaitTooLong):
                # With a cap `at` is an estimate and not the last word.
                assert foretold.at > until or self.cap < math.inf
            else:
                self.refused_a_place(error, waited, own, share)
            return
        assert self.drain_until == math.inf or head
        self.live.append(ticket)
        if ticket.phase is Phase.GRANTED:
            assert waited == 0
            self.granted(ticket)
            return
        self.model.add(ticket)
        self.passed.setdefault(caller, Counter())
        assert self.gate.outlook(ticket, self.now).at <= until
        if self.shown_out():
            assert waited == self.bound or own >= share
        self.settle()

    def refused_a_place(self, error: Refused, waited: int, own: int, share: float) -> None:
        assert error.retry_after is not None
        assert error.retry_after >= 0
        if isinstance(error, QueueFull):
            longest = max(map(len, map(self.model.line, self.model.lines)), default=0)
            assert waited == self.bound
            assert own + 1 >= longest
        else:
            assert own >= share

    @rule(seconds=ticks)
    def time_passes(self, seconds: float) -> None:
        """The process sleeps through whatever was due, as a blocked event loop does."""
        self.now += seconds
        self.latest = max(self.latest, self.now)
        self.settle()

    @rule(seconds=ticks)
    def clock_steps_back(self, seconds: float) -> None:
        self.now -= seconds
        self.settle()

    @rule()
    def wake_up(self) -> None:
        """Sleeps until the instant that the throttle names, which is never for nothing."""
        due = self.gate.next_wakeup(self.now)
        if due is None:
            return
        self.now = self.latest = max(self.latest, due)
        judging = self.gate._rejudge_at() <= self.latest
        assert self.settle() or judging

    @rule(callers=st.text("abcd", min_size=1, max_size=12))
    def rush(self, callers: str) -> None:
        """Many come at once and wait as long as it takes."""
        for caller in callers:
            self.arrive(caller, math.inf, priority=0, head=False, share=math.inf)

    @rule(slots=st.integers(1, 12))
    def go_on(self, slots: int) -> None:
        """Everything goes well for a while: connections are quick and answers short."""
        for _ in range(slots):
            self.wake_up()
            for ticket in self.tickets(Phase.GRANTED):
                if ticket not in self.holding:
                    self.connected(ticket)
                if ticket.phase is Phase.STARTED:
                    self.leave(ticket)

    @precondition(lambda self: self.tickets(Phase.GRANTED))
    @rule(data=st.data(), lag=st.sampled_from([0.0, 0.0, TICK, 0.25]))
    def connection_is_up(self, data: st.DataObject, lag: float) -> None:
        ticket = data.draw(st.sampled_from(self.tickets(Phase.GRANTED)))
        self.connected(ticket)
        if lag and ticket.phase is Phase.STARTED:
            self.now = self.latest = self.latest + lag
            self.gate.started(ticket, self.now)
            self.written[-1] = self.now
            self.settle()

    @precondition(lambda self: self.holding)
    @rule()
    def come_back(self) -> None:
        """The one that holds the earliest instant comes back at it, and may write."""
        ticket = min(self.holding, key=lambda held: (self.holding[held], held.number))
        self.now = self.latest = max(self.latest, self.holding[ticket])
        self.settle()
        self.connected(ticket)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def somebody_goes(self, data: st.DataObject) -> None:
        """Cancelled, killed, failed or finished, in any phase."""
        self.leave(data.draw(st.sampled_from(self.live)))

    @precondition(lambda self: self.tickets(Phase.STARTED))
    @rule(seconds=st.one_of(ticks, st.sampled_from([-1.0, 0.0, 1e9])))
    def upstream_says_429(self, seconds: float) -> None:
        self.gate.cooldown(self.now, seconds)
        self.cool_until = max(self.cool_until, self.latest + min(max(seconds, 0.0), 8.0))
        self.settle()
        for ticket in self.model.waiting:
            slot = self.store.forecast(
                self.latest, self.gate.outlook(ticket, self.now).position - 1
            )
            assert slot <= ticket.patience.until

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def a_waiter_is_told(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.model.waiting)).told = True

    @precondition(lambda self: self.drain_until == math.inf and len(self.written) > 4)
    @rule(grace=ticks)
    def drain(self, grace: float) -> None:
        self.drain_until = self.latest + grace
        self.gate.drain(self.now, self.drain_until)
        self.settle()
        assert all(ticket.told or ticket.head for ticket in self.model.waiting)

    # What must follow.

    def settle(self) -> list[Ticket]:
        """Steps, and holds every outcome against the model."""
        ended = self.gate.step(self.now)
        for ticket in ended:
            if ticket.phase is Phase.REFUSED:
                assert isinstance(ticket.error, Refused)
                self.model.remove(ticket)
        for ticket in ended:
            if ticket.phase is not Phase.REFUSED:
                assert ticket is self.model.pop()
                self.served(ticket.caller)
                self.granted(ticket)
        due = self.gate.next_wakeup(self.now)
        assert due is None or due > self.latest or self.gate._rejudge_at() <= self.latest
        for caller in [name for name in self.passed if name not in self.model.lines]:
            del self.passed[caller]
        return ended

    def served(self, caller: str) -> None:
        """Nobody gets more than two turns while another caller waits for one."""
        self.passed[caller] = Counter()
        for other, turns in self.passed.items():
            if other in self.model.lines and other != caller:
                turns[caller] += 1
                assert turns[caller] <= 2

    def granted(self, ticket: Ticket) -> None:
        assert ticket.phase is Phase.GRANTED
        assert self.latest <= ticket.patience.until
        assert self.latest <= self.drain_until
        assert self.latest >= self.cool_until

    def connected(self, ticket: Ticket) -> None:
        self.holding.pop(ticket, None)
        try:
            due = self.gate.start(ticket, self.now)
        except (WaitTooLong, Draining):
            self.leave(ticket)
            return
        if due > self.now:
            self.holding[ticket] = due
        else:
            self.write(ticket)
        self.settle()

    def write(self, ticket: Ticket) -> None:
        """The rule of all rules: what the upstream sees keeps its distance."""
        assert ticket.phase is Phase.STARTED
        assert self.latest >= self.cool_until
        self.written.append(self.latest)
        if len(self.written) > 1:
            gap = self.pace.min_interval + self.pace.margin * bool(self.pace.min_interval)
            # Added as a schedule adds: a difference of two floats may miss a gap that was kept.
            assert self.written[-1] >= self.written[-2] + gap
        second = 1 + self.pace.margin
        in_a_second = sum(at > self.latest - second for at in self.written)
        assert in_a_second <= self.pace.rate + self.pace.burst - 1

    def leave(self, ticket: Ticket) -> None:
        if ticket in self.model.waiting:
            self.model.remove(ticket)
        self.live.remove(ticket)
        self.holding.pop(ticket, None)
        self.gate.leave(ticket, self.now)
        self.gate.leave(ticket, self.now)
        assert ticket.phase is Phase.LEFT
        self.settle()

    def shown_out(self) -> bool:
        return any(ticket.phase is Phase.REFUSED for ticket in self.model.waiting)

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "gate"):
            return
        in_flight = len(self.tickets(Phase.GRANTED, Phase.STARTED))
        assert self.gate.in_flight == in_flight <= self.cap
        assert self.gate.waiting == len(self.tickets(Phase.WAITING)) == len(self.model.waiting)
        assert self.gate.waiting <= self.bound
        places = [self.gate.outlook(ticket, self.now).position for ticket in self.model.waiting]
        assert sorted(places) == list(range(1, len(places) + 1))

    def teardown(self) -> None:
        """When all have left nothing is held, and the next call gets the very next slot."""
        if not hasattr(self, "gate"):
            return
        for ticket in self.live.copy():
            self.leave(ticket)
        assert (self.gate.waiting, self.gate.in_flight) == (0, 0)
        assert repr(self.store) == "<MemoryStore [0 held]>"
        assert self.gate.next_wakeup(self.now) is None
        assert self.store.next_slot(self.latest + 100) == self.latest + 100


ThrottleMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=50)
TestThrottle = ThrottleMachine.TestCase
