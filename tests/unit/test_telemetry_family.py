"""Metrics as plain data: what is left out, how several processes become one text."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from headgate.telemetry.family import Family, Sample, merged
from headgate.telemetry.samples import exposition, families_of
from support.scrape import Scrape

NAMES = st.sampled_from(["0", "1", "2", "supervisor"])
TEXT = st.text(max_size=20)
NUMBERS = st.floats(min_value=0, max_value=1e15)
FAMILY = st.builds(
    lambda label, values: Family(
        "jobs",
        "counter",
        "Jobs.",
        [Sample("jobs_total", {"of": label, "n": str(n)}, value) for n, value in enumerate(values)],
    ),
    TEXT,
    st.lists(NUMBERS, max_size=3),
)


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("jobs", "Jobs.", ["kind"], registry=made).labels("a").inc(3)
    Gauge("depth", "Depth.", registry=made).set(2)
    Gauge("limit", "No limit.", registry=made).set(math.inf)
    Histogram("took_seconds", "Took.", buckets=(1, 2), registry=made).observe(1.5)
    return made


def test_a_registry_becomes_data_and_text_again() -> None:
    """Values and buckets are there; the beginnings of series and infinite limits are not."""
    sent = msgspec.json.decode(msgspec.json.encode(families_of(registry())), type=list[Family])
    body, media = exposition(sent)
    scrape = Scrape.of(body.decode())
    assert media.startswith("text/plain")
    assert scrape.total("jobs_total", kind="a") == 3
    assert scrape.total("depth") == 2
    assert scrape.by("took_seconds_bucket", "le") == {"2.0": 1, "+Inf": 1}
    assert scrape.find("limit") == []
    assert [sample for sample in scrape.samples if sample.name.endswith("_created")] == []


def test_who_asks_for_open_metrics_gets_it() -> None:
    """As the scraper's Accept says."""
    body, media = exposition(families_of(registry()), "application/openmetrics-text")
    assert media.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@given(st.dictionaries(NAMES, st.lists(FAMILY, max_size=1)))
def test_merging_keeps_every_sample_and_says_whose_it_is(
    by_worker: dict[str, list[Family]],
) -> None:
    """Each family stands once, and each worker's samples are its own."""
    whole = merged(by_worker)
    assert len({family.name for family in whole}) == len(whole)
    scrape = Scrape.of(exposition(whole)[0].decode())
    for worker, families in by_worker.items():
        said = [sample.value for family in families for sample in family.samples]
        assert [sample.value for sample in scrape.find("jobs_total", worker=worker)] == said
    assert len(scrape.samples) == sum(len(f.samples) for fs in by_worker.values() for f in fs)


def test_merging_changes_none_of_its_inputs() -> None:
    """A worker's answer may be used again."""
    family = Family("jobs", "counter", "Jobs.", [Sample("jobs_total", {}, 1)])
    merged({"0": [family], "1": [family]})
    assert family.samples == [Sample("jobs_total", {}, 1)]
