"""What the supervisor decides about its workers: what happened goes in, what to do comes out."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from enum import Enum, auto

BEAT = 1.0
PATIENCE = 10
"""Looks in a row without an answer after which a worker counts as wedged."""
START_LIMIT = 60.0
"""Seconds that a worker may take to be ready."""
YOUNG = 10.0
"""Seconds; a worker that ends sooner has not lived."""
LIVES = 4
"""Workers in a row of one number that have not lived, after which there is no further one."""
BACKOFF, LONGEST_BACKOFF = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker; `again`: one of this number has died."""

    worker: int
    again: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a worker whether it lives."""

    worker: int


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Let a worker finish what it has, and go."""

    worker: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End a worker at once; it may be dead already."""

    worker: int


@dataclass(frozen=True, slots=True)
class Serve:
    """All workers are ready for the first time."""


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the person who started this."""

    line: str


@dataclass(frozen=True, slots=True)
class End:
    """No worker is left; leave with this exit status."""

    status: int


Action = Spawn | Ask | Dismiss | Kill | Serve | Say | End


class Phase(Enum):
    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()
    OVER = auto()


class State(Enum):
    VACANT = auto()
    STARTING = auto()
    SERVING = auto()


@dataclass(slots=True)
class Post:
    """The place of one worker, whoever holds it.

    Attributes:
        since: when its process was started.
        due: when the next is started, while it is vacant.
        heard: the last sign of life.
        unanswered: looks since then.
        unlived: workers in a row that have not lived.
        reason: what it said of why it cannot start, or why it is killed; for messages.
        killed: by us.
        expected: its end is what everything waits for.
    """

    state: State = State.VACANT
    since: float = -math.inf
    due: float = math.inf
    heard: float = -math.inf
    unanswered: int = 0
    unlived: int = 0
    reason: str = ""
    killed: bool = False
    expected: bool = False


class Crew:
    """All workers of one supervisor.

    A worker that ends is replaced after a growing backoff; LIVES in a row that end within YOUNG
    seconds of their start end everything. A worker that answers nothing is killed. The clock is
    an argument; for silence only looks are counted, so that a supervisor that was stopped itself
    blames nobody.

    Args:
        size: how many workers.
        farewell: seconds that they get to leave in; inf: any time.
        beat: seconds between two looks at each worker.
    """

    def __init__(self, size: int, farewell: float, *, beat: float = BEAT) -> None:
        self._beat = beat
        self.phase = Phase.STARTING
        self._posts = [Post() for _ in range(size)]
        self._farewell = farewell
        self._deadline = math.inf
        self._next_look = -math.inf
        self._status = 0

    def __repr__(self) -> str:
        serving = sum(post.state is State.SERVING for post in self._posts)
        return f"<Crew {self.phase.name} [{serving} of {len(self._posts)} serve]>"

    @property
    def next_wakeup(self) -> float:
        """When `tick` has something to do."""
        times = [self._next_look, self._deadline]
        if self.phase in {Phase.STARTING, Phase.SERVING}:
            times += [post.due for post in self._posts]
        return min(times)

    def start(self, now: float) -> list[Action]:
        """The first workers."""
        self._next_look = now + self._beat
        return [self._spawn(worker, now, again=False) for worker in range(len(self._posts))]

    def allow(self, farewell: float) -> None:
        """Another farewell, for when they leave."""
        self._farewell = farewell

    def ready(self, worker: int, now: float) -> list[Action]:
        """It serves."""
        post = self._posts[worker]
        post.state, post.heard = State.SERVING, now
        if self.phase is Phase.STARTING and all(p.state is State.SERVING for p in self._posts):
            self.phase = Phase.SERVING
            return [Serve()]
        return []

    def alive(self, worker: int, now: float) -> None:
        """It has answered."""
        post = self._posts[worker]
        post.heard, post.unanswered = now, 0

    def failed(self, worker: int, lines: list[str]) -> list[Action]:
        """It cannot start, and says why; it ends by itself."""
        self._posts[worker].reason = f"because it could not start: {'; '.join(lines)}"
        if self.phase is not Phase.STARTING:
            return []
        self._posts[worker].expected = True
        return [*(Say(line) for line in lines), *self._leave_at_once(2)]

    def ended(self, worker: int, exit_code: int, now: float) -> list[Action]:
        """Its process is gone; a negative code is a signal's number."""
        post = self._posts[worker]
        why = post.reason or _in_words(exit_code)
        lived = (post.heard if post.killed else now) - post.since
        unlived = 0 if lived >= YOUNG else post.unlived + 1
        self._posts[worker] = Post(unlived=unlived)
        if self.phase is Phase.LEAVING:
            if exit_code and not post.expected:
                self._status = self._status or 1
            return self._end_if_empty()
        if unlived >= LIVES:
            return self._give_up(worker, why, exit_code, now)
        self._posts[worker].due = now + min(BACKOFF * 2**unlived, LONGEST_BACKOFF)
        return []

    def why(self, worker: int, exit_code: int) -> str:
        """Why a process is gone, asked before `ended`; empty: as it should be."""
        post = self._posts[worker]
        if self.phase is Phase.LEAVING and (post.expected or not exit_code):
            return ""
        return post.reason or _in_words(exit_code)

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        actions: list[Action] = []
        if self.phase is Phase.LEAVING and now >= self._deadline:
            self._deadline = math.inf
            for worker in self._alive():
                actions += self._condemn(worker, "because it did not end within the grace")
        if self.phase in {Phase.STARTING, Phase.SERVING}:
            due = [worker for worker, post in enumerate(self._posts) if post.due <= now]
            actions += [self._spawn(worker, now, again=True) for worker in due]
        if now >= self._next_look:
            self._next_look = now + self._beat
            for worker in self._alive():
                actions += self._look(worker, now)
        return actions

    def drain(self, now: float) -> list[Action]:
        """Let everybody finish what they have; nobody is replaced any more."""
        return self._leave(0, now)

    def cut(self, status: int) -> list[Action]:
        """End everybody at once."""
        return self._leave_at_once(status)

    def _spawn(self, worker: int, now: float, *, again: bool) -> Spawn:
        unlived = self._posts[worker].unlived
        self._posts[worker] = Post(State.STARTING, since=now, heard=now, unlived=unlived)
        return Spawn(worker, again=again and self.phase is not Phase.STARTING)

    def _look(self, worker: int, now: float) -> list[Action]:
        post = self._posts[worker]
        if post.killed:
            return [Kill(worker)]
        if post.state is State.STARTING:
            if now - post.since < START_LIMIT:
                return []
            return self._condemn(worker, f"because it was not ready after {START_LIMIT:g} s")
        post.unanswered += 1
        if post.unanswered > PATIENCE:
            return self._condemn(
                worker, f"because it did not answer for {PATIENCE * self._beat:g} s"
            )
        return [Ask(worker)] if post.unanswered == 1 else []

    def _condemn(self, worker: int, reason: str = "") -> list[Action]:
        post = self._posts[worker]
        post.killed, post.reason = True, post.reason or reason
        post.expected = post.expected or not reason
        return [Kill(worker)]

    def _give_up(self, worker: int, why: str, exit_code: int, now: float) -> list[Action]:
        line = (
            f"worker {worker} ended {LIVES} times within {YOUNG:g} s of its start, the last time"
            f" {why}; {_advice(exit_code)}"
        )
        starting = self.phase is Phase.STARTING
        return [Say(line), *(self._leave_at_once(1) if starting else self._leave(1, now))]

    def _leave(self, status: int, now: float) -> list[Action]:
        if self.phase in {Phase.LEAVING, Phase.OVER}:
            return []
        self.phase, self._status, self._deadline = Phase.LEAVING, status, now + self._farewell
        actions: list[Action] = []
        for worker in self._alive():
            if self._posts[worker].state is State.SERVING:
                actions.append(Dismiss(worker))
            else:
                actions += self._condemn(worker)
        return actions + self._end_if_empty()

    def _leave_at_once(self, status: int) -> list[Action]:
        if self.phase is Phase.OVER:
            return []
        self.phase, self._status, self._deadline = Phase.LEAVING, status, math.inf
        actions: list[Action] = []
        for worker in self._alive():
            actions += self._condemn(worker)
        return actions + self._end_if_empty()

    def _alive(self) -> list[int]:
        return [worker for worker, post in enumerate(self._posts) if post.state is not State.VACANT]

    def _end_if_empty(self) -> list[Action]:
        if self._alive():
            return []
        self.phase = Phase.OVER
        return [End(self._status)]


def _in_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"with exit status {exit_code}"
    return f"by {_signal(exit_code)}"


def _signal(exit_code: int) -> str:
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def _advice(exit_code: int) -> str:
    if exit_code == -signal.SIGKILL:
        return "if memory was short, give it more or set fewer server.workers"
    return "see what it wrote above, mend that and start headgate again"
