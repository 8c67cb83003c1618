"""Reads the house when Prometheus asks: what has a state is not counted a second time."""

from __future__ import annotations

import math
import platform
from typing import TYPE_CHECKING

import grpc
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from headgate import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from headgate.telemetry.house import House

_SLOT_EVENTS = {
    "granted": "given to attempts",
    "started": "used by a request that was written",
}


class Gauges:
    """A collector over the parts of one gateway."""

    def __init__(self, house: House) -> None:
        self._house = house

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering looks at nothing yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of it, as it is now."""
        yield InfoMetricFamily(
            "headgate_build",
            "What is running.",
            {
                "version": __version__,
                "python": platform.python_version(),
                "grpcio": grpc.__version__,
            },
        )
        yield from self._schedule()
        yield from self._store()
        yield from self._budget()
        yield _gauge(
            "headgate_draining",
            "1 from the beginning of a stop.",
            float(self._house.phase == "draining"),
        )

    def _schedule(self) -> Iterator[Metric]:
        house, throttle = self._house, self._house.turnstile.throttle
        slots = CounterMetricFamily(
            "headgate_slots", "Slots of the schedule: granted, and started.", labels=["event"]
        )
        for event in _SLOT_EVENTS:
            slots.add_metric([event], throttle.counts[event])
        yield slots
        yield _counter(
            "headgate_queue_left",
            "Attempts that left the queue by themselves: cancelled, or their deadline passed.",
            throttle.counts["left"],
        )
        yield _counter(
            "headgate_pauses",
            "Pauses that the upstream asked for (429).",
            throttle.counts["cooldowns"],
        )
        yield _gauge("headgate_pause_seconds", "What is left of a pause.", house.pause())
        yield _gauge(
            "headgate_next_slot_seconds", "Until the next slot that nobody has.", house.next_slot()
        )
        yield _gauge(
            "headgate_slot_interval_seconds", "Between two slots; 0: no pace.", house.interval
        )
        yield _gauge("headgate_in_flight", "Attempts at the upstream now.", throttle.in_flight)
        yield _gauge(
            "headgate_in_flight_limit", "throttle.max_in_flight.", house.limits.max_in_flight
        )
        yield _gauge("headgate_queue_limit", "throttle.max_queue.", house.limits.max_queue)

    def _store(self) -> Iterator[Metric]:
        watch = self._house.store
        up = GaugeMetricFamily(
            "headgate_store_up",
            "1: the schedule is within reach; 0: this process goes on with its share of the rate.",
            labels=["store"],
        )
        up.add_metric([watch.kind], float(not watch.lost))
        yield up
        yield _gauge("headgate_store_members", "How many share the limit.", watch.members)
        yield _gauge(
            "headgate_store_share", "The part of the rate that may be used here.", watch.share
        )
        yield _counter(
            "headgate_store_losses", "How often the schedule got out of reach.", watch.losses
        )
        grants = CounterMetricFamily(
            "headgate_store_grants",
            "Grants of a shared schedule: used (own: of our share while it was lost), missed"
            " (met too late and not used), late (the request left late), returned.",
            labels=["event"],
        )
        for event, count in watch.counts.items():
            grants.add_metric([event], count)
        yield grants

    def _budget(self) -> Iterator[Metric]:
        budget = self._house.budget
        yield _counter("headgate_retries", "Retries that the budget allowed.", budget.spent)
        yield _counter("headgate_retries_denied", "Retries that it did not.", budget.denied)
        yield _gauge("headgate_retry_budget", "Retries that it would allow at once.", budget.left())


def _gauge(name: str, text: str, value: float) -> Metric:
    """A limit that there is not is no number; such a gauge is left out by `families_of`."""
    return GaugeMetricFamily(name, text, value=value if math.isfinite(value) else math.inf)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
