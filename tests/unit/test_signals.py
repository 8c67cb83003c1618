"""How a server ends: gently at the first signal, at once at the second, and with what status."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from headgate.signals import SIGNALS, Signals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def signals() -> AsyncIterator[Signals]:
    yield Signals()
    for number in SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)


async def test_a_stop_that_comes_to_its_end_is_status_0(signals: Signals) -> None:
    """As every service manager expects of a good end."""
    stopped = asyncio.Event()
    os.kill(os.getpid(), signal.SIGTERM)
    await signals.first.wait()
    stopped.set()
    assert await signals.unless_again(_until(stopped)) == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
async def test_a_second_signal_shows_in_the_status(
    number: signal.Signals, status: int, signals: Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """128 and the number of the one that cut what ran, as shells count."""
    os.kill(os.getpid(), signal.SIGINT)
    await signals.first.wait()
    stopping = asyncio.create_task(signals.unless_again(_until(asyncio.Event())))
    await asyncio.sleep(0)
    os.kill(os.getpid(), number)
    assert await stopping == status
    assert "stopped at once by a second signal" in capsys.readouterr().err


async def _until(event: asyncio.Event) -> None:
    await event.wait()
