"""Between the Prometheus library and plain data: read a registry, write the text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from headgate.telemetry.family import Family, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def families_of(registry: CollectorRegistry) -> list[Family]:
    """What it holds now.

    Left out are the instants at which series began, which double their number, and what is no
    finite number, because JSON has no word for it.
    """
    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            [
                Sample(sample.name, dict(sample.labels), sample.value)
                for sample in metric.samples
                if not sample.name.endswith("_created") and math.isfinite(sample.value)
            ],
        )
        for metric in registry.collect()
    ]


def exposition(families: Iterable[Family], accept: str = "") -> tuple[bytes, str]:
    """The text that Prometheus reads, and its content type.

    Args:
        families: what there is to say.
        accept: the scraper's `Accept`; OpenMetrics for who asks for it.
    """
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Said(families))
    return encode(registry), content_type


class _Said:
    """A collector of families that are known already."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.help, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, sample.labels, sample.value)
            yield metric
