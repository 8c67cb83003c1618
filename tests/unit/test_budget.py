"""The retry budget: a share of the calls, and never fewer than a floor per second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.budget import FADES_IN, RetryBudget


def spend(budget: RetryBudget, now: float, tries: int) -> int:
    return sum(budget.allow(now) for _ in range(tries))


def test_the_floor_needs_no_calls() -> None:
    """A rare call that fails may always be retried."""
    budget = RetryBudget(share=0.2, floor=10)
    assert spend(budget, 0.0, 100) == 10
    assert spend(budget, 1.0, 100) == 10
    assert spend(budget, 1.5, 100) == 5


def test_the_floor_does_not_pile_up() -> None:
    """After an hour of silence there is one second's worth, not an hour's."""
    budget = RetryBudget(share=0.2, floor=10)
    budget.call(0.0)
    assert spend(budget, 3600.0, 100) == 10


def test_a_floor_below_one_is_one_retry_now_and_then() -> None:
    """Half a retry a second is one retry every two seconds."""
    budget = RetryBudget(share=0, floor=0.5)
    assert [budget.allow(float(second)) for second in range(5)] == [True, False, True, False, True]


def test_the_share_is_a_share_of_the_calls() -> None:
    """A hundred calls pay for twenty retries."""
    budget = RetryBudget(share=0.2, floor=0)
    for _ in range(100):
        budget.call(0.0)
    assert spend(budget, 0.0, 100) in (19, 20)  # a hundred fifths are not quite twenty


def test_no_budget_means_no_retry() -> None:
    """With share and floor 0 nothing is ever retried."""
    budget = RetryBudget(share=0, floor=0)
    budget.call(0.0)
    assert spend(budget, 100.0, 10) == 0


def test_unused_share_fades() -> None:
    """A calm minute does not pay for a storm."""
    budget = RetryBudget(share=0.2, floor=0)
    for _ in range(1000):
        budget.call(0.0)
    assert spend(budget, 60.0, 1000) == 0


def test_calls_that_somebody_retries_count_as_retries() -> None:
    """What clients and meshes retry is paid from the same budget."""
    budget = RetryBudget(share=0.5, floor=0)
    for _ in range(100):
        budget.call(0.0)
    for _ in range(40):
        assert budget.foreign(0.0, heeds_pushback=False)
    assert spend(budget, 0.0, 100) == 10


def test_foreign_retries_alone_leave_nothing() -> None:
    """A storm of foreign retries is not answered with retries of ours."""
    budget = RetryBudget(share=0.2, floor=10)
    for n in range(3000):
        assert budget.foreign(n / 100, heeds_pushback=False)
        assert n < 10 or not budget.allow(n / 100)


def test_foreign_retries_of_what_failed_here_need_the_budget() -> None:
    """While calls fail, a mesh that retries gets no more than we allow ourselves."""
    budget = RetryBudget(share=0.2, floor=10)
    budget.failed(0.0)
    assert sum(budget.foreign(0.0, heeds_pushback=False) for _ in range(100)) == 10


def test_foreign_retries_are_welcome_when_nothing_has_failed_for_a_while() -> None:
    """A replica that died sends its callers to the others, which must not turn them away."""
    budget = RetryBudget(share=0.2, floor=10)
    budget.failed(0.0)
    assert all(budget.foreign(FADES_IN, heeds_pushback=False) for _ in range(100))


def test_clients_that_heed_pushback_are_welcome_while_calls_fail() -> None:
    """The line of a replica that drains; but it leaves nothing for retries of our own."""
    budget = RetryBudget(share=0.2, floor=10)
    budget.failed(0.0)
    assert all(budget.foreign(0.0, heeds_pushback=True) for _ in range(100))
    assert not budget.allow(0.0)


def test_a_failing_upstream_sees_little_more_than_the_calls() -> None:
    """200 calls a second for 30 s, all failing, three attempts each: at most 1.2 times + 10."""
    budget = RetryBudget(share=0.2, floor=10)
    calls = attempts = 0
    for n in range(200 * 30):
        now = n / 200
        budget.call(now)
        calls += 1
        attempts += 1
        for _ in range(2):
            if not budget.allow(now):
                break
            attempts += 1
    assert 1.19 * calls < attempts <= 1.2 * calls + 10


@given(
    st.floats(min_value=0, max_value=2),
    st.floats(min_value=0, max_value=50),
    st.lists(
        st.tuples(st.sampled_from(["call", "retry", "foreign"]), st.floats(-1, 5)), max_size=200
    ),
)
def test_retries_never_pass_the_bound(
    share: float, floor: float, events: list[tuple[str, float]]
) -> None:
    """Whatever comes when, and however the clock steps: share of the calls plus the floor."""
    budget = RetryBudget(share=share, floor=floor)
    now = latest = 0.0
    calls = retries = 0
    for kind, pause in events:
        now += pause
        latest = max(latest, now)
        if kind == "retry":
            retries += budget.allow(now)
        else:
            if kind == "foreign":
                budget.foreign(now, heeds_pushback=False)
            else:
                budget.call(now)
            calls += kind == "call"
        assert retries <= share * calls + floor * latest + max(1.0, floor) * (floor > 0) + 1e-6


@pytest.mark.parametrize(
    ("share", "floor", "name"),
    [(-0.1, 1, "retry.budget"), (0.1, -1, "retry.budget_floor"), (float("nan"), 1, "retry.budget")],
)
def test_bad_settings_are_named(share: float, floor: float, name: str) -> None:
    """A setting out of range is refused by its name."""
    with pytest.raises(ValueError, match=name):
        RetryBudget(share=share, floor=floor)
