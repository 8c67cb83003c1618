"""Keeps warnings that come again and again from filling the log."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, WrappedLogger

CALL = "call"
"""The event of the line that every call leaves; it is never left out."""

# What differs from call to call, so that it does not make a warning another one.
_OF_ONE_CALL = frozenset(
    {
        "attempt",
        "event",
        "level",
        "request_id",
        "seconds",
        "span_id",
        "times",
        "timestamp",
        "trace_id",
    }
)


class _Seen:
    """One kind of warning."""

    __slots__ = ("left_out", "since", "written")

    def __init__(self, since: float) -> None:
        self.since = since
        self.written = 0
        self.left_out = 0


class Repeats:
    """Of lines that say the same, `burst` in every `seconds`.

    As a structlog processor it looks at warnings, and at what libraries say; the next one that is
    written says in `left_out` how many were not.

    Args:
        burst: lines.
        seconds: after which they may be written again.
        room: kinds of warning that are told apart; those seen last are remembered.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        burst: int = 5,
        seconds: float = 10.0,
        room: int = 500,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._seconds = seconds
        self._room = room
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()  # libraries log from threads of their own

    def __repr__(self) -> str:
        return f"<Repeats {len(self._seen)} kinds>"

    def __call__(self, _: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Pass the line on.

        Raises:
            structlog.DropEvent: it was written often enough.
        """
        said_by_library = "template" in event
        if not said_by_library and (method != "warning" or event["event"] == CALL):
            return event
        left_out = self.due(_kind(event))
        if left_out is None:
            raise structlog.DropEvent
        if left_out:
            event["left_out"] = left_out
        return event

    def due(self, kind: str) -> int | None:
        """Whether a line of this kind may be written: how many were not since the last, or None."""
        with self._lock:
            seen = self._of(kind)
            if seen.written >= self._burst:
                seen.left_out += 1
                return None
            seen.written += 1
            left_out, seen.left_out = seen.left_out, 0
            return left_out

    def _of(self, kind: str) -> _Seen:
        now = self._clock()
        seen = self._seen.pop(kind, None)
        if seen is None:
            seen = _Seen(now)
            if len(self._seen) >= self._room:
                del self._seen[next(iter(self._seen))]
        elif now - seen.since >= self._seconds:
            seen.since, seen.written = now, 0
        self._seen[kind] = seen  # the latest stands last
        return seen


def _kind(event: EventDict) -> str:
    """What the warning says, without whose call it is; of a library's line, its template."""
    if "template" in event:
        return f"{event['logger']} {event['template']}"
    facts = sorted((name, repr(event[name])) for name in event.keys() - _OF_ONE_CALL)
    return f"{event['event']} {facts}"
