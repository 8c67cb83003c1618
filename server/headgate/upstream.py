"""The corridor's vocabulary: a Call goes in, Chunks come back, and every door is an Upstream."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from headgate import wire  # noqa: TC001 - a Struct's annotations are looked up at run time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from headgate.errors import HeadgateError


class Place(NamedTuple):
    """Where a waiting call stands.

    Attributes:
        position: 1 for the next to start, counting over all callers.
        wait: seconds until its slot, or None when nothing can be said.
        exact: whether `wait` is arithmetic (a pace alone) or an estimate (a cap in flight).
    """

    position: int
    wait: float | None
    exact: bool


@runtime_checkable
class Peekable(Protocol):
    """Tells a Place, as `Observer.queued` is given it, also to who will not pass it on."""

    def peek(self) -> Place:
        """The place; nobody hears of it, so that no promise is made."""


class Gate(Protocol):
    """Stands between a connection and the request on it: what counts is when requests arrive."""

    async def connected(self) -> bool:
        """Called with the connection up: whether the request may be written now.

        False: there was a wait, in which the connection may have gone; see to it, and ask again.

        Raises:
            Refused: the moment will not come in time.
        """

    def written(self) -> None:
        """Called when the request has left."""


class Observer(Protocol):
    """Hears what happens to a call on its way; called synchronously, must not block or raise."""

    def queued(self, place: Callable[[], Place]) -> None:
        """The call waits for a slot; `place` may be asked where it stands until it starts."""

    def attempt_started(self) -> None:
        """A slot was granted and an attempt goes upstream."""

    def attempt_ended(self, error: HeadgateError | None) -> None:
        """The attempt is over; `error` is why, when it failed."""


class Trail(Protocol):
    """What the attempts of a call carry along of its trace."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """For the request of the attempt that is under way."""
        ...

    def responded(self, status: int) -> None:
        """The upstream answered with this HTTP status."""

    def said(self, messages: str, answer: str) -> None:
        """What was asked and answered, each as JSON; only where an operator wants that kept."""


class Taker(Protocol):
    """Takes a lone delta while whoever reads the Chunks waits for the next one.

    Most reads bring one delta and nothing else; taken here, it wakes no task.
    """

    def take(self, delta: Delta) -> bool:
        """Whether it was taken; if not, it comes as a Chunk. Must not block or raise."""
        ...


class Silent:
    """An Observer that does not listen."""

    def queued(self, place: Callable[[], Place]) -> None:
        pass

    def attempt_started(self) -> None:
        pass

    def attempt_ended(self, error: HeadgateError | None) -> None:
        pass


@dataclass(kw_only=True, slots=True)
class Call:
    """One call on its way upstream, the same for all of its attempts.

    Attributes:
        request: the JSON body; `request.stream` is always set.
        extra: upstream parameters outside the contract, already allowed by the configuration.
        caller: the identity whose line and allowance this call uses.
        priority: within the caller's own line; higher goes first.
        deadline: on the event loop's clock, or None.
        max_queue_wait: seconds, or None.
        prior_attempts: attempts that the client says it has already made (gRFC A6).
        mesh_attempts: attempts that a mesh says it has made, which heeds no pushback.
        request_id: for logs and the upstream's `x-request-id`.
        labels: for logs and spans, never sent upstream.
        observer: hears about queueing and attempts.
        system_prompt_applied: whether the gateway put its system prompt in.
        trail: the trace that its attempts belong to, if there is one.
        gate: the throttle's word on when an attempt may write its request.
        taker: given lone deltas at once by the upstream, between the Chunks, if there is one; a
            door that reads the Chunks itself takes it away.
        idempotency_key: calls of this caller with the same one share one call; empty: none.
        attempt: the number of the attempt that is under way, from 1.
        spent: seconds that attempts have used so far; queueing and backoff do not count.
        promised: its caller was told that it is queued, so that a drain lets it have its turn.
    """

    request: wire.ChatRequest
    extra: Mapping[str, Any] = field(default_factory=dict)
    caller: str = ""
    priority: int = 0
    deadline: float | None = None
    max_queue_wait: float | None = None
    prior_attempts: int = 0
    mesh_attempts: int = 0
    request_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    observer: Observer = field(default_factory=Silent)
    system_prompt_applied: bool = False
    trail: Trail | None = None
    gate: Gate | None = None
    taker: Taker | None = None
    idempotency_key: str = ""
    attempt: int = 1
    spent: float = 0.0
    promised: bool = False

    @property
    def deadline_or_inf(self) -> float:
        return math.inf if self.deadline is None else self.deadline

    def forget_prompt(self) -> None:
        """No attempt follows; a long prompt would be kept for as long as its answer runs."""
        self.request.messages = []
        self.request.tools = None


class Head(Struct, frozen=True):
    """Who answers; `created` in seconds since the epoch, 0 when the upstream did not say."""

    id: str = ""
    model: str = ""
    created: float = 0.0
    system_fingerprint: str = ""


class ToolCallPiece(Struct):
    """A fragment of a tool call; `index` is always filled, id and name may come only once."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Delta(Struct):
    """One content increment of one choice; `count` upstream deltas are in it."""

    choice: int = 0
    content: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: list[ToolCallPiece] = []
    logprobs: wire.Logprobs | None = None
    count: int = 1


class Chunk(Struct):
    """What one read of the upstream brought, in order; a unary answer is one Chunk with all of it.

    `finishes` maps a choice's index to the upstream's own word for why it ended; `extra` holds what
    it said that has no field of the contract, over all Chunks of an answer at most 64 KiB of JSON.
    """

    head: Head | None = None
    deltas: list[Delta] = []
    finishes: dict[int, str] = {}
    usage: wire.Usage | None = None
    extra: dict[str, Any] = {}


def extend(whole: Chunk, chunk: Chunk) -> None:
    """Put a later Chunk behind what came before."""
    whole.head = whole.head or chunk.head
    whole.deltas += chunk.deltas
    whole.finishes |= chunk.finishes
    whole.usage = chunk.usage or whole.usage
    whole.extra |= chunk.extra


class Upstream(Protocol):
    """What every door looks like, from the outermost to the one that speaks HTTP.

    `open` returns once the first content delta, or the end, is in hand;
    that Chunk is the iterator's first item, and the first Chunk of all carries the `head`.
    The iterator ends normally only when the answer is finished (every choice has its reason, or
    the upstream said it is done); anything else raises a HeadgateError.
    """

    def open(self, call: Call) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Open the answer to a call; leaving the context closes and frees everything."""
        ...
