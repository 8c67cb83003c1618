"""The metrics port of a server with several workers: what all of them say, and the supervisor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from headgate import __version__
from headgate.config import StartError
from headgate.listen import cannot_listen
from headgate.telemetry.family import merged
from headgate.telemetry.page import MetricsPage
from headgate.telemetry.samples import families_of

if TYPE_CHECKING:
    from headgate.telemetry.family import Family
    from headgate.workers.keeper import Keeper
    from headgate.workers.survey import Survey

SUPERVISOR = "supervisor"


class Company(Protocol):
    """What is asked of a supervisor; see there."""

    keeper: Keeper
    survey: Survey
    wanted: int

    @property
    def phase(self) -> str: ...

    @property
    def pids(self) -> dict[int, int]: ...


class Overview:
    """One page for all: samples with the label `worker`, the supervisor's own as `supervisor`.

    Args:
        supervisor: of the workers.
    """

    def __init__(self, supervisor: Company) -> None:
        self._supervisor = supervisor
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        serving = Gauge("headgate_workers", "Workers that run.", registry=self._registry)
        serving.set_function(lambda: len(supervisor.pids))
        wanted = Gauge("headgate_workers_wanted", "server.workers.", registry=self._registry)
        wanted.set(supervisor.wanted)
        silent = Counter(
            "headgate_workers_silent",
            "Workers that did not say in time what they had counted.",
            registry=self._registry,
        )
        self._silent = silent
        self._page = MetricsPage(self.families, self.state, lambda: supervisor.phase == "serving")

    async def start(self, listen: str) -> str:
        """Serve; returns the address with the real port.

        Raises:
            StartError: the address cannot be had.
        """
        try:
            return await self._page.start(listen)
        except OSError as error:
            raise StartError(cannot_listen(listen, error)) from error

    async def aclose(self) -> None:
        """Stop listening."""
        await self._page.aclose()

    async def families(self) -> list[Family]:
        """What all workers that answer have counted, and how the supervisor is."""
        said = await self._supervisor.survey.ask()
        self._silent.inc(max(0, len(self._supervisor.pids) - len(said)))
        counted = {str(worker): report.families for worker, report in sorted(said.items())}
        return merged(counted | {SUPERVISOR: families_of(self._registry)})

    async def state(self) -> dict[str, Any]:
        """The page of state of each worker, under its number."""
        said = await self._supervisor.survey.ask()
        return {
            "version": __version__,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "phase": self._supervisor.phase,
            "workers_wanted": self._supervisor.wanted,
            "schedule_members": self._supervisor.keeper.members,
            "workers": {
                str(worker): {"pid": pid, **(said[worker].state if worker in said else {})}
                for worker, pid in self._supervisor.pids.items()
            },
        }
