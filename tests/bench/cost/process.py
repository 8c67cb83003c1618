"""What processes use, as Linux tells it in /proc: CPU, memory, file descriptors."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """Looks at a process by its number."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder = Path("/proc") / str(pid)

    def cpu(self) -> float:
        """Seconds of CPU so far of all its threads, user and system."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Resident bytes."""
        status = (self._folder / "status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(list((self._folder / "fd").iterdir()))

    def family(self) -> list[Process]:
        """This process and all that it started, and those that they started."""
        found = [self]
        for task in (self._folder / "task").iterdir():
            for child in (task / "children").read_text().split():
                found += Process(int(child)).family()
        return found


def cpu(processes: Iterable[Process]) -> float:
    """Seconds of CPU so far of these and their descendants."""
    return sum(member.cpu() for process in processes for member in process.family())


def memory(processes: Iterable[Process]) -> int:
    """Resident bytes of these and their descendants."""
    return sum(member.memory() for process in processes for member in process.family())
