"""What a program and the upstream saw, against what the case expects."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from cases import EVENTS
from fits import fits
from rules import broken_rules, misshapen
from view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cases import Step
    from upstream import Attempt

_WORD = re.compile("[a-z]+")


def differences(
    step: Step,
    calls: list[dict[str, Any]],
    *,
    cannot_fill: Collection[str] = (),
    took_ms: float = math.inf,
) -> list[str]:
    """How what the program saw differs from what the step expects, one line each.

    Args:
        step: with a call.
        calls: what the program told, one object for each call.
        cannot_fill: the keys that this client cannot tell.
        took_ms: how long the kit itself waited for the answer.
    """
    judged = [_judge(step, seen, cannot_fill, took_ms) for seen in calls]
    if len(step.expect) == 1:
        lines = [line for [of_one] in judged for line in of_one]
        return list(dict.fromkeys(lines))  # a hundred calls may all say the same
    return _alternatives(step.expect, judged, calls)


def _alternatives(
    expect: list[dict[str, Any]], judged: list[list[list[str]]], calls: list[dict[str, Any]]
) -> list[str]:
    lines = []
    for number, expected in enumerate(expect):
        fitting = sum(not of_one[number] for of_one in judged)
        if fitting != expected["times"]:
            name = f"{expected['code']} {expected.get('reason', '')}".strip()
            lines.append(
                f"{fitting} of the calls are as expected of {name}, not {expected['times']}"
            )
    if lines:
        kinds = sorted(f"{seen.get('code')} {seen.get('reason', '')}".strip() for seen in calls)
        lines.append(f"the calls ended: {', '.join(kinds)}")
        lines += [line for of_one in judged if all(of_one) for line in min(of_one, key=len)]
    return lines


def _judge(
    step: Step, seen: dict[str, Any], cannot_fill: Collection[str], took_ms: float
) -> list[list[str]]:
    """The differences from each alternative; rules that are broken count against all."""
    call = step.call or {}
    helper, method = call.get("helper", False), call["method"]
    lines = misshapen(seen, cannot_fill)
    if any("another kind" in line for line in lines):
        return [lines] * len(step.expect)
    if seen.get("elapsed_ms", 0) > took_ms + 1:
        lines.append(f"it tells {seen['elapsed_ms']:.0f} ms, but answered after {took_ms:.0f}")
    try:
        view = View(method, seen.get("messages", []))
    except (ValueError, DecodeError) as error:
        return [[f"its messages cannot be read: {error}"]] * len(step.expect)
    lines += broken_rules(seen, view, stream=method == "StreamChat", helper=helper)
    return [lines + _against(expected, seen, view) for expected in step.expect]


def _against(expected: dict[str, Any], seen: dict[str, Any], view: View) -> list[str]:
    lines = []
    for key, value in expected.items():
        if key in _FROM_REPORT:
            if (name := _FROM_REPORT[key]) in seen:
                told = _without_empty(seen[name]) if name == "text" else seen[name]
                lines += _SPECIAL.get(key, fits)(value, told, key)
        elif key in _FROM_MESSAGES and "messages" in seen:
            lines += _SPECIAL.get(key, fits)(value, _FROM_MESSAGES[key](view), key)
    return lines


def _without_empty(text: dict[str, str]) -> dict[str, str]:
    """A choice without content may be told or left out."""
    return {index: content for index, content in text.items() if content}


def _message(expected: str, actual: Any, path: str) -> list[str]:
    return fits({"$contains": expected}, actual, path)


def _events(expected: str, actual: Any, path: str) -> list[str]:
    """`expected` is a regular expression of event names, such as `started delta+ finished`."""
    pattern = _WORD.sub(lambda word: EVENTS[word[0]], expected).replace(" ", "")
    told = "".join(EVENTS.get(name, "?") * count for name, count in actual)
    shown = " ".join(f"{name}*{count}" for name, count in actual) or "nothing"
    return [] if re.fullmatch(pattern, told) else [f"{path}: expected {expected}, saw {shown}"]


def _violations(expected: Any, actual: Any, path: str) -> list[str]:
    """The fields in their order, and of each description a part; or the first and the last."""
    if isinstance(expected, dict):
        first, last = expected["first"], expected["last"]
        lines = _violations(first, actual[: len(first)], f"{path}.first")
        return lines + _violations(last, actual[-len(last) :], f"{path}.last")
    wanted = [[field, {"$contains": part}] for field, part in expected]
    return fits(wanted, actual, path)


def _interval(expected: list[float], actual: Any, path: str) -> list[str]:
    return fits(None if expected is None else {"$between": expected}, actual, path)


def _text_starts(expected: dict[str, str], actual: Any, path: str) -> list[str]:
    return fits({i: {"$starts": start} for i, start in expected.items()}, actual, path)


_FROM_REPORT = {
    "code": "code",
    "message": "message",
    "reason": "reason",
    "retry_delay_ms": "retry_delay_ms",
    "metadata": "metadata",
    "violations": "violations",
    "trailers": "trailers",
    "events": "events",
    "text": "text",
    "text_starts": "text",
    "takes_ms": "elapsed_ms",
}
_FROM_MESSAGES: dict[str, Callable[[View], Any]] = {
    "answers": lambda view: view.answers,
    "started": lambda view: next(iter(view.all_of("started")), None),
    "finished": lambda view: next(iter(view.all_of("finished")), None),
    "queued": lambda view: next(iter(view.all_of("queued")), None),
    "response": lambda view: view.response,
    "deltas": lambda view: len(view.deltas),
    "positions": lambda view: view.deltas[-1].position if view.deltas else 0,
}
_SPECIAL: dict[str, Callable[[Any, Any, str], list[str]]] = {
    "message": _message,
    "events": _events,
    "violations": _violations,
    "retry_delay_ms": _interval,
    "text_starts": _text_starts,
    "takes_ms": _interval,
    "deltas": _interval,
}


def upstream_differences(expected: dict[str, Any], attempts: list[Attempt]) -> list[str]:
    """How what the upstream saw differs from what is expected of it."""
    lines = []
    if "attempts" in expected:
        lines += fits(expected["attempts"], len(attempts), "upstream.attempts")
    if "cancelled" in expected:
        cancelled = bool(attempts) and attempts[-1].gone_at is not None
        lines += fits(expected["cancelled"], cancelled, "upstream.cancelled")
    if "gap_ms" in expected:
        lines += fits({"$between": expected["gap_ms"]}, _gap(attempts), "upstream.gap_ms")
    last = attempts[-1] if attempts else None
    if "size" in expected:
        lines += fits(expected["size"], last and last.size, "upstream.size")
    body = last.body if last else {}
    lines += fits(expected.get("body", {}), body, "upstream.body")
    lines += fits(expected.get("headers", {}), last.headers if last else {}, "upstream.headers")
    there = sorted(name for name in expected.get("absent", ()) if name in body)
    return lines + [f"upstream.body.{name} is there, and should not be" for name in there]


def _gap(attempts: list[Attempt]) -> float:
    """The shortest time between two attempts, milliseconds."""
    times = sorted(attempt.at for attempt in attempts)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return min(gaps, default=0.0) * 1000
