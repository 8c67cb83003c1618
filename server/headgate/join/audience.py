"""Tells everybody who reads one call what happens to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.upstream import Peekable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from headgate.errors import HeadgateError
    from headgate.upstream import Observer, Place


class Audience:
    """An Observer of the shared call; who comes later hears first what it has missed.

    So the number of attempts is the same for all, and the times count from when each one came.

    Attributes:
        place: tells where the call stands in line, while it waits there.
    """

    def __init__(self) -> None:
        self.place: Callable[[], Place] | None = None
        self._observers: dict[Hashable, Observer] = {}
        self._ended: list[HeadgateError | None] = []
        self._running = False

    def add(self, who: Hashable, observer: Observer) -> None:
        for error in self._ended:
            observer.attempt_started()
            observer.attempt_ended(error)
        if self.place is not None:
            observer.queued(self.place)
        if self._running:
            observer.attempt_started()
        self._observers[who] = observer

    def peek(self) -> Place | None:
        """Where the call stands, for who tells nobody; None while it does not wait."""
        place = self.place
        return place.peek() if isinstance(place, Peekable) else place and place()

    def remove(self, who: Hashable) -> None:
        del self._observers[who]

    def queued(self, place: Callable[[], Place]) -> None:
        self.place = place
        for observer in self._observers.values():
            observer.queued(place)

    def attempt_started(self) -> None:
        self.place = None
        self._running = True
        for observer in self._observers.values():
            observer.attempt_started()

    def attempt_ended(self, error: HeadgateError | None) -> None:
        self._running = False
        # A twin, because an error that was raised holds on to the whole call.
        self._ended.append(error and error.twin())
        for observer in self._observers.values():
            observer.attempt_ended(error)
