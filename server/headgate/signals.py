"""Ends a server when the system asks for it: gently at first, at once when asked again."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """`first` and `second` are set when a signal to stop comes, and comes again.

    Attributes:
        status: the exit status when the latest signal cut what ran, as shells count: 128 and the
            number of the signal.
    """

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.status = 128
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)

    async def unless_again(self, stopping: Coroutine[Any, Any, None]) -> int:
        """Run what stops the server, to its end or to the second signal; the exit status."""
        work = asyncio.create_task(stopping)
        impatient = asyncio.create_task(self.second.wait())
        await asyncio.wait({work, impatient}, return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        if not work.done():
            tell("stopped at once by a second signal; running calls were cut")
            work.cancel()
        await asyncio.wait({work, impatient})
        return self.status if self.second.is_set() else 0

    def _on_signal(self, number: signal.Signals) -> None:
        self.status = 128 + number
        (self.second if self.first.is_set() else self.first).set()


def tell(line: str) -> None:
    """One line for the person who started this."""
    print(f"headgate: {line}", file=sys.stderr, flush=True)  # noqa: T201 - that is its purpose
