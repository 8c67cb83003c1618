"""What is to be told of an attempt when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate import wire
    from headgate.errors import HeadgateError


@dataclass(slots=True)
class AttemptReport:
    """One attempt; times in seconds from its start, None for what it did not come to.

    Attributes:
        caller: whose it was.
        outcome: OK, CANCELLED (we left), or the reason of the failure.
        status: the upstream's HTTP status.
        connected: a connection was there, new or kept alive.
        written: the request was let through by the throttle, and written.
        responded: the head of the answer was here.
        first_content: its first content, or its end, was here.
        ended: it was over.
        usage: the tokens, as the upstream counts them.
        number: which attempt of its call it was, from 1.
        error: why it failed, if it did.
    """

    caller: str
    outcome: str = "CANCELLED"
    status: int | None = None
    connected: float | None = None
    written: float | None = None
    responded: float | None = None
    first_content: float | None = None
    ended: float = 0.0
    usage: wire.Usage | None = None
    number: int = 1
    error: HeadgateError | None = None


def unheard(report: AttemptReport) -> None:
    """A listener that does not listen."""
