"""What holds for every call of every case, whatever it is about."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cases import EVENTS

if TYPE_CHECKING:
    import types
    from collections.abc import Collection, Iterator

    from view import View

KEYS: dict[str, type | types.UnionType] = {
    "code": str,
    "message": str,
    "reason": str,
    "retry_delay_ms": int | float | None,
    "metadata": dict,
    "violations": list,
    "trailers": dict,
    "events": list,
    "text": dict,
    "messages": list,
    "elapsed_ms": int | float,
}
MAX_DELTA_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 512
# What the client's own typed error and the plain trailer say may be rounded differently.
ROUNDING_MS = 1.5


def misshapen(seen: dict[str, Any], cannot_fill: Collection[str]) -> list[str]:
    """How the object is not one that the protocol describes, one line each."""
    absent = [key for key in KEYS if key not in seen and key not in cannot_fill]
    wrong = [key for key, kind in KEYS.items() if key in seen and not isinstance(seen[key], kind)]
    return [
        *(f"left out, and not declared as such: {key}" for key in absent),
        *(f"a key that the protocol does not have: {key}" for key in sorted(seen.keys() - KEYS)),
        *(f"{key} is {seen[key]!r}, which is of another kind" for key in wrong),
    ]


def broken_rules(seen: dict[str, Any], view: View, *, stream: bool, helper: bool) -> list[str]:
    """The rules that one call breaks, one line each; keys that are left out break none."""
    lines = list(_of_status(seen))
    if helper:
        return lines
    lines += _of_report(seen, view)
    if stream:
        lines += _of_stream(seen.get("code", ""), view)
    return lines


def _of_status(seen: dict[str, Any]) -> Iterator[str]:
    """The typed error and the trailers tell the same, and tell what the contract promises."""
    code, reason = seen.get("code", ""), seen.get("reason", "")
    trailers = seen.get("trailers")
    if code == "OK":
        if any(seen.get(key) for key in ("message", "reason", "metadata", "violations")):
            yield "OK comes with an error's facts"
        return
    if reason and len(seen.get("message", "").encode()) > MAX_MESSAGE_BYTES:
        yield f"the message is longer than {MAX_MESSAGE_BYTES} bytes"
    if trailers is None:
        return
    if trailers.get("headgate-reason", "") != reason:
        yield f"the reason is {reason!r}, the trailer says {trailers.get('headgate-reason')!r}"
    if reason and "x-request-id" not in trailers:
        yield "a status of the gateway's has no x-request-id"
    yield from _of_pushback(reason, trailers)
    yield from _of_delay(seen, trailers)


def _of_pushback(reason: str, trailers: dict[str, str]) -> Iterator[str]:
    pushback = trailers.get("grpc-retry-pushback-ms")
    if reason and pushback is None:
        yield "a status of the gateway's has no grpc-retry-pushback-ms"
    elif pushback is not None and 0 <= int(pushback) < 50:
        yield f"the pushback is {pushback} ms; allowed: -1, or at least 50"


def _of_delay(seen: dict[str, Any], trailers: dict[str, str]) -> Iterator[str]:
    plain, typed = trailers.get("headgate-retry-after-ms"), seen.get("retry_delay_ms")
    if "retry_delay_ms" not in seen:
        return
    if (plain is None) != (typed is None):
        yield f"the retry delay is {typed}, the trailer says {plain}"
    elif plain is not None and typed is not None and abs(int(plain) - typed) > ROUNDING_MS:
        yield f"the retry delay is {typed} ms, the trailer says {plain}"


def _of_report(seen: dict[str, Any], view: View) -> Iterator[str]:
    """What the program says of its messages is what they say."""
    if "messages" not in seen:
        return
    if [list(run) for run in seen.get("events", view.runs)] != view.runs:
        yield f"it tells the events {seen['events']}, its messages are {view.runs}"
    told = {i: text for i, text in seen.get("text", view.text).items() if text}
    if told != view.text:
        yield "the text that it tells is not that of its messages"


def _of_stream(code: str, view: View) -> Iterator[str]:
    """Promises 1, 2 and 7, and the order of events."""
    names = view.names
    if unknown := set(names) - EVENTS.keys():
        yield f"events that the contract does not have: {sorted(unknown)}"
    if names.count("finished") != (code == "OK"):
        yield f"{names.count('finished')} `finished` in a stream that ended {code}"
    if "finished" in names[:-1]:
        yield "`finished` is not the last event"
    if names.count("started") > 1 or (code == "OK" and "started" not in names):
        yield f"{names.count('started')} `started`"
    begun = names.index("started") if "started" in names else len(names)
    if "delta" in names[:begun]:
        yield "a delta before `started`"
    if "queued" in names[begun:]:
        yield "`queued` after `started`"
    positions = [delta.position for delta in view.deltas]
    if any(later <= earlier for earlier, later in pairwise([0, *positions])):
        yield "positions that do not rise"
    if any(delta.ByteSize() > MAX_DELTA_BYTES + 1024 for delta in view.deltas):
        yield f"a delta of more than {MAX_DELTA_BYTES} bytes"
