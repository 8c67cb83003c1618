"""What happened to one call on its way, heard as an Observer and told as figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from structlog.contextvars import bind_contextvars

from headgate.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headgate import wire
    from headgate.errors import HeadgateError
    from headgate.upstream import Call, Chunk, Head, Place

Phase = Literal["checking", "queued", "waiting for the first token", "streaming"]


class Follower(Protocol):
    """Hears what a Progress hears, as it happens; called synchronously, must not block or raise."""

    def entered(self, headers: Mapping[str, str]) -> None:
        """The call's metadata is known; names are in lower case, or do not care about it."""

    def admitted(self, call: Call) -> None:
        """The request is known, and keeps the rules."""

    def queued(self) -> None:
        """The call waits for a slot."""

    def attempt_started(self) -> None:
        """An attempt goes upstream."""

    def attempt_ended(self, error: HeadgateError | None) -> None:
        """The attempt is over."""

    def first_delta(self) -> None:
        """The first content went out."""


class Progress:
    """Follows a call.

    Args:
        clock: monotonic seconds.
        face: grpc or http.
        method: Chat or StreamChat; unknown over HTTP until the call is admitted.

    Attributes:
        clock, face, method: see there.
        started: when the call came.
        attempts: how many went upstream.
        queue_wait: time spent waiting for slots, over all attempts.
        upstream_time: time spent in attempts.
        time_to_first_delta: from the arrival of the call, or None while there is none.
        failed_status: the upstream's HTTP status in the latest failure that had one.
        request_id: of the call.
        path: of the HTTP request; empty over gRPC.
        caller: its identity, as soon as it is known.
        call: the call, as soon as it is admitted.
        head, usage, finishes: what the upstream said of its answer, so far.
        status_sent: whether the HTTP status of a stream, which is 200, is out.
        deltas: of the upstream's, how many were sent on when the stream was over.
        follower: told of everything, if there is one.
        on_attempt: called when an attempt starts.
        on_queued: called with a function that tells the place in line when the call must wait.
    """

    def __init__(
        self, clock: Callable[[], float], face: str = "grpc", method: str = "unknown"
    ) -> None:
        self.clock = clock
        self.face = face
        self.method = method
        self.started = clock()
        self.attempts = 0
        self.queue_wait = 0.0
        self.upstream_time = 0.0
        self.time_to_first_delta: float | None = None
        self.failed_status: int | None = None
        self.request_id = ""
        self.path = ""
        self.caller = ""
        self.call: Call | None = None
        self.head: Head | None = None
        self.usage: wire.Usage | None = None
        self.finishes: dict[int, str] = {}
        self.status_sent = False
        self.deltas = 0
        self.follower: Follower | None = None
        self.phase: Phase = "checking"
        self.on_queued: Callable[[Callable[[], Place]], None] | None = None
        self.on_attempt: Callable[[], None] | None = None
        self._queued_at: float | None = None
        self._attempt_at: float | None = None

    def entered(self, request_id: str, headers: Mapping[str, str], path: str = "") -> None:
        """The call is here; from now on every line of its task has the request id."""
        self.request_id = request_id
        self.path = path
        bind_contextvars(request_id=request_id)
        if self.follower is not None:
            self.follower.entered(headers)

    def admit(self, call: Call) -> None:
        """The call is known: its caller, its deadline, whether it streams."""
        self.call = call
        self.method = "StreamChat" if call.request.stream else "Chat"
        if self.follower is not None:
            self.follower.admitted(call)
        self.admitted(call)

    def admitted(self, call: Call) -> None:
        """For those who count."""

    def heard(self, chunk: Chunk) -> None:
        """What a Chunk tells of the answer beside its text."""
        if self.head is None:
            self.head = chunk.head
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.finishes:
            self.finishes.update(chunk.finishes)

    def queued(self, place: Callable[[], Place]) -> None:
        if self._queued_at is None:
            self._queued_at = self.clock()
        self.phase = "queued"
        if self.follower is not None:
            self.follower.queued()
        if self.on_queued is not None:
            self.on_queued(place)

    def attempt_started(self) -> None:
        now = self.clock()
        if self._queued_at is not None:
            self.queue_wait += now - self._queued_at
            self._queued_at = None
        self.attempts += 1
        self._attempt_at = now
        self.phase = "waiting for the first token"
        if self.follower is not None:
            self.follower.attempt_started()
        if self.on_attempt is not None:
            self.on_attempt()

    def attempt_ended(self, error: HeadgateError | None) -> None:
        if self._attempt_at is not None:
            self.upstream_time += self.clock() - self._attempt_at
            self._attempt_at = None
        if isinstance(error, UpstreamError) and error.status is not None:
            self.failed_status = error.status
        if self.follower is not None:
            self.follower.attempt_ended(error)

    def delta_sent(self, count: int = 1) -> None:  # noqa: ARG002 - for those who count
        """Content went out, `count` upstream deltas in one write."""
        if self.time_to_first_delta is None:
            self.time_to_first_delta = self.clock() - self.started
            self.phase = "streaming"
            if self.follower is not None:
                self.follower.first_delta()

    def let_go(self) -> None:
        """The call is over, and what has this object goes with it.

        Each of these is a cycle, which only Python's collector would free.
        """
        self.call = self.follower = self.on_queued = self.on_attempt = None

    def upstream_so_far(self) -> float:
        """As `upstream_time`, with the attempt that is still running."""
        running = 0.0 if self._attempt_at is None else self.clock() - self._attempt_at
        return self.upstream_time + running

    def queued_so_far(self) -> float:
        """As `queue_wait`, with the wait that is not over."""
        waiting = 0.0 if self._queued_at is None else self.clock() - self._queued_at
        return self.queue_wait + waiting

    def overhead(self) -> float:
        """What the call took beyond its queueing and its attempts."""
        total = self.clock() - self.started
        return max(0.0, total - self.queued_so_far() - self.upstream_so_far())
