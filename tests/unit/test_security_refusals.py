"""Refusals: all of them counted, few of them logged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.security.refusals import OTHERS, Refusals


def test_one_line_a_minute_for_each_caller_and_reason() -> None:
    """The next line says how many there were since."""
    refusals = Refusals(every=60)
    assert refusals.note("a", "unknown token", now=0) == ("a", 1)
    assert refusals.note("a", "unknown token", now=1) is None
    assert refusals.note("a", "unknown token", now=59.9) is None
    assert refusals.note("a", "expired token", now=2) == ("a", 1)
    assert refusals.note("b", "unknown token", now=2) == ("b", 1)
    assert refusals.note("a", "unknown token", now=60) == ("a", 3)
    assert refusals.counts == {"unknown token": 5, "expired token": 1}


def test_more_callers_than_there_is_room_for_are_one() -> None:
    """Ten thousand addresses do not make ten thousand lines, nor fill the memory."""
    refusals = Refusals(every=60, room=3)
    lines = [refusals.note(str(i), "no credentials", now=0) for i in range(10_000)]
    assert [line for line in lines if line] == [("0", 1), ("1", 1), ("2", 1), (OTHERS, 1)]
    assert refusals.counts["no credentials"] == 10_000
    assert refusals.note("new", "no credentials", now=60) == ("new", 1)
    assert len(refusals._lines) <= 4


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 30)), max_size=80))
def test_no_refusal_is_forgotten_between_two_lines(notes: list[tuple[str, float]]) -> None:
    """What the lines of one caller tell, and what it has untold, are all there were."""
    refusals = Refusals(every=60, room=100)
    told: dict[str, int] = {}
    now = 0.0
    for who, wait in notes:
        now += wait
        if line := refusals.note(who, "x", now):
            told[who] = told.get(who, 0) + line[1]
    for who, times in told.items():
        untold = refusals._lines[who, "x"].untold
        assert times + untold == sum(1 for name, _ in notes if name == who)
