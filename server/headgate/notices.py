"""When to tell a waiting caller where it stands, and when to send a heartbeat. No I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headgate.answer import duration
from headgate.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.upstream import Place

MIN_GAP = 0.5
MAX_GAP = 15.0
# An estimate that moved by less than this is the same estimate.
SAME_ESTIMATE = 0.25


class Notices:
    """Decides what is due; the rules are those of the contract's Queued and Heartbeat.

    Queued: on change but at most twice a second, at least every 15 s, anew after a failed attempt,
    never for a call that starts at once. Heartbeat: while nothing else was sent for `heartbeat`.
    """

    def __init__(self, now: float, *, queue_updates: bool, heartbeat: float = math.inf) -> None:
        self._queue_updates = queue_updates
        self._heartbeat = heartbeat
        self._last_sent = now
        self._place: Callable[[], Place] | None = None
        self._told: tuple[int, float] | None = None
        self._told_at = -math.inf
        self._looked_at = -math.inf

    def queued(self, place: Callable[[], Place]) -> None:
        """The call has to wait."""
        if self._queue_updates:
            self._place = place
            self._told = None

    def running(self) -> None:
        """The call waits no longer."""
        self._place = None

    def sent(self, now: float) -> None:
        """Something went out to the caller."""
        self._last_sent = now

    def next_at(self) -> float:
        """When to ask again; inf when nothing can become due by time alone."""
        queued = math.inf if self._place is None else self._looked_at + MIN_GAP
        return min(queued, self._last_sent + self._heartbeat)

    def due(self, now: float) -> pb.StreamChatResponse | None:
        """The event to send now, if any."""
        if self._place is not None and now >= self._looked_at + MIN_GAP:
            event = self._queued_event(self._place(), now)
            if event is not None:
                return event
        if now >= self._last_sent + self._heartbeat:
            return pb.StreamChatResponse(heartbeat=pb.Heartbeat())
        return None

    def _queued_event(self, place: Place, now: float) -> pb.StreamChatResponse | None:
        self._looked_at = now
        slot = math.nan if place.wait is None else now + place.wait
        overdue = now >= self._told_at + MAX_GAP
        if not overdue and not self._changed(place.position, slot):
            return None
        self._told = (place.position, slot)
        self._told_at = now
        wait = None if place.wait is None else duration(max(0.0, place.wait))
        queued = pb.Queued(position=place.position, estimated_wait=wait, exact=place.exact)
        return pb.StreamChatResponse(queued=queued)

    def _changed(self, position: int, slot: float) -> bool:
        if self._told is None or self._told[0] != position:
            return True
        same = abs(slot - self._told[1]) <= SAME_ESTIMATE
        return not same and not (math.isnan(slot) and math.isnan(self._told[1]))
