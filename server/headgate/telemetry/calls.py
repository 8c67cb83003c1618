"""Counts calls: how each ended, how long it took, what its caller was sent."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter as Numbers
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from headgate.errors import HeadgateError, Reason, Refused
from headgate.guard import PeerGone
from headgate.http_face.sse import ReaderGone
from headgate.progress import Progress
from headgate.status import grpc_code
from headgate.telemetry import buckets
from headgate.telemetry.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from headgate.upstream import Call

OTHER = "other"
NONE = "NONE"
# Who leaves within this of the deadline did so because of it: clocks are not that exact.
AT_THE_DEADLINE = 0.02


class Ending(NamedTuple):
    """How a call ended: gRPC's word for the status, on both faces, and the reason behind it."""

    code: str
    reason: str = NONE
    refused: bool = False


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
        self._callers = frozenset(callers)
        self._clock = clock
        self._deltas: dict[str, Deltas] = {}
        self._rpcs = Counter(
            "headgate_rpcs",
            "Calls that ended, by gRPC's word for their status (HTTP calls too) and its reason.",
            ["face", "method", "code", "reason"],
            registry=registry,
        )
        self._caller_rpcs = Counter(
            "headgate_caller_rpcs",
            "Calls that ended, by caller; callers without a [callers.NAME] are `other`.",
            ["caller", "code"],
            registry=registry,
        )
        self._refusals = Counter(
            "headgate_refusals",
            "Calls that a rule of headgate's refused before anything went upstream.",
            ["reason"],
            registry=registry,
        )
        self._duration = Histogram(
            "headgate_rpc_duration_seconds",
            "From a call's arrival to its end.",
            ["face", "method"],
            buckets=buckets.CALL,
            registry=registry,
        )
        self._first_delta = Histogram(
            "headgate_time_to_first_delta_seconds",
            "From a stream's arrival to its first delta, waiting for a slot included.",
            ["face"],
            buckets=buckets.FIRST_CONTENT,
            registry=registry,
        )
        self._overhead = Histogram(
            "headgate_overhead_seconds",
            "What calls that succeeded at their first attempt took beyond queue and upstream.",
            buckets=buckets.OWN,
            registry=registry,
        )
        self._running = Gauge(
            "headgate_calls_running", "Calls at this moment.", ["face"], registry=registry
        )
        self._streams = Gauge(
            "headgate_streams_open", "Streamed calls at this moment.", ["face"], registry=registry
        )
        self._keyed = Counter(
            "headgate_keyed_calls", "Calls with an idempotency key.", registry=registry
        )
        self.running: Numbers[str] = Numbers()
        for reason in (kind.reason.value for kind in Refused.__subclasses__()):
            self._refusals.labels(reason)
        registry.register(self)

    def caller_label(self, caller: str) -> str:
        """The caller's own name, if the configuration has it."""
        return caller if caller in self._callers else OTHER

    @contextmanager
    def watch(self, face: str, method: str = "unknown") -> Iterator[Progress]:
        """Follow one call while the block runs; how the block ends is how the call ends.

        Args:
            face: grpc or http.
            method: Chat or StreamChat, where that is known before the call is admitted.
        """
        deltas = self._deltas.get(face) or self._deltas.setdefault(face, Deltas())
        progress = MeteredProgress(self, face, method, deltas, self._clock)
        self.running["calls"] += 1
        self._running.labels(face).inc()
        ending = Ending("OK")
        try:
            yield progress
        except BaseException as error:
            ending = _ending(error, self._clock() >= progress.deadline - AT_THE_DEADLINE)
            raise
        finally:
            self._end(progress, ending)

    def admitted(self, progress: MeteredProgress, call: Call) -> None:
        """The call is known."""
        if call.idempotency_key:
            self._keyed.inc()
        if call.request.stream:
            self.running["streams"] += 1
            self._streams.labels(progress.face).inc()

    def first_delta(self, progress: MeteredProgress) -> None:
        """The first content went out."""
        if progress.time_to_first_delta is not None:
            self._first_delta.labels(progress.face).observe(progress.time_to_first_delta)

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

    def _end(self, progress: MeteredProgress, ending: Ending) -> None:
        face, method = progress.face, progress.method
        self._rpcs.labels(face, method, ending.code, ending.reason).inc()
        self._caller_rpcs.labels(self.caller_label(progress.caller), ending.code).inc()
        self._duration.labels(face, method).observe(self._clock() - progress.started)
        if ending.refused:
            self._refusals.labels(ending.reason).inc()
        if ending.code == "OK" and progress.attempts == 1:
            self._overhead.observe(progress.overhead())
        self.running["calls"] -= 1
        self._running.labels(face).dec()
        if progress.streams:
            self.running["streams"] -= 1
            self._streams.labels(face).dec()


class MeteredProgress(Progress):
    """A Progress that adds to the counts.

    Attributes:
        face, method, caller: the labels of the call.
        deadline: monotonic seconds; inf: none.
        streams: it is counted among the open streams.
    """

    def __init__(
        self,
        meter: CallMeter,
        face: str,
        method: str,
        deltas: Deltas,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(clock)
        self.face = face
        self.method = method
        self.caller = ""
        self.deadline = math.inf
        self.streams = False
        self._meter = meter
        self._deltas = deltas
        self._sent_at: float | None = None

    def admitted(self, call: Call) -> None:
        self.method = "StreamChat" if call.request.stream else "Chat"
        self.caller = call.caller
        self.deadline = call.deadline_or_inf
        self.streams = bool(call.request.stream)
        self._meter.admitted(self, call)

    def delta_sent(self, count: int = 1) -> None:
        now = self._clock()
        if self._sent_at is None:
            super().delta_sent(count)
            self._meter.first_delta(self)
        else:
            self._deltas.gaps.add(now - self._sent_at)
        self._sent_at = now
        self._deltas.sent += count


def _ending(error: BaseException, in_time_no_more: bool) -> Ending:
    """What the caller is told of it; see `guard` and `http_face.chat`."""
    if isinstance(error, HeadgateError):
        refused = isinstance(error, Refused)
        return Ending(grpc_code(error).name, error.reason.value, refused)
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            return Ending("INTERNAL", Reason.INTERNAL.value)
        if in_time_no_more:
            return Ending("DEADLINE_EXCEEDED", Reason.DEADLINE.value)
        return Ending("CANCELLED")
    if isinstance(error, PeerGone | ReaderGone):
        return Ending("CANCELLED")
    if isinstance(error, web.HTTPException):
        return Ending("INVALID_ARGUMENT", Reason.INVALID_REQUEST.value)
    return Ending("INTERNAL", Reason.INTERNAL.value)
