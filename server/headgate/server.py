"""Runs a gateway until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import uvloop

from headgate.config import limits_line
from headgate.gateway import Gateway
from headgate.sandbox import start_sandbox

if TYPE_CHECKING:
    from headgate.config import Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings, *, sandbox: bool) -> int:
    """Serve until SIGTERM or SIGINT; a second one ends at once.

    Args:
        settings: with `upstream.url` set, unless `sandbox`.
        sandbox: start the embedded sandbox and serve in front of it.

    Returns:
        The exit status.

    Raises:
        StartError: an address cannot be had.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, sandbox=sandbox))


async def _serve(settings: Settings, *, sandbox: bool) -> int:
    signals = Signals()
    embedded = await start_sandbox(settings, "127.0.0.1:0") if sandbox else None
    try:
        if embedded is not None:
            settings = settings.model_copy(update={"upstream": embedded.upstream(settings)})
        gateway = Gateway(settings)
        await gateway.start()
        _say(gateway, settings)
        await signals.first.wait()
        await _stop(gateway, settings.server.grace, signals)
    finally:
        if embedded is not None:
            await embedded.aclose()
    return 0


async def _stop(gateway: Gateway, grace: float, signals: Signals) -> None:
    stopping = asyncio.create_task(gateway.stop(grace))
    impatient = asyncio.create_task(signals.second.wait())
    await asyncio.wait({stopping, impatient}, return_when=asyncio.FIRST_COMPLETED)
    impatient.cancel()
    if not stopping.done():
        tell("stopped at once by a second signal; running calls were cut")
        stopping.cancel()
    await asyncio.wait({stopping, impatient})


def _say(gateway: Gateway, settings: Settings) -> None:
    tell(f"grpc listening on {gateway.grpc_address}")
    if gateway.http_address is not None:
        tell(f"http listening on {gateway.http_address}")
    tell(f"upstream {settings.upstream.url}")
    tell(limits_line(settings))


def tell(line: str) -> None:
    """One line for the person who started this."""
    print(f"headgate: {line}", file=sys.stderr, flush=True)  # noqa: T201 - that is its purpose


class Signals:
    """`first` and `second` are set when a signal to stop comes, and comes again."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        (self.second if self.first.is_set() else self.first).set()
