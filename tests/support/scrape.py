"""What a metrics port says, read with Prometheus' own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric
    from prometheus_client.samples import Sample

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


class Scrape:
    """The samples of one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = list(families)
        self.samples: list[Sample] = [s for family in self.families for s in family.samples]

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(prometheus_text(text))

    def find(self, name: str, **labels: str) -> list[Sample]:
        """The samples of this name that have these labels."""
        return [s for s in self.samples if s.name == name and labels.items() <= s.labels.items()]

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 for none."""
        return sum(sample.value for sample in self.find(name, **labels))

    def by(self, name: str, *labels: str) -> dict[Any, float]:
        """Sums by one label, or by several as a tuple; without zeros."""
        found: dict[Any, float] = {}
        for sample in self.find(name):
            key = tuple(sample.labels[label] for label in labels)
            found[key] = found.get(key, 0.0) + sample.value
        return {k if len(labels) > 1 else k[0]: value for k, value in found.items() if value}

    def values(self, label: str) -> set[str]:
        """All values that this label has anywhere."""
        return {sample.labels[label] for sample in self.samples if label in sample.labels}

    @property
    def series(self) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        return {(sample.name, tuple(sorted(sample.labels.items()))) for sample in self.samples}


async def scrape(address: str | None, accept: str = "") -> Scrape:
    """Ask a metrics port."""
    text = await page(address, "/metrics", accept)
    if accept:
        return Scrape(open_metrics(text))  # type: ignore[no-untyped-call]
    return Scrape.of(text)


async def state(address: str | None) -> Any:
    """The page of state of a metrics port."""
    assert address is not None
    async with aiohttp.ClientSession() as client, client.get(f"http://{address}/state") as answer:
        assert answer.status == 200
        return await answer.json()


async def page(address: str | None, path: str, accept: str = "") -> str:
    """The text of a page."""
    assert address is not None
    headers = {"accept": accept} if accept else {}
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{address}{path}", headers=headers) as answer,
    ):
        assert answer.status == 200
        return await answer.text()
