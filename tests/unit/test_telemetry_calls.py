"""What is counted of a call: how it ended, and whose it was, in labels that cannot grow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from headgate import wire
from headgate.errors import (
    CallerLimit,
    DeadlineExceeded,
    Draining,
    HeadgateError,
    InternalError,
    QueueFull,
    StreamInterrupted,
    UpstreamUnavailable,
)
from headgate.guard import PeerGone
from headgate.telemetry.calls import CallMeter
from headgate.telemetry.samples import exposition, families_of
from headgate.upstream import Call
from headgate.watch import Watching
from support.scrape import Scrape

ENDINGS: list[tuple[BaseException | None, str, str]] = [
    (None, "OK", "NONE"),
    (QueueFull("full"), "RESOURCE_EXHAUSTED", "QUEUE_FULL"),
    (Draining(), "UNAVAILABLE", "DRAINING"),
    (DeadlineExceeded("queued"), "DEADLINE_EXCEEDED", "DEADLINE"),
    (UpstreamUnavailable("gone"), "UNAVAILABLE", "UPSTREAM_UNAVAILABLE"),
    (StreamInterrupted("cut", cause="cut"), "ABORTED", "STREAM_INTERRUPTED"),
    (InternalError(), "INTERNAL", "INTERNAL"),
    (ValueError("ours"), "INTERNAL", "INTERNAL"),
    (PeerGone(), "CANCELLED", "NONE"),
    (web.HTTPUnsupportedMediaType(), "INVALID_ARGUMENT", "INVALID_REQUEST"),
]


class Metered:
    """A meter, its clock, and what it says."""

    def __init__(self, *callers: str) -> None:
        self.now = 100.0
        self._registry = CollectorRegistry()
        self.meter = CallMeter(self._registry, callers, clock=lambda: self.now)

    def scrape(self) -> Scrape:
        return Scrape.of(exposition(families_of(self._registry))[0].decode())


def call(caller: str = "anna", *, stream: bool = True, **fields: Any) -> Call:
    return Call(request=wire.ChatRequest(messages=[], stream=stream), caller=caller, **fields)


@pytest.mark.parametrize(("error", "code", "reason"), ENDINGS)
def test_how_the_block_ends_is_how_the_call_ends(
    error: BaseException | None, code: str, reason: str
) -> None:
    """Every error passes through, and is counted once under its status and its reason."""
    metered = Metered("anna")

    def run() -> None:
        with Watching(metered.meter, "grpc", "StreamChat") as progress:
            progress.caller = "anna"
            progress.admit(call())
            metered.now += 2
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(type(error)):
            run()
    said = metered.scrape()
    assert said.by("headgate_rpcs_total", "code", "reason") == {(code, reason): 1}
    assert said.by("headgate_caller_rpcs_total", "caller", "code") == {("anna", code): 1}
    assert said.total("headgate_rpc_duration_seconds_sum", method="StreamChat") == 2
    assert said.total("headgate_calls_running") == said.total("headgate_streams_open") == 0


@pytest.mark.parametrize("error", [QueueFull("full"), CallerLimit("much"), UpstreamUnavailable("")])
def test_only_what_we_refuse_is_a_refusal(error: HeadgateError) -> None:
    """An upstream's failure is none."""
    metered = Metered()
    with pytest.raises(HeadgateError), Watching(metered.meter, "grpc", "Chat"):
        raise error
    refused = {} if isinstance(error, UpstreamUnavailable) else {error.reason.value: 1}
    assert metered.scrape().by("headgate_refusals_total", "reason") == refused


@pytest.mark.parametrize(
    ("left_at", "code", "reason"),
    [(104.0, "CANCELLED", "NONE"), (109.99, "DEADLINE_EXCEEDED", "DEADLINE")],
)
async def test_a_cancelled_call_whose_time_was_over_met_its_deadline(
    left_at: float, code: str, reason: str
) -> None:
    """The deadline cancels too, and gRPC does not say that it was that."""
    metered, inside = Metered(), asyncio.Event()

    async def run() -> None:
        with Watching(metered.meter, "grpc", "Chat") as progress:
            progress.admit(call(stream=False, deadline=110.0))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await inside.wait()
    metered.now = left_at
    task.cancel()
    await asyncio.wait({task})
    assert metered.scrape().by("headgate_rpcs_total", "code", "reason") == {(code, reason): 1}


async def test_a_cancellation_that_nobody_asked_for_is_our_fault() -> None:
    """The guard answers INTERNAL, and so it is counted."""
    metered = Metered()
    with pytest.raises(asyncio.CancelledError), Watching(metered.meter, "grpc", "Chat"):
        raise asyncio.CancelledError
    assert metered.scrape().by("headgate_rpcs_total", "code") == {"INTERNAL": 1}


def test_running_calls_and_open_streams_are_seen_while_they_run() -> None:
    """A call that waits for nothing but its caller's credentials is no stream yet."""
    metered = Metered()
    with Watching(metered.meter, "http") as progress:
        assert metered.scrape().by("headgate_calls_running", "face") == {"http": 1}
        assert metered.scrape().total("headgate_streams_open") == 0
        progress.admit(call())
        assert metered.scrape().by("headgate_streams_open", "face") == {"http": 1}
        assert metered.meter.running == {"calls": 1, "streams": 1}
    assert metered.meter.running == {"calls": 0, "streams": 0}


def test_deltas_are_counted_as_the_upstream_sent_them_and_gaps_between_writes() -> None:
    """Three writes with five deltas have two gaps; the first delta has a figure of its own."""
    metered = Metered()
    with Watching(metered.meter, "grpc", "StreamChat") as progress:
        for pause, count in ((0.5, 1), (0.02, 3), (4.0, 1)):
            metered.now += pause
            progress.delta_sent(count)
    said = metered.scrape()
    assert said.total("headgate_deltas_total", face="grpc") == 5
    assert said.total("headgate_delta_gap_seconds_count") == 2
    assert said.total("headgate_delta_gap_seconds_sum") == pytest.approx(4.02)
    assert said.total("headgate_delta_gap_seconds_bucket", le="0.025") == 1
    assert said.total("headgate_time_to_first_delta_seconds_sum") == pytest.approx(0.5)


def test_a_call_that_was_retried_says_nothing_of_our_own_part() -> None:
    """Its backoff would count as our work."""
    metered = Metered()
    for attempts in (1, 2):
        with Watching(metered.meter, "grpc", "Chat") as progress:
            for _ in range(attempts):
                progress.attempt_started()
                metered.now += 1
                progress.attempt_ended(None)
                metered.now += 0.25
    assert metered.scrape().total("headgate_overhead_seconds_count") == 1
    assert metered.scrape().total("headgate_overhead_seconds_sum") == 0.25


def test_a_call_that_was_made_before_is_counted_by_who_says_so() -> None:
    """A mesh's word goes first, as in the budget; a call that says nothing is none."""
    metered = Metered()
    for client, mesh in ((0, 0), (2, 0), (0, 1), (1, 1)):
        with Watching(metered.meter, "grpc", "Chat") as progress:
            progress.admit(call(prior_attempts=client, mesh_attempts=mesh))
    assert metered.scrape().by("headgate_client_retries_total", "by") == {"client": 1, "mesh": 2}


@given(st.lists(st.text(max_size=300), max_size=30))
def test_callers_that_nobody_configured_share_one_label(names: list[str]) -> None:
    """Whatever they call themselves, their texts are nowhere."""
    metered = Metered("anna", "bert")
    for name in [*names, "anna"]:
        with Watching(metered.meter, "grpc", "Chat") as progress:
            progress.caller = name
    said = metered.scrape().by("headgate_caller_rpcs_total", "caller")
    assert said.keys() <= {"anna", "bert", "other"}
    assert sum(said.values()) == len(names) + 1
