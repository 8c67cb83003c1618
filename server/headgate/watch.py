"""Who sees every call of a face, from its first byte to its last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from headgate.ending import ending_of
from headgate.progress import Progress

if TYPE_CHECKING:
    from types import TracebackType

    from headgate.ending import Ending


class Watch(Protocol):
    """Makes the Progress of each call of a face, and hears how the call ends."""

    def begin(self, face: str, method: str = "unknown") -> Progress:
        """A call is here.

        Args:
            face: grpc or http.
            method: Chat or StreamChat, where that is known already.
        """
        ...

    def end(self, progress: Progress, ending: Ending) -> None:
        """The call is over; called in its task, must not raise."""


class Unwatched:
    """A Watch that nobody reads."""

    def begin(self, face: str, method: str = "unknown") -> Progress:
        return Progress(time.monotonic, face, method)

    def end(self, progress: Progress, ending: Ending) -> None:
        pass


class Watching:
    """The context of one call: how the block ends is how the call ends; errors pass through.

    Args:
        watch: sees it.
        face, method: see `Watch.begin`.
    """

    __slots__ = ("_face", "_method", "_progress", "_watch")

    def __init__(self, watch: Watch, face: str, method: str = "unknown") -> None:
        self._watch = watch
        self._face = face
        self._method = method

    def __enter__(self) -> Progress:
        self._progress = self._watch.begin(self._face, self._method)
        return self._progress

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        progress = self._progress
        self._watch.end(progress, ending_of(error, progress.call, progress.clock()))
        progress.let_go()
