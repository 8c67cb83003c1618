"""The slots that were named to refused callers."""

from __future__ import annotations

from collections import Counter, deque

PER_CALLER = 128
"""A caller that hammers on must not push the advice for everybody else into the far future."""

IN_ALL = 1024


class AdviceBook:
    """Remembers which slots were named, so that no two callers are sent to the same one.

    A named slot is not held: it only puts later advice behind it, until its instant has passed.
    Beyond PER_CALLER open ones of a caller, or IN_ALL, the last named slot is named again.
    """

    __slots__ = ("_by_caller", "_last", "_named")

    def __init__(self) -> None:
        self._named: deque[tuple[float, str]] = deque()
        self._by_caller: Counter[str] = Counter()
        self._last = 0.0

    def __len__(self) -> int:
        return len(self._named)

    def name(self, now: float, caller: str, slot: float, step: float) -> float:
        """Names this slot (instant), or the first one that is `step` seconds behind all named."""
        self._forget(now)
        if not self._named:
            self._last = slot
        elif self._by_caller[caller] < PER_CALLER and len(self._named) < IN_ALL:
            self._last = max(slot, self._last + step)
        else:
            return max(slot, self._last)
        self._named.append((self._last, caller))
        self._by_caller[caller] += 1
        return self._last

    def _forget(self, now: float) -> None:
        while self._named and self._named[0][0] <= now:
            _, caller = self._named.popleft()
            self._by_caller[caller] -= 1
            if not self._by_caller[caller]:
                del self._by_caller[caller]
