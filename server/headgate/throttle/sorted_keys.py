"""A sorted sequence that knows how many keys stand before one."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

K = TypeVar("K", bound=tuple[Any, ...])

BLOCK = 512


class SortedKeys(Generic[K]):
    """Distinct tuples in ascending order: add, remove, both ends, and rank.

    The keys lie in blocks of at most 2 * BLOCK, so every change moves a few kilobytes whatever
    the length; blocks and places in them are found by bisection.
    """

    __slots__ = ("_blocks", "_lasts", "_length")

    def __init__(self) -> None:
        self._blocks: list[list[K]] = []
        self._lasts: list[K] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[K]:
        return chain.from_iterable(self._blocks)

    def add(self, key: K) -> None:
        self._length += 1
        lasts = self._lasts
        if not lasts:
            self._blocks.append([key])
            lasts.append(key)
            return
        if key > lasts[-1]:
            at = len(lasts) - 1
            self._blocks[at].append(key)
            lasts[at] = key
        else:
            at = bisect_left(lasts, key)
            insort(self._blocks[at], key)
        if len(self._blocks[at]) > 2 * BLOCK:
            self._split(at)

    def remove(self, key: K) -> None:
        """Takes out a key that is there; KeyError otherwise."""
        at = bisect_left(self._lasts, key)
        if at < len(self._blocks):
            block = self._blocks[at]
            place = bisect_left(block, key)
            if block[place] == key:
                del block[place]
                self._shrunk(at)
                return
        raise KeyError(key)

    def first(self) -> K:
        return self._blocks[0][0]

    def last(self) -> K:
        return self._lasts[-1]

    def pop_first(self) -> K:
        key = self._blocks[0].pop(0)
        self._shrunk(0)
        return key

    def rank(self, key: tuple[Any, ...]) -> int:
        """How many keys are smaller than this one, which need not be there itself."""
        at = bisect_left(self._lasts, key)
        if at == len(self._lasts):
            return self._length
        before = sum(map(len, self._blocks[:at])) if at else 0
        return before + bisect_left(self._blocks[at], key)

    def _shrunk(self, at: int) -> None:
        self._length -= 1
        block = self._blocks[at]
        if block:
            self._lasts[at] = block[-1]
        else:
            del self._blocks[at]
            del self._lasts[at]

    def _split(self, at: int) -> None:
        block = self._blocks[at]
        self._blocks.insert(at + 1, block[BLOCK:])
        del block[BLOCK:]
        self._lasts.insert(at, block[-1])
