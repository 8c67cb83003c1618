"""What happened to one call on its way, heard as an Observer and told as figures."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from headgate.errors import HeadgateError
    from headgate.upstream import Call, Place

Phase = Literal["checking", "queued", "waiting for the first token", "streaming"]


class Progress:
    """Follows a call; all times in seconds on the given clock.

    Attributes:
        attempts: how many went upstream.
        queue_wait: time spent waiting for slots, over all attempts.
        upstream_time: time spent in attempts.
        time_to_first_delta: from the arrival of the call, or None while there is none.
        last_error: why the latest attempt failed, if it did.
        on_attempt: called when an attempt starts.
        on_queued: called with a function that tells the place in line when the call must wait.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.started = clock()
        self.attempts = 0
        self.queue_wait = 0.0
        self.upstream_time = 0.0
        self.time_to_first_delta: float | None = None
        self.last_error: HeadgateError | None = None
        self.phase: Phase = "checking"
        self.on_queued: Callable[[Callable[[], Place]], None] | None = None
        self.on_attempt: Callable[[], None] | None = None
        self._queued_at: float | None = None
        self._attempt_at: float | None = None

    def queued(self, place: Callable[[], Place]) -> None:
        if self._queued_at is None:
            self._queued_at = self._clock()
        self.phase = "queued"
        if self.on_queued is not None:
            self.on_queued(place)

    def attempt_started(self) -> None:
        now = self._clock()
        if self._queued_at is not None:
            self.queue_wait += now - self._queued_at
            self._queued_at = None
        self.attempts += 1
        self._attempt_at = now
        self.phase = "waiting for the first token"
        if self.on_attempt is not None:
            self.on_attempt()

    def attempt_ended(self, error: HeadgateError | None) -> None:
        self.last_error = error
        if self._attempt_at is not None:
            self.upstream_time += self._clock() - self._attempt_at
            self._attempt_at = None

    def admitted(self, call: Call) -> None:
        """The call is known: its caller, its deadline, whether it streams."""

    def delta_sent(self, count: int = 1) -> None:  # noqa: ARG002 - for those who count
        """Content went out, `count` upstream deltas in one write."""
        if self.time_to_first_delta is None:
            self.time_to_first_delta = self._clock() - self.started
            self.phase = "streaming"

    def upstream_so_far(self) -> float:
        """As `upstream_time`, with the attempt that is still running."""
        running = 0.0 if self._attempt_at is None else self._clock() - self._attempt_at
        return self.upstream_time + running

    def overhead(self) -> float:
        """What the call took beyond its queueing and its attempts."""
        total = self._clock() - self.started
        return max(0.0, total - self.queue_wait - self.upstream_so_far())


class Watch(Protocol):
    """Makes the Progress of each call of a face, and sees how the call ends."""

    def __call__(self, face: str, method: str = "unknown") -> AbstractContextManager[Progress]:
        """Around one call, from its first byte to its last; its errors pass through.

        Args:
            face: grpc or http.
            method: Chat or StreamChat, where that is known already.
        """
        ...


@contextmanager
def unwatched(face: str, method: str = "unknown") -> Iterator[Progress]:  # noqa: ARG001 - a Watch
    """A Watch that nobody reads."""
    yield Progress(time.monotonic)
