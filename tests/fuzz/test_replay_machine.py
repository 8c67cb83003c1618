"""The replay buffer under random readers: joins, leaves, slow ones, any items, any bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from headgate.join.replay import Replay

if TYPE_CHECKING:
    from headgate.join.replay import Reader


class Seen:
    """A reader and what it was given."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.text = ""


class ReplayMachine(RuleBasedStateMachine):
    """Items are texts; what was written is the one sequence that everybody reads."""

    readers = Bundle("readers")

    @initialize(bound=st.integers(1, 400), run=st.integers(2, 4))
    def begin(self, bound: int, run: int) -> None:
        self.bound = bound
        self.replay: Replay[str] = Replay(bound, weigh=len, fold="".join, run=run)
        self.written = ""
        self.largest = 0
        self.number = 0
        self.present: set[Seen] = set()

    @precondition(lambda self: self.replay.whole)
    @rule(target=readers)
    def join(self) -> Seen:
        seen = Seen(self.replay.join())
        self.present.add(seen)
        return seen

    @rule(seen=consumes(readers))
    def leave(self, seen: Seen) -> None:
        self.replay.leave(seen.reader)
        self.present.discard(seen)

    @rule(seen=readers, most=st.integers(0, 120))
    def take(self, seen: Seen, most: int) -> None:
        had_more = self.replay.has_more(seen.reader)
        items = self.replay.take(seen.reader, most)
        assert bool(items) == had_more
        assert len(items) <= 1 or sum(map(len, items)) <= most
        seen.text += "".join(items)

    @precondition(lambda self: not self.replay.ended)
    @rule(length=st.integers(1, 30), count=st.integers(1, 6))
    def write(self, length: int, count: int) -> None:
        for _ in range(count):
            self.number += 1
            item = f"{self.number:x},".rjust(length, ".")
            weight, hungry = self.replay.weight, self.hungry()
            before = {seen for seen in self.present if not seen.reader.behind}
            took = self.replay.offer(item)
            fell = {seen for seen in before if seen.reader.behind}
            fits = not weight or weight + len(item) <= self.bound
            assert took == (fits or bool(hungry))
            assert not fell or not fits
            assert not fell & hungry
            if not took:
                return
            self.written += item
            self.largest = max(self.largest, len(item))

    @precondition(lambda self: self.number > 30)
    @rule()
    def end(self) -> None:
        self.replay.end()

    @precondition(lambda self: self.replay.ended)
    @rule()
    def settle(self) -> None:
        self.replay.settle()

    @precondition(lambda self: self.replay.whole)
    @rule()
    def read_all(self) -> None:
        """Whoever comes while the sequence is whole reads all of it."""
        reader = self.replay.join()
        text = ""
        while items := self.replay.take(reader, 10):
            text += "".join(items)
        self.replay.leave(reader)
        assert text == self.written

    @invariant()
    def everybody_has_read_a_prefix(self) -> None:
        for seen in self.present:
            assert self.written.startswith(seen.text)
            caught_up = seen.text == self.written
            assert caught_up or seen.reader.behind or self.replay.has_more(seen.reader)

    @invariant()
    def the_bound_holds(self) -> None:
        assert self.replay.weight <= max(self.bound, self.largest)
        if self.replay.whole:
            assert self.replay.weight == len(self.written)

    def hungry(self) -> set[Seen]:
        return {
            seen
            for seen in self.present
            if not seen.reader.behind and not self.replay.has_more(seen.reader)
        }


TestReplay = ReplayMachine.TestCase
TestReplay.settings = settings(max_examples=80, stateful_step_count=60)
