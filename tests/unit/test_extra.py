"""What has no field of the contract: kept as it was said, and bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headgate.extra import MAX_EXTRA, ExtraFields


def said(extra: ExtraFields, **fields: Any) -> dict[str, Any]:
    return extra.of(json.dumps(fields).encode())


def test_fields_of_the_contract_are_no_extra() -> None:
    """All else is handed on as it was said."""
    odd = {"a": [1, 2.5, None, "é"], "b": {"c": True}}
    assert said(ExtraFields(), id="c-1", choices=[], usage=None, obfuscation="x", **odd) == odd


@pytest.mark.parametrize("data", [b"[]", b"{", b"", b'{"\xff":1}', rb'{"a":"\ud83d"}'])
def test_what_cannot_be_read_holds_none(data: bytes) -> None:
    """It is for others to complain of it."""
    assert ExtraFields().of(data) == {}


def test_a_field_that_cannot_be_read_costs_no_other() -> None:
    """Nor the answer: what is no UTF-8 is left out alone."""
    assert ExtraFields().of(b'{"a":"\xff","b":1}') == {"b": 1}


def test_one_answer_holds_so_much() -> None:
    """What goes beyond is left out, what still fits is not."""
    extra = ExtraFields()
    whole: dict[str, Any] = {}
    for number in range(1000):
        whole |= said(extra, **{f"k{number}": "x" * 1000})
    assert list(whole) == [f"k{number}" for number in range(len(whole))]
    size = len(json.dumps(whole, separators=(",", ":")))
    assert MAX_EXTRA - 2000 < size <= MAX_EXTRA
    assert said(extra, late=1) == {"late": 1}


def test_one_field_that_is_too_large() -> None:
    """By its name alone, too."""
    extra = ExtraFields()
    assert said(extra, large="x" * MAX_EXTRA, small=1) == {"small": 1}
    assert said(extra, **{"é" * (MAX_EXTRA // 2): 1}) == {}


def test_a_field_that_comes_again_takes_the_place_of_what_it_was() -> None:
    """As figures that some servers send with every event."""
    extra = ExtraFields()
    half = "x" * (MAX_EXTRA // 2)
    for number in range(10):
        assert said(extra, timings=half + str(number)) == {"timings": half + str(number)}
    assert said(extra, other=half) == {}
