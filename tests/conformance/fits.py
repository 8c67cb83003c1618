"""Whether a value is as expected; what is expected is JSON and names only what matters."""

from __future__ import annotations

import re
from typing import Any

_NUMBER = re.compile(r"(-?[0-9.]+)s?")


def fits(expected: Any, actual: Any, path: str) -> list[str]:
    """What differs, one line each.

    An object fits when each of its keys does, whatever else is there; null fits what is not
    there. Lists fit one by one. Rules are objects of one key: `{"$between": [low, high]}` for
    numbers, also in texts and durations; `{"$in": [...]}` for one of several; `{"$contains": ...}`
    and `{"$starts": ...}` for texts; `{"$repeats": [text, n]}` for long ones; `{"$any": true}` for
    whatever is there.
    """
    if isinstance(expected, dict):
        rule = next((key for key in expected if key.startswith("$")), None)
        if rule is not None:
            return [] if _RULES[rule](expected[rule], actual) else [_line(path, expected, actual)]
        known = actual if isinstance(actual, dict) else {}
        return [line for key, value in expected.items() for line in _key(key, value, known, path)]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = zip(expected, actual, strict=True)
        return [line for i, pair in enumerate(pairs) for line in fits(*pair, f"{path}[{i}]")]
    return [] if expected == actual else [_line(path, expected, actual)]


def _key(key: str, expected: Any, actual: dict[str, Any], path: str) -> list[str]:
    return fits(expected, actual.get(key), f"{path}.{key}")


def _between(bounds: list[float], actual: Any) -> bool:
    if isinstance(actual, str) and (number := _NUMBER.fullmatch(actual)):
        actual = float(number[1])
    if isinstance(actual, bool) or not isinstance(actual, int | float):
        return False
    return bounds[0] <= actual <= bounds[1]


_RULES: dict[str, Any] = {
    "$any": lambda _, actual: actual is not None,
    "$between": _between,
    "$in": lambda allowed, actual: actual in allowed,
    "$contains": lambda part, actual: isinstance(actual, str) and part in actual,
    "$repeats": lambda what, actual: actual == what[0] * what[1],
    "$starts": lambda start, actual: isinstance(actual, str) and actual.startswith(start),
}


def _line(path: str, expected: Any, actual: Any) -> str:
    return f"{path}: expected {_short(expected)}, saw {_short(actual)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:120]}... ({len(text)} characters)"
