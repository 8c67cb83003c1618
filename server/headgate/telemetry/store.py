"""The state of the schedule's store, in the words of the page and of the metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from headgate.throttle.shared_store import SharedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.throttle.courier import Courier
    from headgate.throttle.store import Store

Kind = Literal["memory", "supervisor", "redis"]


class StoreWatch:
    """Looks at a store from time to time, because a store does not say since when it is lost.

    Args:
        kind: who keeps the schedule.
        store: what the throttle asks.
        courier: what fetches for it; None for the memory of this process.
        wall: seconds since the epoch.

    Attributes:
        lost_since: seconds since the epoch, as seen at a look; None: it is not lost.
    """

    def __init__(
        self,
        kind: Kind,
        store: Store,
        courier: Courier | None = None,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.kind: Kind = kind
        self.store = store
        self.lost_since: float | None = None
        self._courier = courier
        self._wall = wall

    def look(self) -> None:
        """Notice that it was lost, or found."""
        if not self.lost:
            self.lost_since = None
        elif self.lost_since is None:
            self.lost_since = self._wall()

    @property
    def shared(self) -> SharedStore | None:
        return self.store if isinstance(self.store, SharedStore) else None

    @property
    def name(self) -> str:
        """Without secrets."""
        return self._courier.name if self._courier else "the memory of this process"

    @property
    def lost(self) -> bool:
        return self.shared is not None and self.shared.alone

    @property
    def losses(self) -> int:
        return self._courier.losses if self._courier else 0

    @property
    def members(self) -> int:
        """How many share the limit, as far as is known."""
        return self.shared.members if self.shared else 1

    @property
    def rank(self) -> int:
        """This one's place among them, from 0."""
        return self.shared.rank if self.shared else 0

    @property
    def share(self) -> float:
        """The part of the rate that this process may use up by itself."""
        return 1 / self.members if self.lost else 1.0

    @property
    def counts(self) -> dict[str, int]:
        """What became of grants; empty for a store that has none."""
        return dict(self.shared.counts) if self.shared else {}
