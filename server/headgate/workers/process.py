"""The process of one worker, as the supervisor has it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from headgate.service_manager import VARIABLES
from headgate.workers.link import Link
from headgate.workers.messages import to_supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.workers.messages import ToSupervisor, ToWorker

COMMAND = (sys.executable, "-P", "-m", "headgate.workers.worker")


class WorkerProcess:
    """A worker and the link to it.

    Attributes:
        pid: its process id.
    """

    def __init__(self, process: asyncio.subprocess.Process, link: Link[ToSupervisor]) -> None:
        self.pid = process.pid
        self._process = process
        self._link = link

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.pid}>"

    @classmethod
    async def start(
        cls, command: Sequence[str], hear: Callable[[ToSupervisor], None]
    ) -> WorkerProcess:
        """Start one; its end of the link is the last argument, a number.

        In a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone.

        Args:
            command: without that number.
            hear: called with whatever it says.

        Raises:
            OSError: the system has no room for it.
        """
        ours, its = socket.socketpair()
        with its:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(*command, str(its.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=_environment(),
                    pass_fds=[its.fileno()],
                    start_new_session=True,
                )
            except BaseException:  # cancelled, too: nobody else knows this end
                ours.close()
                raise
        link = Link(to_supervisor, hear)
        await link.connect(ours)
        return cls(process, link)

    def send(self, message: ToWorker) -> None:
        """Never waits."""
        self._link.send(message)

    def kill(self) -> None:
        """SIGKILL."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait until it is gone and all that it said was heard; its exit status."""
        status = await self._process.wait()
        await self._link.lost.wait()
        return status


def _environment() -> dict[str, str]:
    """Without settings, which go over the link; modules are found where ours are."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HEADGATE_") and name not in VARIABLES
    }
    return inherited | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
