"""What systemd is told, datagram by datagram (sd_notify(3))."""

from __future__ import annotations

import asyncio
import math
import os
import socket
from typing import TYPE_CHECKING

import pytest

from headgate.service_manager import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Inlet:
    """The service manager's end."""

    def __init__(self, address: str) -> None:
        self.path = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["file", "abstract"])
def inlet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Inlet]:
    path = f"{tmp_path}/notify" if request.param == "file" else f"@headgate-test-{os.getpid()}"
    inlet = Inlet(path)
    yield inlet
    inlet.socket.close()


def test_what_is_said(inlet: Inlet) -> None:
    """Start, reload and stop, in systemd's words; a stop asks for the time that it may take."""
    manager = ServiceManager({"NOTIFY_SOCKET": inlet.path})
    manager.ready("limits")
    assert inlet.heard() == ["READY=1", "STATUS=limits"]
    manager.reloading()
    reloading, when = inlet.heard()
    assert reloading == "RELOADING=1"
    assert int(when.removeprefix("MONOTONIC_USEC=")) > 0
    manager.stopping(2.5)
    assert inlet.heard() == ["STOPPING=1", "STATUS=draining", "EXTEND_TIMEOUT_USEC=2500000"]
    manager.stopping(math.inf)
    assert inlet.heard() == ["STOPPING=1", "STATUS=draining"]


@pytest.mark.parametrize("path", ["", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(path: str) -> None:
    """On a laptop, or when it has gone."""
    ServiceManager({"NOTIFY_SOCKET": path}).ready("limits")


async def test_the_watchdog_hears_of_a_loop_that_runs(inlet: Inlet) -> None:
    """Twice within its time."""
    environment = {"NOTIFY_SOCKET": inlet.path, "WATCHDOG_USEC": "20000"}
    task = asyncio.create_task(ServiceManager(environment).keep_watchdog_quiet())
    loop = asyncio.get_running_loop()
    for _ in range(3):
        assert await loop.sock_recv(inlet.socket, 100) == b"WATCHDOG=1"
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize(
    "asked", [{}, {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}], ids=["nobody", "another"]
)
async def test_a_watchdog_that_is_not_ours_hears_nothing(
    asked: dict[str, str], inlet: Inlet
) -> None:
    """The variables of a parent may have come along."""
    await ServiceManager({"NOTIFY_SOCKET": inlet.path, **asked}).keep_watchdog_quiet()
    with pytest.raises(BlockingIOError):
        inlet.heard()
