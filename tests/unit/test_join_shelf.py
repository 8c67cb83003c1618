"""Which finished answers are kept: for so long, and so many bytes in all."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from headgate.join.shelf import Shelf


def test_an_answer_goes_when_its_time_is_over() -> None:
    """To the instant, and the shelf says when."""
    shelf: Shelf[str] = Shelf(60, 100)
    assert shelf.put("a", 10, 1.0) == []
    assert shelf.put("b", 10, 2.0) == []
    assert shelf.next_end() == 61.0
    assert shelf.expire(60.9) == []
    assert shelf.expire(61.0) == ["a"]
    assert "a" not in shelf
    assert (len(shelf), shelf.weight, shelf.next_end()) == (1, 10, 62.0)
    assert shelf.expire(math.inf) == ["b"]
    assert shelf.next_end() == math.inf


def test_what_cannot_be_kept_is_named() -> None:
    """Too large for the shelf, or nothing is kept at all; the others stay."""
    shelf: Shelf[str] = Shelf(60, 100)
    shelf.put("a", 100, 0.0)
    assert shelf.put("b", 101, 0.0) == ["b"]
    assert "a" in shelf
    assert Shelf[str](0, 100).put("a", 1, 0.0) == ["a"]


puts = st.lists(st.tuples(st.integers(0, 120), st.floats(0, 30)), max_size=40)


@given(puts)
def test_the_bound_holds_and_the_newest_stay(arrivals: list[tuple[int, float]]) -> None:
    """Whatever comes: never over the bound, and nothing goes while something older stays."""
    shelf: Shelf[int] = Shelf(60, 100)
    weights: dict[int, int] = {}
    now = 0.0
    for name, (weight, pause) in enumerate(arrivals):
        now += pause
        weights[name] = weight
        for gone in [*shelf.expire(now), *shelf.put(name, weight, now)]:
            del weights[gone]
        assert set(weights) == {kept for kept in range(name + 1) if kept in shelf}
        assert shelf.weight == sum(weights.values()) <= 100
        assert (name in weights) == (weight <= 100)
        old = [kept for kept in range(name) if kept not in weights and arrivals[kept][0] <= 100]
        assert not weights or not old or max(old) < min(weights)
