"""Counts calls: how each ended, how long it took, what its caller was sent."""

from __future__ import annotations

import time
from collections import Counter as Numbers
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from headgate.ending import NOT_THERE
from headgate.errors import Refused
from headgate.progress import Progress
from headgate.telemetry import buckets
from headgate.telemetry.children import children
from headgate.telemetry.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from headgate.ending import Ending
    from headgate.upstream import Call, Place

OTHER = "other"
NONE = "NONE"


class Deltas:
    """What one face has sent out; plain numbers, because every token adds to them."""

    __slots__ = ("gaps", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.gaps = Tally(buckets.GAP)


class CallMeter:
    """Listens to both faces.

    Labels are bounded: methods, codes and reasons are ours, and a caller has one of its own only
    when the configuration names it; all others are one.

    Args:
        registry: where the metrics are put.
        callers: the names of `[callers.NAME]`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        callers: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._callers: frozenset[str] = frozenset()
        self.know(callers)
        self._clock = clock
        self._deltas: dict[str, Deltas] = {}
        self._rpcs = children(
            Counter(
                "headgate_rpcs",
                "Calls that ended, by gRPC's word for their status, of HTTP calls too, and reason.",
                ["face", "method", "code", "reason"],
                registry=registry,
            )
        )
        self._caller_rpcs = children(
            Counter(
                "headgate_caller_rpcs",
                "Calls that ended, by caller; callers without a [callers.NAME] are `other`.",
                ["caller", "code"],
                registry=registry,
            )
        )
        self._refusals = children(
            Counter(
                "headgate_refusals",
                "Calls that a rule of headgate's refused before anything went upstream.",
                ["reason"],
                registry=registry,
            )
        )
        self._duration = children(
            Histogram(
                "headgate_rpc_duration_seconds",
                "From a call's arrival to its end.",
                ["face", "method"],
                buckets=buckets.CALL,
                registry=registry,
            )
        )
        self._first_delta = children(
            Histogram(
                "headgate_time_to_first_delta_seconds",
                "From a stream's arrival to its first delta, waiting for a slot included.",
                ["face"],
                buckets=buckets.FIRST_CONTENT,
                registry=registry,
            )
        )
        self._overhead = Histogram(
            "headgate_overhead_seconds",
            "What calls that succeeded at their first attempt took beyond queue and upstream.",
            buckets=buckets.OWN,
            registry=registry,
        )
        self._running = children(
            Gauge("headgate_calls_running", "Calls at this moment.", ["face"], registry=registry)
        )
        self._streams = children(
            Gauge(
                "headgate_streams_open",
                "Streamed calls at this moment.",
                ["face"],
                registry=registry,
            )
        )
        self._waiting = children(
            Gauge(
                "headgate_calls_waiting",
                "Calls that wait: for a slot, or for their caller's own allowance.",
                ["face"],
                registry=registry,
            )
        )
        self._keyed = Counter(
            "headgate_keyed_calls", "Calls with an idempotency key.", registry=registry
        )
        self._repeated = children(
            Counter(
                "headgate_client_retries",
                "Calls that are another attempt, as who made it says: a client, or a mesh.",
                ["by"],
                registry=registry,
            )
        )
        self.running: Numbers[str] = Numbers()
        for who in ("client", "mesh"):
            self._repeated(who)
        self._refused = {kind.reason.value for kind in Refused.__subclasses__()}
        for reason in sorted(self._refused):
            self._refusals(reason)
        registry.register(self)

    def know(self, callers: Iterable[str]) -> None:
        """From now on these have labels of their own."""
        self._callers = frozenset(callers)

    def unknown(self, face: str) -> None:
        """Count a call to a method, or a path, that there is not; what it was asked for is gone."""
        self._rpcs(face, "unknown", NOT_THERE[face], NONE).inc()

    def caller_label(self, caller: str) -> str:
        """The caller's own name, if the configuration has it."""
        return caller if caller in self._callers else OTHER

    def begin(self, face: str, method: str = "unknown") -> Progress:
        """Follow a call; see `Watch`."""
        deltas = self._deltas.get(face) or self._deltas.setdefault(face, Deltas())
        progress = MeteredProgress(self, deltas, self._clock, face, method)
        self.running["calls"] += 1
        self._running(face).inc()
        return progress

    def end(self, progress: Progress, ending: Ending) -> None:
        """Count the call, by how it ended."""
        face, method = progress.face, progress.method
        self._rpcs(face, method, ending.code, ending.reason or NONE).inc()
        self._caller_rpcs(self.caller_label(progress.caller), ending.code).inc()
        self._duration(face, method).observe(self._clock() - progress.started)
        if ending.reason in self._refused:
            self._refusals(ending.reason).inc()
        if ending.ok and progress.attempts == 1:
            self._overhead.observe(progress.overhead())
        if isinstance(progress, MeteredProgress):
            progress.wait(now=False)
            if progress.streams:
                self.running["streams"] -= 1
                self._streams(face).dec()
        self.running["calls"] -= 1
        self._running(face).dec()

    def admitted(self, progress: MeteredProgress, call: Call) -> None:
        """The call is known."""
        if call.idempotency_key:
            self._keyed.inc()
        if call.prior_attempts or call.mesh_attempts:
            self._repeated("mesh" if call.mesh_attempts else "client").inc()
        if call.request.stream:
            self.running["streams"] += 1
            self._streams(progress.face).inc()

    def waits(self, progress: MeteredProgress) -> None:
        """The call stands in a line now, or does so no more."""
        self._waiting(progress.face).inc(1 if progress.waits else -1)

    def first_delta(self, progress: MeteredProgress) -> None:
        """The first content went out."""
        if progress.time_to_first_delta is not None:
            self._first_delta(progress.face).observe(progress.time_to_first_delta)

    def describe(self) -> Iterable[Metric]:
        """Nothing; see `collect`."""
        return []

    def collect(self) -> Iterator[Metric]:
        """What is counted in plain numbers."""
        sent = CounterMetricFamily(
            "headgate_deltas", "Deltas of the upstream's that were sent on.", labels=["face"]
        )
        gaps = HistogramMetricFamily(
            "headgate_delta_gap_seconds",
            "Between two writes of deltas in one stream.",
            labels=["face"],
        )
        for face, deltas in self._deltas.items():
            sent.add_metric([face], deltas.sent)
            gaps.add_metric([face], deltas.gaps.buckets, deltas.gaps.sum)
        yield from (sent, gaps)


class MeteredProgress(Progress):
    """A Progress that adds to the counts.

    Attributes:
        streams: it is counted among the open streams.
        waits: it is counted among the waiting calls.
    """

    def __init__(
        self,
        meter: CallMeter,
        deltas: Deltas,
        clock: Callable[[], float],
        face: str,
        method: str,
    ) -> None:
        super().__init__(clock, face, method)
        self.streams = False
        self.waits = False
        self._meter = meter
        self._deltas = deltas
        self._sent_at: float | None = None

    def admitted(self, call: Call) -> None:
        self.streams = bool(call.request.stream)
        self._meter.admitted(self, call)

    def queued(self, place: Callable[[], Place]) -> None:
        self.wait(now=True)
        super().queued(place)

    def attempt_started(self) -> None:
        self.wait(now=False)
        super().attempt_started()

    def wait(self, *, now: bool) -> None:
        """Whether it waits now."""
        if self.waits != now:
            self.waits = now
            self._meter.waits(self)

    def delta_sent(self, count: int = 1) -> None:
        now = self.clock()
        if self._sent_at is None:
            super().delta_sent(count)
            self._meter.first_delta(self)
        else:
            self._deltas.gaps.add(now - self._sent_at)
        self._sent_at = now
        self._deltas.sent += count
