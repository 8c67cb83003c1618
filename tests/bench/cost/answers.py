"""What comes back for a call, counted while it comes."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from bench.cost import stamps

if TYPE_CHECKING:
    from collections.abc import Callable


class Tally:
    """What all answers of one load have brought so far.

    Attributes:
        tokens: of all of them.
        messages: gRPC messages or HTTP events which had tokens in them.
        delays: microseconds that each token was on its way, while `timed`.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.messages = 0
        self.timed = False
        self.delays = array("q")

    def hear(self, message: bytes, at: int) -> int:
        """Count the tokens of one message, which arrived at a stamp; tells how many they are."""
        found = stamps.find(message)
        if found:
            self.messages += 1
            self.tokens += len(found)
            if self.timed:
                self.delays.extend([stamps.age(stamp, at) for stamp in found])
        return len(found)


class Answer:
    """One call's.

    Attributes:
        tokens: so far.
        failure: how it went wrong, once it did.
        over: it has ended, well or not.
    """

    __slots__ = ("_tally", "failure", "on_end", "on_first", "over", "rest", "tokens", "unread")

    def __init__(
        self,
        tally: Tally,
        on_end: Callable[[Answer], None],
        on_first: Callable[[], None] | None = None,
    ) -> None:
        self._tally = tally
        self.on_end = on_end
        self.on_first = on_first
        self.tokens = 0
        self.failure = ""
        self.over = False
        self.rest = b""
        self.unread = 0

    def hear(self, message: bytes, at: int) -> None:
        count = self._tally.hear(message, at)
        if count and not self.tokens and self.on_first:
            self.on_first()
        self.tokens += count

    def end(self, failure: str = "") -> None:
        """It has ended; a second time does not count."""
        if not self.over:
            self.over = True
            self.failure = failure
            self.on_end(self)
