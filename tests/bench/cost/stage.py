"""What every part of the suite gets: how long to look, and whether to profile."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.cost.profiling import profiled
from bench.cost.running import load
from bench.cost.table import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.cost.running import Gateway, Mock


class Stage(NamedTuple):
    """How a part runs.

    Attributes:
        quick: a tenth of the length, once, to see that it works.
        profile: write profiles of the gateway, whose figures are then not to be used.
    """

    quick: bool = False
    profile: bool = False

    @property
    def runs(self) -> int:
        return 1 if self.quick or self.profile else 3

    def seconds(self, full: float, quick: float) -> float:
        return quick if self.quick else full

    def number(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    async def load(
        self, part: str, gateway: Gateway, mock: Mock, kind: str, **job: Any
    ) -> dict[str, Any]:
        """Run a load, with the CPU and memory of gateway and mock in the result."""
        file = ROOT / "build" / f"profile-{part}.txt" if self.profile else None
        async with profiled(gateway, file):
            return await load(kind, pids=gateway.pids | mock.pids, **job)


class Spread(NamedTuple):
    """Figures of several runs."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread:
        ordered = sorted(figures)
        return cls(ordered[0], median(ordered), ordered[-1])

    def text(self, digits: int, unit: str = "") -> str:
        """The median, and the lowest and highest if there are several."""
        middle = f"{self.middle:,.{digits}f}{unit}"
        if self.low == self.high:
            return middle
        return f"{middle} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def busy(made: dict[str, Any]) -> str:
    """How much of a core each process used: figures hold only if mock and load had room."""
    shares = {name: used / made["seconds"] for name, used in made["cpu"].items()}
    return "busy: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
