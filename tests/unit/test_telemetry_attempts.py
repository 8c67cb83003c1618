"""What is counted of attempts at the upstream, in labels that no upstream can make grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from headgate import wire
from headgate.http_upstream import AttemptReport
from headgate.telemetry.attempts import AttemptMeter
from headgate.telemetry.samples import exposition, families_of
from support.scrape import Scrape


def counted(*reports: AttemptReport) -> Scrape:
    registry = CollectorRegistry()
    meter = AttemptMeter(registry, lambda caller: caller.upper())
    for report in reports:
        meter.hear(report)
    return Scrape.of(exposition(families_of(registry))[0].decode())


def test_times_count_from_the_written_request() -> None:
    """A wait at the throttle's gate is no latency of the upstream's."""
    said = counted(
        AttemptReport(
            "a",
            outcome="OK",
            status=200,
            connected=0.5,
            written=10.5,
            responded=11.0,
            first_content=12.5,
            ended=20.5,
        )
    )
    sums = ("connect", 0.5), ("response", 0.5), ("first_content", 2.0), ("duration", 10.0)
    for name, seconds in sums:
        assert said.total(f"headgate_upstream_{name}_seconds_sum") == pytest.approx(seconds)


def test_what_was_never_written_has_no_latency() -> None:
    """An attempt that could not connect counts as an attempt, and as nothing else."""
    said = counted(AttemptReport("a", outcome="UPSTREAM_UNAVAILABLE", ended=3.0))
    outcomes = said.by("headgate_attempts_total", "status", "outcome")
    assert outcomes == {("none", "UPSTREAM_UNAVAILABLE"): 1}
    for name in ("connect", "response", "first_content", "duration"):
        assert said.total(f"headgate_upstream_{name}_seconds_count") == 0


def test_tokens_are_counted_by_kind_and_caller() -> None:
    """As the upstream says; kinds that it does not know are left out."""
    usage = wire.Usage(
        prompt_tokens=7,
        completion_tokens=5,
        total_tokens=12,
        prompt_tokens_details=wire.PromptTokensDetails(cached_tokens=3),
    )
    plain = wire.Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)
    said = counted(AttemptReport("a", usage=usage), AttemptReport("b", usage=plain))
    assert said.by("headgate_tokens_total", "caller", "kind") == {
        ("A", "prompt"): 7,
        ("A", "completion"): 5,
        ("A", "cached"): 3,
        ("B", "prompt"): 1,
        ("B", "completion"): 1,
    }


@pytest.mark.parametrize("tokens", [-5, 0, 2**31, 10**30])
def test_figures_that_no_count_can_be_are_left_out(tokens: int) -> None:
    """A counter must not fall, and one answer must not spoil the sum of all others."""
    usage = wire.Usage(prompt_tokens=tokens, completion_tokens=2, total_tokens=2)
    said = counted(AttemptReport("a", usage=usage))
    assert said.by("headgate_tokens_total", "kind") == {"completion": 2}


@given(st.lists(st.integers(-1000, 100_000), max_size=50))
def test_invented_statuses_share_one_label(statuses: list[int]) -> None:
    """Only what HTTP knows has a label of its own."""
    said = counted(*(AttemptReport("a", status=status) for status in statuses))
    assert all(label == "other" or 100 <= int(label) <= 599 for label in said.values("status"))
    assert said.total("headgate_attempts_total") == len(statuses)
