"""A keeper and its workers' ledgers in one process, without sockets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headgate.throttle.schedule import MICRO, Terms
from headgate.workers.keeper import Keeper
from headgate.workers.ledger import SupervisorLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.throttle.pacer import Pace
    from headgate.workers.messages import LedgerCall, LedgerNews


class KeptSchedule:
    """What a supervisor is to its workers, as far as they share a schedule.

    Args:
        pace: what all keep together.
        clock: monotonic seconds.

    Attributes:
        keeper: what the supervisor has.
        held_back: while it is a list, answers are put there and not sent.
    """

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self.keeper = Keeper(Terms.of(pace))
        self.held_back: list[tuple[int, LedgerNews]] | None = None
        self._clock = clock
        self._ledgers: dict[int, SupervisorLedger] = {}

    def ledger(self, worker: int) -> SupervisorLedger:
        """The ledger of the worker of this number."""
        ledger = SupervisorLedger(lambda call: self._hear(worker, call))
        self._ledgers[worker] = ledger
        return ledger

    def kill(self, worker: int) -> None:
        """The connection of this worker is closed, as by SIGKILL."""
        self._ledgers.pop(worker).lose()
        self._send(self.keeper.leave(self.now, worker))

    def release(self) -> None:
        """Send what was held back, and go on."""
        answers, self.held_back = self.held_back or [], None
        self._send(answers)

    @property
    def now(self) -> int:
        """Microseconds."""
        return int(self._clock() * MICRO)

    def _hear(self, worker: int, call: LedgerCall) -> None:
        answers = self.keeper.hear(self.now, worker, call)
        if self.held_back is not None:
            self.held_back += answers
        else:
            self._send(answers)

    def _send(self, answers: list[tuple[int, LedgerNews]]) -> None:
        for worker, answer in answers:
            if worker in self._ledgers:
                self._ledgers[worker].hear(answer)
