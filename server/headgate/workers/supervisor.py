"""`headgate serve` with more than one worker: starts them, keeps their schedule, serves nothing.

No gRPC in this process, unless it has the sandbox: it spawns others for as long as it lives.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from headgate.config import limits_line, without_files
from headgate.logs import configure_logs, set_level
from headgate.reload import Reload
from headgate.service_manager import ServiceManager
from headgate.shared_schedule import pace_of
from headgate.signals import Signals, meanwhile, tell
from headgate.throttle.schedule import MICRO, Terms
from headgate.workers import messages
from headgate.workers.crew import Ask, Crew, Dismiss, End, Kill, Phase, Say, Serve, Spawn
from headgate.workers.keeper import Keeper
from headgate.workers.outfit import keeps_schedule, outfit, renewal
from headgate.workers.port import Port
from headgate.workers.process import COMMAND, WorkerProcess
from headgate.workers.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headgate.config import Settings
    from headgate.workers.crew import Action

LAST_WORDS = 5.0
"""Seconds beyond the grace in which a worker has to end."""

log = structlog.get_logger()


def supervise(settings: Settings, *, sandbox: bool, load: Callable[[], Settings]) -> int:
    """Serve with several workers until SIGTERM or SIGINT; a second one ends at once.

    SIGHUP reloads, once for all of them.

    Args:
        settings: with `upstream.url` set, unless `sandbox`, and `server.workers` above 1.
        sandbox: start the embedded sandbox, one for all workers, and serve in front of it.
        load: reads the settings anew from where they came from.

    Returns:
        The exit status.

    Raises:
        StartError: an address cannot be had.
    """
    configure_logs(settings.log, secrets=settings.secrets())
    return asyncio.run(_supervise(settings, sandbox=sandbox, load=load))


async def _supervise(settings: Settings, *, sandbox: bool, load: Callable[[], Settings]) -> int:
    signals, manager = Signals(reloads=True), ServiceManager()
    loaded = settings
    async with AsyncExitStack() as stack:
        if sandbox:
            from headgate.server import in_front_of_sandbox  # noqa: PLC0415 - it imports gRPC

            settings = await in_front_of_sandbox(settings, stack)
        supervisor = Supervisor(hold_ports(without_files(settings), stack))
        await show_metrics(supervisor, settings.metrics.listen, stack)
        reload = Reload(supervisor, load, loaded, manager)
        for beside in (
            manager.keep_watchdog_quiet(),
            _report(supervisor, signals, manager),
            _obey(supervisor, signals, reload),
        ):
            await stack.enter_async_context(meanwhile(beside))
        return await supervisor.run(signals)


async def _report(supervisor: Supervisor, signals: Signals, manager: ServiceManager) -> None:
    await supervisor.serving.wait()
    manager.ready(limits_line(supervisor.settings))
    await signals.first.wait()
    manager.stopping(supervisor.farewell)


async def _obey(supervisor: Supervisor, signals: Signals, reload: Reload) -> None:
    await supervisor.serving.wait()
    await reload.obey(signals.reload)


def hold_ports(settings: Settings, stack: AsyncExitStack) -> Settings:
    """Hold the ports for the workers until the stack is closed; the settings name the real ones.

    Raises:
        StartError: an address cannot be had.
    """
    held = {"listen": stack.enter_context(Port(settings.listen)).address}
    if settings.http_listen is not None:
        held["http_listen"] = stack.enter_context(Port(settings.http_listen)).address
    return settings.model_copy(update=held)


async def show_metrics(
    supervisor: Supervisor, listen: str | None, stack: AsyncExitStack
) -> str | None:
    """Serve the metrics of all workers until the stack is closed; the address, if there is one.

    Raises:
        StartError: the address cannot be had.
    """
    if listen is None:
        return None
    from headgate.workers.overview import Overview  # noqa: PLC0415 - an HTTP server, for who asks

    overview = Overview(supervisor)
    address = await overview.start(listen)
    stack.push_async_callback(overview.aclose)
    tell(f"metrics on {address}")
    return address


class Supervisor:
    """Does what its crew decides, and answers its workers' ledger calls.

    Args:
        settings: with ports that are not 0.
        crew: decides; None: as the settings say.
        command: starts a worker.

    Attributes:
        keeper: of the workers' schedule.
        serving: set once all workers are ready.
        survey: asks the workers what they have counted.
        wanted: how many workers there shall be.
    """

    def __init__(
        self, settings: Settings, *, crew: Crew | None = None, command: Sequence[str] = COMMAND
    ) -> None:
        server = settings.server
        self.keeper = Keeper(Terms.of(pace_of(settings.throttle)))
        self.serving = asyncio.Event()
        self._settings = settings
        self._command = command
        self._crew = crew or Crew(server.workers, self.farewell)
        self.wanted = server.workers
        self.survey = Survey(self._send, lambda: self.pids)
        self._processes: dict[int, WorkerProcess] = {}
        self._renewals = 0
        self._renewing: set[int] = set()
        self._renewed = asyncio.Event()
        self._lives: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Supervisor {self._crew!r} {self.keeper!r}>"

    @property
    def pids(self) -> dict[int, int]:
        """The process ids of the workers, by their numbers."""
        return {worker: process.pid for worker, process in sorted(self._processes.items())}

    @property
    def phase(self) -> str:
        """starting, serving or draining, as the page of state says it."""
        if self._crew.phase in {Phase.LEAVING, Phase.OVER}:
            return "draining"
        return "serving" if self.serving.is_set() else "starting"

    @property
    def settings(self) -> Settings:
        """As they hold now, for all workers together."""
        return self._settings

    @property
    def farewell(self) -> float:
        """Seconds that the workers have to end in."""
        server = self._settings.server
        return server.drain_delay + server.grace + LAST_WORDS

    async def renew(self, settings: Settings) -> None:
        """Go on with other settings; returns when they hold in every worker that lives."""
        self._settings = settings
        set_level(settings.log.level)
        self._crew.allow(self.farewell)
        self.keeper.change(_micro_now(), Terms.of(pace_of(settings.throttle)))
        self._renewals += 1
        self._renewing = set(self._processes)
        self._renewed.clear()
        for worker in self._renewing:
            self._send(worker, renewal(settings, worker, self._renewals))
        if self._renewing:
            await self._renewed.wait()

    def _has_renewed(self, worker: int) -> None:
        self._renewing.discard(worker)
        if not self._renewing:
            self._renewed.set()

    async def run(self, signals: Signals) -> int:
        """Start the workers, and go on until none is left; the exit status."""
        obeying = asyncio.create_task(self._obey(signals))
        self._do(self._crew.start(time.monotonic()))
        try:
            return await self._status
        finally:
            obeying.cancel()
            if self._timer is not None:
                self._timer.cancel()
            await self._bury()

    async def _obey(self, signals: Signals) -> None:
        await signals.first.wait()
        self._do(self._crew.drain(time.monotonic()))
        await signals.second.wait()
        tell("stopped at once by a second signal; running calls were cut")
        self._do(self._crew.cut(signals.status))

    async def _bury(self) -> None:
        """None is left over, whatever has happened here."""
        for process in self._processes.values():
            process.kill()
        while self._lives:
            await asyncio.wait(self._lives)

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Spawn(worker, again):
                    life = asyncio.create_task(self._live(worker, again=again))
                    self._lives.add(life)
                    life.add_done_callback(self._lives.discard)
                case Ask(worker):
                    self._send(worker, messages.Beat())
                case Dismiss(worker):
                    self._send(worker, messages.Drain())
                case Kill(worker):
                    if worker in self._processes:
                        self._processes[worker].kill()
                case Serve():
                    self._announce()
                    self.serving.set()
                case Say(line):
                    tell(line)
                case End(status):
                    self._status.set_result(status)
        self._stand_timer()

    def _stand_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait = max(0.0, self._crew.next_wakeup - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._do(self._crew.tick(time.monotonic()))

    async def _live(self, worker: int, *, again: bool) -> None:
        """One worker from its start to its end."""
        try:
            process = await WorkerProcess.start(
                self._command, lambda message: self._hear(worker, message)
            )
        except OSError as error:
            self._do(self._crew.failed(worker, [f"no process can be started: {error.strerror}"]))
            self._do(self._crew.ended(worker, 1, time.monotonic()))
            return
        self._processes[worker] = process
        process.send(outfit(self._settings, worker, again=again))
        exit_code = await process.ended()
        del self._processes[worker]
        self._has_renewed(worker)
        self._tell(self.keeper.leave(_micro_now(), worker))
        if why := self._crew.why(worker, exit_code):
            log.warning("worker_ended", worker=worker, pid=process.pid, why=why)
        self._do(self._crew.ended(worker, exit_code, time.monotonic()))

    def _hear(self, worker: int, message: messages.ToSupervisor) -> None:
        match message:
            case messages.Alive():
                self._crew.alive(worker, time.monotonic())
            case messages.Ready():
                if self.serving.is_set():
                    log.info("worker_ready", worker=worker, pid=self._processes[worker].pid)
                self._do(self._crew.ready(worker, time.monotonic()))
            case messages.Renewed(number):
                if number == self._renewals:
                    self._has_renewed(worker)
            case messages.Reported():
                self.survey.hear(worker, message)
            case messages.Failed(lines):
                self._do(self._crew.failed(worker, lines))
            case _:
                self._tell(self.keeper.hear(_micro_now(), worker, message))

    def _tell(self, news: Iterable[tuple[int, messages.ToWorker]]) -> None:
        for worker, message in news:
            self._send(worker, message)

    def _send(self, worker: int, message: messages.ToWorker) -> None:
        if worker in self._processes:
            self._processes[worker].send(message)

    def _announce(self) -> None:
        settings = self._settings
        tell(f"grpc listening on {settings.listen}")
        if settings.http_listen is not None:
            tell(f"http listening on {settings.http_listen}")
        tell(f"upstream {settings.upstream.shown_url}")
        shared = "the port"
        if keeps_schedule(settings.throttle) or settings.throttle.shared:
            shared += " and one schedule"
        pids = ", ".join(map(str, self.pids.values()))
        tell(f"{settings.server.workers} workers (processes {pids}) share {shared}")
        tell(limits_line(settings))


def _micro_now() -> int:
    return time.monotonic_ns() * MICRO // 1_000_000_000
