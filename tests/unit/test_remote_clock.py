"""Another machine's clock: always within the bounds, and never said too early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.throttle.remote_clock import DRIFT, RemoteClock

AHEAD = 1_000_000.0
trips = st.tuples(st.floats(0, 5), st.floats(0, 0.3), st.floats(0, 0.3))


@given(exchanges=st.lists(trips, min_size=1, max_size=20), later=st.floats(0, 60))
def test_an_instant_is_never_too_early_and_the_doubt_covers_it(
    exchanges: list[tuple[float, float, float]], later: float
) -> None:
    """Whatever way messages take: here is at or after the truth, by the doubt at most."""
    clock, now = RemoteClock(), 0.0
    for pause, there, back in exchanges:
        sent = now + pause
        now = sent + there + back
        assert clock.exchange(sent, sent + there + AHEAD, now)
    now += later
    truth = now + 1
    assert truth - 1e-6 <= clock.here(truth + AHEAD, now)
    assert clock.here(truth + AHEAD, now) <= truth + clock.doubt(now) + 1e-6
    assert clock.there(truth, now) >= truth + AHEAD - 1e-6


def test_the_quickest_exchange_counts() -> None:
    """A slow reply adds no doubt to what is known."""
    clock = RemoteClock()
    clock.exchange(0.0, AHEAD + 0.0005, 0.001)
    clock.exchange(0.1, AHEAD + 0.15, 0.3)
    assert clock.doubt(0.3) < 0.002


def test_doubt_grows_with_time() -> None:
    """Clocks run apart."""
    clock = RemoteClock()
    clock.exchange(0.0, AHEAD, 0.0)
    assert clock.doubt(100.0) == pytest.approx(2 * 100 * DRIFT)


def test_a_clock_that_was_set_anew_is_learnt_anew() -> None:
    """Only the newest exchange counts then, and it is said that something was wrong."""
    clock = RemoteClock()
    assert clock.exchange(0.0, AHEAD, 0.001)
    assert not clock.exchange(1.0, AHEAD - 30, 1.001)
    assert abs(clock.here(AHEAD - 29, 1.001) - 2) < 0.01
