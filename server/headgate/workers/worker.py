"""One worker: a gateway whose settings, schedule and end come over a socket.

Started by the supervisor as `python -m headgate.workers.worker NUMBER`, the number of its end.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import structlog
import uvloop

from headgate.collector import calm_collector, tidy
from headgate.config import ConfigError, StartError
from headgate.gateway import Gateway
from headgate.logs import configure_logs
from headgate.signals import Signals, meanwhile
from headgate.telemetry.quiet import Quiet
from headgate.workers import messages
from headgate.workers.ledger import SupervisorLedger
from headgate.workers.link import Link
from headgate.workers.outfit import settings_of

log = structlog.get_logger()


class Worker:
    """Hears the supervisor, and serves until it says otherwise or is gone."""

    def __init__(self) -> None:
        self._link = Link(messages.to_worker, self._hear, self._lose)
        self._ledger = SupervisorLedger(self._link.send)
        self._outfit: asyncio.Queue[messages.Outfit | None] = asyncio.Queue()
        self._dismissed = asyncio.Event()
        self._telemetry = Quiet()
        self._gateway: Gateway | None = None
        self._early: messages.Renew | None = None
        self._renewals: set[asyncio.Task[None]] = set()

    async def run(self, end: socket.socket, signals: Signals) -> int:
        """Serve; the exit status.

        Args:
            end: of the socket to the supervisor.
            signals: stop this worker alone, as they would a single process.
        """
        await self._link.connect(end)
        try:
            outfit = await self._outfit.get()
            return 0 if outfit is None else await self._serve(outfit, signals)
        except ConfigError as error:
            self._link.send(messages.Failed(list(error.lines)))
        except StartError as error:
            self._link.send(messages.Failed([str(error)]))
        finally:
            await self._link.aclose()
        return 2

    async def _serve(self, outfit: messages.Outfit, signals: Signals) -> int:
        settings = settings_of(outfit)
        configure_logs(settings.log, secrets=settings.secrets(), worker=outfit.worker)
        ledger = self._ledger if outfit.ledger else None
        gateway = Gateway(settings, ledger=ledger, shared_port=True)
        self._telemetry, self._gateway = gateway.telemetry, gateway
        if self._early is not None:
            self._renew(gateway, self._early)
        await gateway.start()
        calm_collector()
        self._link.send(messages.Ready())
        ends = {asyncio.create_task(it.wait()) for it in (self._dismissed, signals.first)}
        async with meanwhile(tidy(gateway.running)):
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        return await signals.unless_again(gateway.stop(gateway.settings.server.grace))

    def _renew_soon(self, message: messages.Renew) -> None:
        if self._gateway is None:
            self._early = message
        else:
            self._renew(self._gateway, message)

    def _renew(self, gateway: Gateway, message: messages.Renew) -> None:
        """At once: slots that are given after this message are given under its pace."""
        gateway.change(settings_of(message))
        task = asyncio.create_task(self._finish_renewal(gateway, message.number))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _finish_renewal(self, gateway: Gateway, number: int) -> None:
        try:
            await gateway.refresh()
        except Exception:  # the supervisor waits for all; what was read before stays at work
            log.exception("a look at the files failed")
        self._link.send(messages.Renewed(number))

    def _hear(self, message: messages.ToWorker) -> None:
        match message:
            case messages.Beat():
                self._link.send(messages.Alive())
            case messages.Drain():
                self._dismissed.set()
            case messages.Report(number):
                told = self._telemetry
                self._link.send(messages.Reported(number, told.families(), told.state()))
            case messages.Renew():
                self._renew_soon(message)
            case messages.Outfit():
                self._outfit.put_nowait(message)
            case _:
                self._ledger.hear(message)

    def _lose(self) -> None:
        """The supervisor has died: nobody is left over who serves without it."""
        self._outfit.put_nowait(None)
        self._ledger.lose()
        self._dismissed.set()


async def _work(end: socket.socket) -> int:
    signals = Signals()
    return await Worker().run(end, signals)


def main() -> int:
    """Run one worker; the exit status."""
    configure_logs()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor reloads for all
    end = socket.socket(fileno=int(sys.argv[1]))
    end.set_inheritable(False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(end))


if __name__ == "__main__":
    sys.exit(main())
