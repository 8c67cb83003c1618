"""A text that counts what is done with it, where many small ones must not cost their square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections import Counter


class CountedText(str):
    """Counts how often it is `compared`, and `added` to a text that stands before it."""

    __slots__ = ("_counts",)
    _counts: Counter[str]

    def __new__(cls, text: str, counts: Counter[str]) -> Self:
        self = super().__new__(cls, text)
        self._counts = counts
        return self

    def __eq__(self, other: object) -> bool:
        self._counts["compared"] += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__

    def __radd__(self, before: str) -> str:
        self._counts["added"] += 1
        return before + str(self)
