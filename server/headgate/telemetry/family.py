"""Metrics as plain data, to be sent over a socket and merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WORKER = "worker"


class Sample(msgspec.Struct, array_like=True, frozen=True):
    """One number; `name` is the family's, with a suffix such as `_total` or `_bucket`."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, array_like=True, frozen=True):
    """All samples of one metric; `kind` is Prometheus' word: counter, gauge, histogram, info."""

    name: str
    kind: str
    help: str
    samples: list[Sample]


def merged(by_worker: Mapping[str, Iterable[Family]]) -> list[Family]:
    """Several processes' families as one list, each sample with the label `worker`."""
    found: dict[str, Family] = {}
    for worker, families in by_worker.items():
        for family in families:
            empty = Family(family.name, family.kind, family.help, [])
            found.setdefault(family.name, empty).samples.extend(
                Sample(sample.name, {WORKER: worker, **sample.labels}, sample.value)
                for sample in family.samples
            )
    return list(found.values())
