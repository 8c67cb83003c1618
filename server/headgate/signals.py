"""What the system asks of a server: to end, gently at first and at once when asked again; and to
read its settings anew.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from headgate.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """`first` and `second` are set when a signal to stop comes, and comes again.

    Args:
        reloads: whether SIGHUP means to reload, unless it is the end of the terminal.

    Attributes:
        reload: set by SIGHUP.
        status: the exit status when the latest signal cut what ran, as shells count: 128 and the
            number of the signal.
    """

    def __init__(self, *, reloads: bool = False) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.reload = asyncio.Event()
        self.status = 128
        self._terminal = sys.stderr.isatty()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        if reloads:
            loop.add_signal_handler(signal.SIGHUP, self._on_hang_up)

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

    def _on_hang_up(self) -> None:
        """A closed terminal sends the same signal, and then nobody is left to stop the server."""
        if self._terminal and not os.isatty(2):
            self._on_signal(signal.SIGHUP)
        else:
            self.reload.set()


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work in a task of its own while the block runs; an error of its own ends nothing else."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def tell(line: str) -> None:
    """One line for the person who started this, if there is still somebody to read it."""
    Outlet(sys.stderr.buffer).write(f"headgate: {line}\n".encode(errors="backslashreplace"))
