"""Retry-After in all its forms, and in none of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.retry_after import LONGEST, retry_after

# 2026-11-22 10:00:00 UTC, a Sunday.
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 10:00:30 GMT", 30.0),
        ("Sun Nov 22 10:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 10:00:00 GMT", 0.0),
    ],
)
def test_seconds_and_the_three_dates(value: str, seconds: float) -> None:
    """Seconds and every form of an HTTP-date say the same."""
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_milliseconds_go_first() -> None:
    """retry-after-ms is the finer word of the two."""
    assert retry_after({"retry-after-ms": "250", "retry-after": "1"}, NOW) == 0.25
    assert retry_after({"retry-after-ms": "250.5"}, NOW) == 0.2505


def test_bad_milliseconds_leave_the_other() -> None:
    """Garbage in one header does not hide the other."""
    assert retry_after({"retry-after-ms": "soon", "retry-after": "2"}, NOW) == 2.0


def test_a_date_is_measured_against_the_replys_own_clock() -> None:
    """A clock that is an hour off, there or here, changes nothing."""
    headers = {
        "date": "Sun, 22 Nov 2026 11:00:00 GMT",
        "retry-after": "Sun, 22 Nov 2026 11:00:09 GMT",
    }
    assert retry_after(headers, NOW) == 9.0


def test_a_bad_date_header_leaves_our_clock() -> None:
    """Without a readable Date the wall clock decides."""
    headers = {"date": "yesterday", "retry-after": "Sun, 22 Nov 2026 10:00:09 GMT"}
    assert retry_after(headers, NOW) == 9.0


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "+1",
        "1e3",
        "0x10",
        "nan",
        "inf",
        "١٢",
        "1,2",
        "1.",
        ".5",
        "soon",
        "Sun, 22 Nov 2026 09:59:59 GMT",
        "Mon, 32 Nov 2026 10:00:00 GMT",
        "Sun, 22 Nov 2026 99:00:00 GMT",
        "9" * 10_000,
    ],
)
def test_garbage_negative_and_past_say_nothing(value: str) -> None:
    """What makes no sense is ignored, so that the backoff decides."""
    assert retry_after({"retry-after": value}, NOW) is None
    if not value.startswith("Sun"):
        assert retry_after({"retry-after-ms": value}, NOW) is None


@pytest.mark.parametrize("value", ["86401", "9" * 40, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_huge_is_a_day(value: str) -> None:
    """Nothing asks for more than a day."""
    assert retry_after({"retry-after": value}, NOW) == LONGEST


def test_no_header_says_nothing() -> None:
    """A reply without either header has no opinion."""
    assert retry_after({}, NOW) is None


@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "date"]),
        st.one_of(
            st.text(max_size=70),
            st.from_regex(
                r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{1,9} \w{0,5}"
            ),
            st.integers().map(str),
            st.floats().map(str),
        ),
    ),
    st.floats(min_value=0, max_value=4e9),
)
def test_never_fails_and_never_negative(headers: dict[str, str], now: float) -> None:
    """Whatever an upstream sends, the answer is None or a wait between 0 and a day."""
    wait = retry_after(headers, now)
    assert wait is None or 0 <= wait <= LONGEST
