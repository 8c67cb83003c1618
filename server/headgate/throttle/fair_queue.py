"""The fair queue: one line per caller, served in turn by weight.

Self-clocked fair queueing (Golestani, 1994): the k-th call of a line stands at the virtual time
`first + k * stride`, and the smallest is served. A line that forms begins one stride behind the
one served last, so a newcomer waits for one turn of every other line and nobody can starve.
Seats belong to the line and not to its calls: a call that leaves takes away the line's last seat,
and all who stood behind it in the line move up. With all seats in one sorted sequence the
position of any call is a rank, and every operation takes O(log n).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.throttle.sorted_keys import SortedKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headgate.throttle.ticket import Ticket

Entry = tuple[bool, int, int, "Ticket"]
Seat = tuple[int, int, "Line"]

TURN = 1 << 20  # virtual time between two calls of a line of weight 1; integers never drift


class Line:
    """The waiting calls of one caller, in the order in which they will be served."""

    __slots__ = ("caller", "entries", "first", "order", "stride")

    def __init__(self, caller: str, first: int, stride: int, order: int) -> None:
        self.caller = caller
        self.first = first
        self.stride = stride
        self.order = order
        self.entries: SortedKeys[Entry] = SortedKeys()

    def seat(self, place: int) -> Seat:
        return (self.first + place * self.stride, self.order, self)

    def newest(self) -> Ticket:
        return self.entries.last()[3]


class FairQueue:
    """Waiting calls in their order of service. It bounds nothing; the throttle does."""

    __slots__ = ("_by_length", "_formed", "_lines", "_longest", "_seats", "_served")

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._seats: SortedKeys[Seat] = SortedKeys()
        self._served = 0  # virtual time of the seat that was served last
        self._formed = 0  # lines formed so far: among equals the older line is served first
        # Lines by length, each in the order in which it came to that length.
        self._by_length: dict[int, dict[Line, None]] = {}
        self._longest = 0

    def __len__(self) -> int:
        return len(self._seats)

    def __repr__(self) -> str:
        return f"<FairQueue [{len(self)} waiting in {len(self._lines)} lines]>"

    @property
    def lines(self) -> int:
        return len(self._lines)

    @property
    def longest(self) -> int:
        """The length of the longest line."""
        return self._longest

    def length(self, caller: str) -> int:
        line = self._lines.get(caller)
        return len(line.entries) if line else 0

    def add(self, ticket: Ticket, weight: float = 1.0) -> None:
        """Puts a call into its caller's line; the weight counts when the line forms."""
        line = self._lines.get(ticket.caller)
        if line is None:
            stride = _stride(weight)
            line = Line(ticket.caller, self._served + stride, stride, self._formed)
            self._formed += 1
            self._lines[ticket.caller] = line
        self._seats.add(line.seat(len(line.entries)))
        line.entries.add(ticket.entry)
        self._moved(line, len(line.entries) - 1)

    def remove(self, ticket: Ticket) -> None:
        """Takes a waiting call out, wherever it stands."""
        line = self._lines[ticket.caller]
        line.entries.remove(ticket.entry)
        length = len(line.entries)
        self._seats.remove(line.seat(length))
        self._moved(line, length + 1)

    def pop(self) -> Ticket:
        """Takes out the call whose turn it is."""
        virtual_time, _, line = self._seats.pop_first()
        self._served = virtual_time
        line.first += line.stride
        ticket = line.entries.pop_first()[3]
        self._moved(line, len(line.entries) + 1)
        return ticket

    def ahead(self, ticket: Ticket) -> int:
        """How many are served before this waiting call."""
        line = self._lines[ticket.caller]
        return self._seats.rank(line.seat(line.entries.rank(ticket.entry)))

    def would_stand(
        self, ticket: Ticket, weight: float = 1.0, displaced: Ticket | None = None
    ) -> int:
        """How many would be served before this call if it came in, and the displaced one left."""
        line = self._lines.get(ticket.caller)
        seat: tuple[Any, ...]
        if line is None:
            seat = (self._served + _stride(weight), self._formed)
        else:
            seat = line.seat(line.entries.rank(ticket.entry))
        ahead = self._seats.rank(seat)
        if displaced is not None and displaced.caller != ticket.caller:
            other = self._lines[displaced.caller]
            ahead -= other.seat(len(other.entries) - 1) < seat
        return ahead

    def newest_of_longest(self) -> Ticket:
        """The last to be served of the longest line (of several, the last to get so long)."""
        return next(reversed(self._by_length[self._longest])).newest()

    def newest_of(self, caller: str) -> Ticket:
        return self._lines[caller].newest()

    def unfit(self, fits: Callable[[Ticket, int], bool]) -> list[Ticket]:
        """Those who fit no seat that they could get, when asked in their order of service.

        `fits` gets a call and how many fitting ones are served before it; the seat of a call that
        does not fit goes to the next in its line, so nobody is thrown out for another's sake.
        """
        unfit: list[Ticket] = []
        rest: dict[Line, Iterator[Entry]] = {}
        ahead = 0
        for _, _, line in self._seats:
            entries = rest.get(line)
            if entries is None:
                entries = rest[line] = iter(line.entries)
            for entry in entries:
                if fits(entry[3], ahead):
                    ahead += 1
                    break
                unfit.append(entry[3])
        return unfit

    def _moved(self, line: Line, before: int) -> None:
        """Files a line whose length changed by one under its new length."""
        length = len(line.entries)
        if before:
            peers = self._by_length[before]
            del peers[line]
            if not peers:
                del self._by_length[before]
        if length:
            self._by_length.setdefault(length, {})[line] = None
        else:
            del self._lines[line.caller]
        if length > self._longest or self._longest not in self._by_length:
            self._longest = length


def _stride(weight: float) -> int:
    return max(1, round(TURN / weight))
