"""A histogram in plain numbers counts as the library's does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from headgate.telemetry import buckets
from headgate.telemetry.tally import Tally


@given(st.lists(st.one_of(st.floats(0, 100), st.sampled_from(buckets.GAP)), max_size=50))
def test_it_agrees_with_the_library(values: list[float]) -> None:
    """Bucket for bucket, values on a bound included."""
    tally, registry = Tally(buckets.GAP), CollectorRegistry()
    histogram = Histogram("gap", "Gap.", buckets=buckets.GAP, registry=registry)
    for value in values:
        tally.add(value)
        histogram.observe(value)
    theirs = [
        (sample.labels["le"], sample.value)
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "gap_bucket"
    ]
    assert tally.buckets == theirs
    assert tally.count == len(values)
    assert tally.sum == sum(values)
