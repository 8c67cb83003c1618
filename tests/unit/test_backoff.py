"""Exponential backoff with full jitter, and the upstream's own word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.backoff import Backoff


def test_the_ceiling_doubles_up_to_the_maximum() -> None:
    """The longest wait grows by the multiplier and stops at the maximum."""
    backoff = Backoff(initial=0.5, maximum=8, multiplier=2)
    assert [backoff.ceiling(n) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]


def test_full_jitter_takes_the_whole_range() -> None:
    """The draw spans from no wait at all to the ceiling."""
    backoff = Backoff()
    assert [backoff.delay(2, draw=draw) for draw in (0.0, 0.25, 1.0)] == [0.0, 0.25, 1.0]


@pytest.mark.parametrize("draw", [0.0, 0.999])
def test_the_upstreams_word_wins(draw: float) -> None:
    """Retry-After replaces the backoff: shorter, longer than the maximum, or none at all."""
    backoff = Backoff(maximum=8)
    for seconds in (0.0, 0.1, 107.0):
        assert backoff.delay(3, draw=draw, retry_after=seconds) == seconds


@given(
    st.floats(min_value=1e-3, max_value=1e3),
    st.floats(min_value=1, max_value=1e3),
    st.floats(min_value=1, max_value=1e6),
    st.integers(min_value=1, max_value=10**6),
    st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_a_wait_lies_between_nothing_and_the_maximum(
    initial: float, growth: float, multiplier: float, failures: int, draw: float
) -> None:
    """However many failures, the wait neither overflows nor passes the maximum."""
    backoff = Backoff(initial=initial, maximum=initial * growth, multiplier=multiplier)
    assert 0 <= backoff.delay(failures, draw=draw) <= backoff.maximum
    assert backoff.ceiling(failures) <= backoff.ceiling(failures + 1)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"initial": 0.0}, "retry.initial_backoff"),
        ({"initial": -1.0}, "retry.initial_backoff"),
        ({"initial": float("nan")}, "retry.initial_backoff"),
        ({"maximum": 0.1}, "retry.max_backoff"),
        ({"multiplier": 0.5}, "retry.backoff_multiplier"),
    ],
)
def test_bad_settings_are_named(values: dict[str, float], name: str) -> None:
    """A setting out of range is refused by its name."""
    with pytest.raises(ValueError, match=name):
        Backoff(**values)
