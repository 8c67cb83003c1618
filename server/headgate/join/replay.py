"""The bounded buffer from which many read one sequence, each at its own pace. No I/O, no clock."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")

FOLD = 64
# Nothing larger is made by folding: what is dropped is dropped in whole items.
FOLD_WEIGHT = 256 * 1024


class Reader:
    """One reader's place.

    Attributes:
        at: the number of the item that it reads next.
        behind: what it would read next was dropped, so it can read no more.
    """

    __slots__ = ("at", "behind")

    def __init__(self) -> None:
        self.at = 0
        self.behind = False

    def __repr__(self) -> str:
        return f"<Reader at {self.at}{' behind' if self.behind else ''}>"


class _Entry(NamedTuple, Generic[Item]):
    first: int
    item: Item
    weight: int


class Replay(Generic[Item]):
    """Keeps a sequence from its first item on, as long as it fits.

    Every reader gets the items in order from the first one, however late it came.
    When the next item does not fit, what happens depends on the readers:

    1. Nobody waits for it: it is not taken, so its source stops. A single reader thus holds the
       source back when it does not read, as without a buffer; so do several that are all slow,
       and so does nobody at all.
    2. Somebody has read everything and waits for it: items are dropped from the front to make
       room. Readers that had still to read those are `behind`, which is the end for them.

    So a reader is given up only for the sake of one that is a whole bound ahead of it.
    Once something was dropped the sequence is not `whole` any more, and nobody can join.

    Args:
        bound: the most weight; one item alone is taken whatever it weighs.
        weigh: the weight of an item.
        fold: makes one item of several, which read as they did; may use them up.
        run: so many items that everybody has read become one, for those who may still join.

    Attributes:
        weight: of all items that are kept.
        whole: nothing was dropped.
        ended: no more items will come.
    """

    def __init__(
        self,
        bound: float,
        *,
        weigh: Callable[[Item], int],
        fold: Callable[[list[Item]], Item],
        run: int = FOLD,
    ) -> None:
        self.weight = 0
        self.whole = True
        self.ended = False
        self._bound = bound
        self._weigh = weigh
        self._fold = fold
        self._run = run
        self._entries: list[_Entry[Item]] = []
        self._folded = 0  # so many entries at the front are not folded again
        self._end = 0
        self._readers: set[Reader] = set()

    def __repr__(self) -> str:
        state = ("" if self.whole else " cut") + (" ended" if self.ended else "")
        return f"<Replay [{self._end} items, weight {self.weight}, {self.readers} readers]{state}>"

    @property
    def readers(self) -> int:
        """How many read, without those that fell behind."""
        return len(self._readers)

    def join(self) -> Reader:
        """A new reader at the first item; only while the sequence is `whole`."""
        if not self.whole:
            raise RuntimeError("the first items were dropped; ask `whole` first")
        reader = Reader()
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """This one reads no more."""
        self._readers.discard(reader)

    def offer(self, item: Item) -> bool:
        """Append an item; False: not now, offer it again when somebody has read or left."""
        weight = self._weigh(item)
        if self._entries and self.weight + weight > self._bound:
            if not any(reader.at == self._end for reader in self._readers):
                return False
            self._drop(self.weight + weight - self._bound)
        self._entries.append(_Entry(self._end, item, weight))
        self._end += 1
        self.weight += weight
        self._fold_what_all_have_read(self._run)
        return True

    def end(self) -> None:
        """There are no more items."""
        self.ended = True

    def has_more(self, reader: Reader) -> bool:
        """Whether `take` would give it something."""
        return not reader.behind and reader.at < self._end

    def take(self, reader: Reader, most: float = math.inf) -> list[Item]:
        """The next items of a reader up to a weight, at least one if there is one.

        The items stay the buffer's own: they must not be changed.
        """
        if not self.has_more(reader):
            return []
        entries, weight = self._entries, 0
        start = stop = bisect_left(entries, reader.at, key=_first)
        while stop < len(entries) and (stop == start or weight + entries[stop].weight <= most):
            weight += entries[stop].weight
            stop += 1
        reader.at = entries[stop].first if stop < len(entries) else self._end
        return [entry.item for entry in entries[start:stop]]

    def settle(self) -> None:
        """Fold all that nobody has still to read; worth it when an ended sequence is kept."""
        while self._fold_what_all_have_read(1):
            pass

    def _drop(self, excess: float) -> None:
        count = 0
        while excess > 0 and count < len(self._entries):
            excess -= self._entries[count].weight
            self.weight -= self._entries[count].weight
            count += 1
        del self._entries[:count]
        self._folded = max(0, self._folded - count)
        self.whole = False
        front = self._entries[0].first if self._entries else self._end
        for reader in [reader for reader in self._readers if reader.at < front]:
            reader.behind = True
            self._readers.discard(reader)

    def _fold_what_all_have_read(self, least: int) -> bool:
        """Fold the next run of items, if there are `least` and all are past them."""
        run = self._entries[self._folded : self._folded + self._run]
        if len(run) < least:
            return False
        if run[-1].first >= min((reader.at for reader in self._readers), default=self._end):
            return False
        heavy = sum(entry.weight for entry in run)
        if len(run) > 1 and heavy <= FOLD_WEIGHT:
            item = self._fold([entry.item for entry in run])
            folded = _Entry(run[0].first, item, self._weigh(item))
            self._entries[self._folded : self._folded + len(run)] = [folded]
            self.weight += folded.weight - heavy
            self._folded += 1
        else:
            self._folded += len(run)
        return True


def _first(entry: _Entry[Item]) -> int:
    return entry.first
