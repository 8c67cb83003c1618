"""The sorted sequence behaves like a sorted list, whatever is done to it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.throttle.sorted_keys import BLOCK, SortedKeys


@given(st.lists(st.tuples(st.sampled_from("aaaarpk"), st.integers(0, 40)), max_size=200))
def test_like_a_sorted_list(events: list[tuple[str, int]]) -> None:
    """Add, remove, pop, both ends, rank and order agree with a plain list at every step."""
    keys: SortedKeys[tuple[int]] = SortedKeys()
    model: list[tuple[int]] = []
    for kind, number in events:
        key = (number,)
        if kind == "a" and key not in model:
            keys.add(key)
            model = sorted([*model, key])
        elif kind == "r" and key in model:
            keys.remove(key)
            model.remove(key)
        elif kind == "p" and model:
            assert keys.pop_first() == model.pop(0)
        assert keys.rank(key) == sum(other < key for other in model)
        assert list(keys) == model
        assert len(keys) == len(model)
        if model:
            assert (keys.first(), keys.last()) == (model[0], model[-1])


def test_over_many_blocks() -> None:
    """The same with several blocks, added and taken out in random order."""
    shuffle = random.Random(7).shuffle
    numbers = list(range(10 * BLOCK))
    shuffle(numbers)
    keys: SortedKeys[tuple[int]] = SortedKeys()
    for number in numbers:
        keys.add((number,))
    assert [key for (key,) in keys] == sorted(numbers)
    assert [keys.rank((number,)) for number in numbers] == numbers
    assert keys.rank((10 * BLOCK,)) == 10 * BLOCK
    shuffle(numbers)
    kept = sorted(numbers[:100])
    for number in numbers[100:]:
        keys.remove((number,))
    assert [key for (key,) in keys] == kept
    assert [keys.rank((number,)) for number in kept] == list(range(100))
    assert [keys.pop_first()[0] for _ in kept] == kept
    assert not keys


def test_a_key_that_is_not_there_is_an_error() -> None:
    """Removing what was never added is a fault, and changes nothing."""
    keys: SortedKeys[tuple[int]] = SortedKeys()
    for missing in (1, 3):
        with pytest.raises(KeyError):
            keys.remove((missing,))
        if not keys:
            keys.add((2,))
    assert list(keys) == [(2,)]
