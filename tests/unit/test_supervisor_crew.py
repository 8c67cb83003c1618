"""What the supervisor does about its workers, with an own clock and no process."""

from __future__ import annotations

import math
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headgate.workers.crew import (
    BEAT,
    LIVES,
    PATIENCE,
    START_LIMIT,
    YOUNG,
    Action,
    Ask,
    Crew,
    Dismiss,
    End,
    Kill,
    Phase,
    Say,
    Serve,
    Spawn,
)

FAREWELL = 35.0
SIGKILL = -signal.SIGKILL


def serving(size: int = 2, now: float = 0.0) -> Crew:
    """A crew whose workers are all ready."""
    crew = Crew(size, FAREWELL)
    assert crew.start(now) == [Spawn(worker, again=False) for worker in range(size)]
    told = [crew.ready(worker, now) for worker in range(size)]
    assert told == [[]] * (size - 1) + [[Serve()]]
    return crew


def looks(crew: Crew, now: float, count: int, *, answering: set[int]) -> list[Action]:
    """What comes of so many looks, of which these workers answer each."""
    actions: list[Action] = []
    for look in range(1, count + 1):
        done = crew.tick(now + look * BEAT)
        for action in done:
            if isinstance(action, Ask) and action.worker in answering:
                crew.alive(action.worker, now + look * BEAT)
        actions += done
    return actions


def test_a_dead_worker_is_replaced() -> None:
    """At once but for a tenth of a second or two, well within the 5 s that were promised."""
    crew = serving()
    assert crew.ended(1, SIGKILL, 100.0) == []
    assert crew.next_wakeup <= 100.2
    assert Spawn(1, again=True) not in crew.tick(100.05)
    assert Spawn(1, again=True) in crew.tick(100.2)
    assert crew.ready(1, 101.0) == []
    assert repr(crew) == "<Crew SERVING [2 of 2 serve]>"


@pytest.mark.parametrize(
    ("exit_code", "how", "advice"),
    [
        (7, "with exit status 7", "see what it wrote above"),
        (SIGKILL, "by SIGKILL", "if memory was short"),
        (-40, "by signal 40", "see what it wrote above"),
    ],
)
def test_a_crash_loop_ends_everything(exit_code: int, how: str, advice: str) -> None:
    """The line says which worker, how often, how, and what to do; the others may finish."""
    crew = serving()
    for _ in range(LIVES - 1):
        assert crew.ended(0, exit_code, 0.5) == []
        assert Spawn(0, again=True) in crew.tick(1.5)
    said, *rest = crew.ended(0, exit_code, 2.0)
    assert isinstance(said, Say)
    assert said.line.startswith(
        f"worker 0 ended 4 times within 10 s of its start, the last time {how}; {advice}"
    )
    assert rest == [Dismiss(1)]
    assert crew.ended(1, 0, 2.0) == [End(1)]


def test_whoever_lived_long_enough_starts_the_count_anew() -> None:
    """A death now and then is none of a loop, however many there are."""
    crew, now = serving(), 0.0
    for _ in range(3 * LIVES):
        now += YOUNG
        assert crew.ended(0, SIGKILL, now) == []
        now += 2.0
        assert Spawn(0, again=True) in crew.tick(now)
        crew.ready(0, now)


def test_backoff_grows_within_a_loop() -> None:
    """Whoever dies at once again and again is started later each time."""
    crew, now, waits = serving(), 0.0, []
    for _ in range(LIVES - 1):
        crew.ended(0, 1, now)
        waits.append(crew._posts[0].due - now)
        now = crew._posts[0].due
        crew.tick(now)
    assert waits == pytest.approx([0.2, 0.4, 0.8])


def test_a_worker_that_cannot_start_ends_the_start() -> None:
    """With its line alone and status 2, as a single process; what others say then is the same."""
    crew = Crew(2, FAREWELL)
    crew.start(0.0)
    line = "cannot listen on 127.0.0.1:1: permission denied"
    assert crew.failed(1, [line]) == [Say(line), Kill(0), Kill(1)]
    assert crew.failed(0, [line]) == []
    assert crew.why(1, 2) == ""
    assert crew.ended(1, 2, 1.0) == []
    assert crew.ended(0, SIGKILL, 1.0) == [End(2)]


def test_a_replacement_that_cannot_start_is_tried_again() -> None:
    """What one worker needs may be back in a moment, and the others serve."""
    crew = serving()
    crew.ended(0, SIGKILL, 50.0)
    crew.tick(51.0)
    assert crew.failed(0, ["no room"]) == []
    assert crew.why(0, 2) == "because it could not start: no room"
    assert crew.ended(0, 2, 51.5) == []
    assert Spawn(0, again=True) in crew.tick(52.5)


def test_crash_loop_before_anybody_serves() -> None:
    """Nobody is waited for: nothing was promised yet."""
    crew = Crew(2, FAREWELL)
    crew.start(0.0)
    crew.ready(1, 0.0)
    for _ in range(LIVES - 1):
        crew.ended(0, 1, 0.0)
        assert Spawn(0, again=False) in crew.tick(crew._posts[0].due)
    said, *rest = crew.ended(0, 1, 1.0)
    assert isinstance(said, Say)
    assert rest == [Kill(1)]
    assert crew.ended(1, SIGKILL, 1.0) == [End(1)]


def test_a_wedged_worker_is_killed() -> None:
    """It takes new connections and answers none of them, so it has to go; who answers stays."""
    crew = serving()
    quiet = looks(crew, 0.0, PATIENCE, answering={0})
    assert quiet.count(Ask(0)) == PATIENCE
    assert quiet.count(Ask(1)) == 1
    assert Kill(1) not in quiet
    assert looks(crew, PATIENCE * BEAT, 1, answering={0}) == [Ask(0), Kill(1)]
    assert crew.why(1, SIGKILL) == "because it did not answer for 10 s"
    # Still there at the next look: once more.
    assert Kill(1) in looks(crew, (PATIENCE + 1) * BEAT, 1, answering={0})


def test_one_that_wedges_at_once_every_time_is_a_loop() -> None:
    """It lived until its last answer, not until it was killed."""
    crew, now = serving(), 0.0
    for _ in range(LIVES - 1):
        looks(crew, now, PATIENCE + 1, answering={0})
        now += (PATIENCE + 1) * BEAT
        assert crew.ended(1, SIGKILL, now) == []
        now += 2.0
        assert Spawn(1, again=True) in crew.tick(now)
        crew.ready(1, now)
    looks(crew, now, PATIENCE + 1, answering={0})
    said, *_ = crew.ended(1, SIGKILL, now + 11)
    assert isinstance(said, Say)
    assert "the last time because it did not answer for 10 s" in said.line


@given(away=st.floats(0, 1e6))
def test_a_supervisor_that_was_away_itself_blames_nobody(away: float) -> None:
    """It was stopped, or the machine slept; then an hour is one look."""
    crew = serving()
    looks(crew, 0.0, 5, answering={0, 1})
    assert not any(isinstance(action, Kill) for action in crew.tick(6.0 + away))


def test_a_worker_that_does_not_become_ready_is_killed() -> None:
    """It may hang in a library; another try may not."""
    crew = Crew(1, FAREWELL)
    crew.start(0.0)
    assert looks(crew, 0.0, int(START_LIMIT / BEAT) - 1, answering=set()) == []
    assert looks(crew, START_LIMIT - BEAT, 1, answering=set()) == [Kill(0)]
    assert crew.why(0, SIGKILL) == "because it was not ready after 60 s"


def test_drain() -> None:
    """Who serves may finish, who starts is ended, who is due is not started any more."""
    crew = serving(3)
    crew.ended(1, SIGKILL, 50.0)
    crew.tick(51.0)
    crew.ended(2, SIGKILL, 51.0)
    assert crew.drain(51.0) == [Dismiss(0), Kill(1)]
    assert crew.drain(51.0) == []
    assert not any(isinstance(action, Spawn) for action in crew.tick(60.0))
    assert crew.ended(1, SIGKILL, 60.0) == []
    assert crew.why(0, 0) == ""
    assert crew.ended(0, 0, 61.0) == [End(0)]


def test_drain_has_an_end() -> None:
    """Whoever is not gone by then is killed, and the status says that calls were cut."""
    crew = serving()
    crew.drain(0.0)
    crew.ended(0, 0, 1.0)
    assert crew.next_wakeup <= FAREWELL
    early = looks(crew, 0.0, 5, answering={1})
    assert Kill(1) not in early
    assert Kill(1) in crew.tick(FAREWELL)
    assert crew.next_wakeup > FAREWELL
    assert looks(crew, FAREWELL, 2, answering={1}) == [Kill(1), Kill(1)]
    assert crew.why(1, SIGKILL) == "because it did not end within the grace"
    assert crew.ended(1, SIGKILL, FAREWELL) == [End(1)]


def test_a_grace_without_end_has_none() -> None:
    """`server.grace = inf` is meant."""
    crew = Crew(1, math.inf)
    crew.start(0.0)
    crew.ready(0, 0.0)
    assert crew.drain(0.0) == [Dismiss(0)]
    assert looks(crew, 0.0, 1000, answering={0}) == [Ask(0)] * 1000


def test_a_worker_that_crashes_while_it_leaves_shows_in_the_status() -> None:
    """Its calls were cut, which is not what a drain is for."""
    crew = serving(1)
    crew.drain(0.0)
    assert crew.why(0, -signal.SIGSEGV) == "by SIGSEGV"
    assert crew.ended(0, -signal.SIGSEGV, 1.0) == [End(1)]


def test_a_second_signal_ends_at_once() -> None:
    """Status 143 is SIGTERM's; the kills are no news."""
    crew = serving()
    crew.drain(0.0)
    assert crew.cut(143) == [Kill(0), Kill(1)]
    assert crew.why(0, SIGKILL) == ""
    crew.ended(0, SIGKILL, 0.1)
    assert crew.ended(1, SIGKILL, 0.1) == [End(143)]
    assert crew.cut(143) == []


def test_nobody_left_to_drain() -> None:
    """A signal between the death of the only worker and the next one's start."""
    crew = serving(1)
    crew.ended(0, SIGKILL, 50.0)
    assert crew.drain(50.0) == [End(0)]
    assert crew.phase is Phase.OVER


class Lives(RuleBasedStateMachine):
    """Any order of deaths, silences, failures and signals; processes obey and die late."""

    def __init__(self) -> None:
        super().__init__()
        self.crew = Crew(3, FAREWELL)
        self.now = 0.0
        self.running: dict[int, bool] = {}  # by number: was told to end
        self.ended: list[int] = []
        self.served = 0
        self.dead_since: dict[int, float] = {}

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            assert not self.ended, "something is done after the end"
            match action:
                case Spawn(worker):
                    assert worker not in self.running, "two workers of one number"
                    assert self.crew.phase in {Phase.STARTING, Phase.SERVING}
                    self.running[worker] = False
                    self.dead_since.pop(worker, None)
                case Kill(worker) | Dismiss(worker):
                    assert worker in self.running
                    self.running[worker] = True
                case Ask(worker):
                    assert worker in self.running
                case Serve():
                    self.served += 1
                case End(status):
                    assert not self.running, "somebody is left over"
                    self.ended.append(status)

    @initialize()
    def start(self) -> None:
        self.do(self.crew.start(self.now))

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 5.0, 70.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.crew.tick(self.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def ready(self, data: st.DataObject) -> None:
        self.do(self.crew.ready(data.draw(st.sampled_from(sorted(self.running))), self.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.crew.alive(data.draw(st.sampled_from(sorted(self.running))), self.now)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self.do(self.crew.failed(data.draw(st.sampled_from(sorted(self.running))), ["no"]))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), exit_code=st.sampled_from([0, 1, 2, -9, -11]))
    def die(self, data: st.DataObject, exit_code: int) -> None:
        worker = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[worker]
        self.dead_since[worker] = self.now
        self.crew.why(worker, exit_code)
        self.do(self.crew.ended(worker, exit_code, self.now))

    @rule()
    def drain(self) -> None:
        self.do(self.crew.drain(self.now))

    @rule()
    def cut(self) -> None:
        self.do(self.crew.cut(130))

    @invariant()
    def all_that_leave_are_told(self) -> None:
        if self.crew.phase is Phase.LEAVING:
            assert self.running
            assert all(self.running.values()), "nobody ends whom nobody has told to"

    @invariant()
    def the_dead_are_due(self) -> None:
        if self.crew.phase in {Phase.STARTING, Phase.SERVING}:
            for since in self.dead_since.values():
                assert self.crew.next_wakeup <= since + 5

    @invariant()
    def it_ends_once(self) -> None:
        assert len(self.ended) == (self.crew.phase is Phase.OVER)
        assert self.served <= 1


TestLives = Lives.TestCase
