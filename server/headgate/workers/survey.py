"""Asks all workers what they have counted, and does not wait long for one that says nothing."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from headgate.workers.messages import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headgate.workers.messages import Reported

PATIENCE = 2.0
"""Seconds; less than any scraper's timeout."""


class Survey:
    """One round of questions for each time that somebody asks.

    Args:
        send: takes a question for the worker of this number; it is lost with the worker.
        workers: the numbers of those who serve now.
        patience: seconds to wait for answers.
    """

    def __init__(
        self,
        send: Callable[[int, Report], None],
        workers: Callable[[], Iterable[int]],
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._send = send
        self._workers = workers
        self._patience = patience
        self._numbers = itertools.count(1)
        self._open: dict[tuple[int, int], asyncio.Future[Reported]] = {}

    async def ask(self) -> dict[int, Reported]:
        """What each worker says; without those that did not answer in time."""
        number, loop = next(self._numbers), asyncio.get_running_loop()
        asked = {worker: loop.create_future() for worker in self._workers()}
        if not asked:
            return {}
        self._open |= {(worker, number): future for worker, future in asked.items()}
        try:
            for worker in asked:
                self._send(worker, Report(number))
            await asyncio.wait(asked.values(), timeout=self._patience)
        finally:
            for worker in asked:
                del self._open[worker, number]
        return {worker: future.result() for worker, future in asked.items() if future.done()}

    def hear(self, worker: int, answer: Reported) -> None:
        """A worker answers; too late is like never."""
        future = self._open.get((worker, answer.number))
        if future is not None and not future.done():
            future.set_result(answer)
