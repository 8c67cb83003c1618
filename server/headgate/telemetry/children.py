"""The series of one metric, found quickly."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Metric_co = TypeVar("Metric_co", covariant=True)


class Labelled(Protocol[Metric_co]):
    """A Counter, Gauge or Histogram of the Prometheus library's."""

    def labels(self, *labelvalues: str) -> Metric_co: ...


def children(metric: Labelled[Metric_co]) -> Callable[..., Metric_co]:
    """Its `labels`, remembered: a look-up of the library's own takes a lock and makes a tuple.

    As many are remembered as there are series, and those are bounded.
    """
    return cache(metric.labels)
