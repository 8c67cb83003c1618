"""The door to a shared schedule: all that a store in another process has to offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.throttle.pacer import Pace


class LedgerError(Exception):
    """The schedule cannot be reached, or does not know us any more; one line that says why."""


class Standing(NamedTuple):
    """What a reply says of the schedule and of those who share it; seconds are monotonic here.

    Attributes:
        instants: the slots that were reserved, rising.
        free_at: the earliest instant that nobody had when the reply was made.
        members: how many share the schedule, this one included; 1 or more.
        rank: this one's place among them, from 0; the same order for all.
        origin: an instant that is the same moment for all members.
    """

    instants: Sequence[float]
    free_at: float
    members: int
    rank: int
    origin: float


class Ledger(Protocol):
    """One member's access to the schedule that it shares with others.

    All instants are this process's monotonic seconds, whatever clock the keeper of the schedule
    uses: an instant is never earlier here than the keeper meant it.
    One call is under way at a time, in a task that no RPC can cancel; the caller sets the timeout,
    so every method may be cancelled at any moment, and the next `join` must find a clean start.

    Attributes:
        name: for logs and messages, without secrets.
        on_pause: called with an instant when another member says that nothing may start before it.
        on_change: called when another member has come or gone.
    """

    name: str
    on_pause: Callable[[float], None]
    on_change: Callable[[], None]

    async def join(self, *, latest: float, settle: float) -> Standing:
        """Enter, or come back after a loss; connects anew.

        Args:
            latest: the latest instant that it knows to be taken; -inf: none.
            settle: seconds for which others may still use their own shares, so that nothing must
                start; 0 for who was not away.

        Raises:
            LedgerError: out of reach.
        """

    async def reserve(self, count: int, lead: float) -> Standing:
        """Take the next `count` slots that are at least `lead` seconds away; 0 says only: I live.

        Raises:
            LedgerError: out of reach; what was reserved meanwhile is lost.
        """

    async def give_back(self, instants: Sequence[float]) -> None:
        """Let others have these slots.

        Raises:
            LedgerError: out of reach.
        """

    async def pause(self, until: float) -> None:
        """Nothing may start before this instant, at any member.

        Raises:
            LedgerError: out of reach.
        """

    def change(self, pace: Pace) -> None:
        """This member keeps another pace from now on."""

    async def aclose(self) -> None:
        """Leave; raises nothing."""
