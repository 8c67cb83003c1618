"""When the upstream says to come back (RFC 9110, 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 86_400.0
"""Seconds; whatever asks for more gets a day. Every user clamps further by its own limits."""

NUMBER = re.compile(r"[0-9]{1,64}(\.[0-9]{1,64})?")


def retry_after(headers: Mapping[str, str], wall_now: float) -> float | None:
    """Seconds to wait from now on, 0 or more; None: the reply says nothing of use.

    `retry-after-ms` (milliseconds) goes before Retry-After, which is seconds or an HTTP-date.
    A date is measured against the reply's own Date where it has one, so that two clocks need not
    agree; a date that is past says nothing, and the backoff decides.

    Args:
        headers: of the reply; looked up in lower case.
        wall_now: seconds since 1970, for a date in a reply without Date.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(LONGEST, milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return min(LONGEST, seconds)
    at = _date(value)
    if at is None:
        return None
    said_at = _date(headers.get("date"))
    wait = at - (wall_now if said_at is None else said_at)
    return min(LONGEST, wait) if wait >= 0 else None


def _number(value: str | None) -> float | None:
    """Digits are what the RFC has; a fraction is common, signs and exponents are noise."""
    value = (value or "").strip()
    return float(value) if NUMBER.fullmatch(value) else None


def _date(value: str | None) -> float | None:
    """Any of the three forms of an HTTP-date, which is always UTC (RFC 9110, 5.6.7)."""
    if not value or len(value) > 64:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None  # parsedate is loose: garbage fails in it in several ways
