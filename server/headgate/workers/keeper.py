"""The supervisor's side of the workers' schedule: ledger calls in, answers and pushes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.throttle.schedule import LONG_AGO, Schedule
from headgate.workers.messages import Changed, Give, Granted, Join, Leave, Pause, Reserve, Stop

if TYPE_CHECKING:
    from headgate.throttle.schedule import Terms
    from headgate.workers.messages import LedgerCall, LedgerNews


class Keeper:
    """Keeps one `Schedule` and, for each worker, which instants to come are in its hands.

    A worker that dies leaves by a closed connection, and what it held goes to the others.

    Args:
        terms: the pace.
    """

    def __init__(self, terms: Terms) -> None:
        self._schedule = Schedule(terms)
        self._pause = LONG_AGO
        self._held: dict[int, list[int]] = {}
        self._granted: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Keeper {self._schedule!r} members={sorted(self._held)}>"

    @property
    def members(self) -> list[int]:
        """The workers that share the schedule."""
        return sorted(self._held)

    def granted(self, worker: int) -> int:
        """How many slots the workers of this number were given so far."""
        return self._granted.get(worker, 0)

    def hear(self, now: int, worker: int, call: LedgerCall) -> list[tuple[int, LedgerNews]]:
        """Do what a worker asks.

        Args:
            now: microseconds.
            worker: its number.
            call: what it says.

        Returns:
            Whom to tell what.
        """
        match call:
            case Reserve(number, count, lead):
                return [(worker, self._reserve(now, worker, number, count, lead))]
            case Join(number, latest, settle):
                return self._join(now, worker, number, latest, settle)
            case Give(instants):
                self._take_back(now, worker, instants)
                return []
            case Stop(until):
                self._schedule.pause(now, until)
                self._pause = max(self._pause, until)
                return self._to_others(worker, Pause(until))
            case Leave():
                return self.leave(now, worker)

    def change(self, now: int, terms: Terms) -> None:
        """Another pace; the workers give up what they have reserved under the old one."""
        if self._schedule.change(now, terms):
            self._held = {worker: [] for worker in self._held}

    def leave(self, now: int, worker: int) -> list[tuple[int, LedgerNews]]:
        """It is gone; the slots that it had for later are everybody's again."""
        held = self._held.pop(worker, None)
        if held is None:
            return []
        self._schedule.give_back(now, held)
        return self._to_others(worker, Changed())

    def _join(
        self, now: int, worker: int, number: int, latest: int, settle: int
    ) -> list[tuple[int, LedgerNews]]:
        self._schedule.join(now, latest, settle)
        told: list[tuple[int, LedgerNews]] = []
        if worker not in self._held:
            self._held[worker] = []
            told = self._to_others(worker, Changed())
        if self._pause > now:
            told.append((worker, Pause(self._pause)))
        return [*told, (worker, self._standing(now, worker, number, []))]

    def _to_others(self, worker: int, news: LedgerNews) -> list[tuple[int, LedgerNews]]:
        return [(other, news) for other in self._held if other != worker]

    def _reserve(self, now: int, worker: int, number: int, count: int, lead: int) -> Granted:
        instants = self._schedule.reserve(now, count, lead)
        coming = [instant for instant in self._held.get(worker, ()) if instant >= now]
        self._held[worker] = coming + instants
        self._granted[worker] = self.granted(worker) + len(instants)
        return self._standing(now, worker, number, instants)

    def _take_back(self, now: int, worker: int, instants: list[int]) -> None:
        """Only what is in its hands: the rest may be somebody else's by now."""
        held = self._held.get(worker, [])
        given = set(instants).intersection(held)
        self._held[worker] = [instant for instant in held if instant not in given]
        self._schedule.give_back(now, given)

    def _standing(self, now: int, worker: int, number: int, instants: list[int]) -> Granted:
        rank = sum(other < worker for other in self._held)
        free_at = self._schedule.free_at(now)
        return Granted(number, instants, free_at, len(self._held), rank)
