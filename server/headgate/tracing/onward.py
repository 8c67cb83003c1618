"""W3C Trace Context and Baggage from a caller, and on to the upstream as they came."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from headgate.errors import HeadgateError
    from headgate.progress import Progress
    from headgate.upstream import Call
    from headgate.watch import Watch

PARENT, STATE, BAGGAGE = "traceparent", "tracestate", "baggage"
# Trace Context, section 3.2.2; later versions may go on after a dash.
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LONGER = re.compile(_PARENT.pattern + r"-[\x20-\x7e]{1,200}")
_TEXT = re.compile(r"[\x20-\x7e]+")
MAX_STATE = 512
MAX_BAGGAGE = 8192


class Carried:
    """What of a caller's headers may go on.

    Args:
        headers: names are in lower case, or do not care about it.
        kinds: of `tracecontext` and `baggage`, which count.

    Attributes:
        fields: valid headers by name.
    """

    __slots__ = ("fields",)

    def __init__(self, headers: Mapping[str, str], kinds: Collection[str]) -> None:
        self.fields: dict[str, str] = {}
        if "tracecontext" in kinds and (parent := headers.get(PARENT)) and _is_parent(parent):
            self.fields[PARENT] = parent
            self._take(headers, STATE, MAX_STATE)
        if "baggage" in kinds:
            self._take(headers, BAGGAGE, MAX_BAGGAGE)

    def _take(self, headers: Mapping[str, str], name: str, longest: int) -> None:
        text = headers.get(name)
        if text and len(text) <= longest and _TEXT.fullmatch(text):
            self.fields[name] = text


class Onward:
    """Passes on, and makes no spans.

    Args:
        kinds: see `Carried`.
    """

    def __init__(self, kinds: Collection[str]) -> None:
        self.kinds = frozenset(kinds)

    def around(self, inner: Watch) -> Watch:
        """The Watch that also does this."""
        return _Following(inner, self.kinds) if self.kinds else inner

    async def aclose(self) -> None:
        """Send what is still to be sent, within a few seconds."""


class _Following:
    """A Watch; see `Onward`."""

    def __init__(self, inner: Watch, kinds: Collection[str]) -> None:
        self._kinds = kinds
        self._inner = inner
        self.end = inner.end

    def begin(self, face: str, method: str = "unknown") -> Progress:
        progress = self._inner.begin(face, method)
        progress.follower = _PassedOn(self._kinds)
        return progress


class _PassedOn:
    """The Follower of one call, and its Trail."""

    __slots__ = ("_carried", "_kinds")

    def __init__(self, kinds: Collection[str]) -> None:
        self._kinds = kinds
        self._carried: Carried | None = None

    def entered(self, headers: Mapping[str, str]) -> None:
        self._carried = Carried(headers, self._kinds)

    def admitted(self, call: Call) -> None:
        if self._carried is not None and self._carried.fields:
            call.trail = self

    def headers(self) -> list[tuple[bytes, bytes]]:
        return as_headers(self._carried.fields) if self._carried else []

    def queued(self) -> None:
        pass

    def attempt_started(self) -> None:
        pass

    def attempt_ended(self, error: HeadgateError | None) -> None:
        pass

    def first_delta(self) -> None:
        pass

    def responded(self, status: int) -> None:
        pass

    def said(self, messages: str, answer: str) -> None:
        pass


def as_headers(fields: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """For a request upstream."""
    return [(name.encode(), text.encode()) for name, text in fields.items()]


def _is_parent(text: str) -> bool:
    if _PARENT.fullmatch(text):
        return True
    return not text.startswith("00") and _LONGER.fullmatch(text) is not None
