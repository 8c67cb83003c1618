"""The access log: one line for each call, when it is over."""

from __future__ import annotations

from functools import lru_cache, partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import structlog

from headgate.ending import NOT_THERE, http_status
from headgate.errors import Reason
from headgate.identity import LOCAL
from headgate.logs.repeats import CALL, Repeats
from headgate.security.peer import is_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate import wire
    from headgate.config import LogSettings
    from headgate.ending import Ending
    from headgate.progress import Progress
    from headgate.watch import Watch

UNKNOWN = "unknown call"
MAX_LABELS = 16
MAX_LABEL = 128
# Outcomes that an operator should look at; to be draining is none.
_WARNINGS = frozenset({"ABORTED", "INTERNAL", "UNAVAILABLE"})
_log = structlog.get_logger("headgate")


def _at_once(work: Callable[[], None]) -> None:
    work()


class AccessLog:
    """Writes the lines.

    Strangers may call as often as they like, so of calls without valid credentials, and of those
    to methods that there are not, only some leave a line; `left_out` says how many did not.

    Args:
        settings: which calls leave a line, and what is said of callers without a name.
        later: runs what it is given when the answer is on its way, which a line need not delay.
    """

    def __init__(
        self, settings: LogSettings, later: Callable[[Callable[[], None]], object] = _at_once
    ) -> None:
        self._strangers = Repeats()
        self._later = later
        self.change(settings)

    def change(self, settings: LogSettings) -> None:
        """Other settings, for the calls that end from now on."""
        self._on = settings.access != "off"
        self._errors_only = settings.access == "errors"
        self._addresses = settings.addresses

    def around(self, inner: Watch) -> Watch:
        """The Watch that also writes the line."""
        return _Lined(inner, self)

    def unknown(self, face: str, method: str, request_id: str) -> None:
        """A stranger asked for something that there is not."""
        left_out = self._strangers.due(UNKNOWN) if self._on else None
        if left_out is not None:
            facts = {
                "method": method[:MAX_LABEL],
                "code": NOT_THERE[face],
                "request_id": request_id,
            }
            _log.info(UNKNOWN, face=face, **facts, **_counted(left_out))

    def tell(self, progress: Progress, ending: Ending) -> None:
        """The call is over."""
        if not self._on or (self._errors_only and ending.ok):
            return
        left_out: int | None = 0
        if ending.reason == Reason.UNAUTHENTICATED:
            left_out = self._strangers.due(ending.reason)
        if left_out is not None:
            facts = self._facts(progress, ending) | _figures(progress)
            known = {name: fact for name, fact in facts.items() if fact is not None}
            self._later(partial(_level(ending), CALL, **known, **_counted(left_out)))

    def _facts(self, progress: Progress, ending: Ending) -> dict[str, Any]:
        call, head = progress.call, progress.head
        return {
            "face": progress.face,
            "method": progress.method,
            "path": progress.path or None,
            "code": ending.code,
            "reason": ending.reason or None,
            "http_status": http_status(ending, progress) if progress.face == "http" else None,
            "upstream_status": progress.failed_status,
            "request_id": progress.request_id,
            "caller": self._caller(progress.caller),
            "model": (head and head.model) or (call and call.request.model) or None,
            "labels": labels_of(call.labels) if call and call.labels else None,
            "joined": True if call and call.idempotency_key else None,
        }

    def _caller(self, caller: str) -> str | None:
        if not caller or self._addresses:
            return caller or None
        return name_or_class(caller)


class _Lined:
    """A Watch; see `AccessLog`."""

    def __init__(self, inner: Watch, log: AccessLog) -> None:
        self._inner = inner
        self._log = log
        self.begin = inner.begin

    def end(self, progress: Progress, ending: Ending) -> None:
        try:
            self._log.tell(progress, ending)
        finally:
            self._inner.end(progress, ending)


@lru_cache(maxsize=1024)
def name_or_class(caller: str) -> str:
    """The caller's name, or of an address `local` (a socket), `loopback`, `private`, `public`."""
    if caller == LOCAL or is_name(caller):
        return caller
    try:
        network = ip_network(caller, strict=False)
    except ValueError:  # a trusted peer may state what no credential could
        return caller
    if network.is_loopback:
        return "loopback"
    return "private" if network.is_private else "public"


def labels_of(labels: Any) -> dict[str, str]:
    """A caller's labels, no more and no longer than a line can bear."""
    pairs = list(labels.items())[:MAX_LABELS]
    return {name[:MAX_LABEL]: value[:MAX_LABEL] for name, value in pairs}


def tokens_of(usage: wire.Usage | None) -> dict[str, int | None]:
    """Counts by kind; None for what the upstream did not say."""
    if usage is None:
        return {}
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": prompt.cached_tokens if prompt else None,
        "reasoning_tokens": completion.reasoning_tokens if completion else None,
    }


def _figures(progress: Progress) -> dict[str, Any]:
    """Times in seconds."""
    first = progress.time_to_first_delta
    return {
        "attempts": progress.attempts,
        "seconds": round(progress.clock() - progress.started, 4),
        "queue_seconds": round(progress.queued_so_far(), 4),
        "upstream_seconds": round(progress.upstream_so_far(), 4),
        "overhead_seconds": round(progress.overhead(), 4),
        "first_delta_seconds": None if first is None else round(first, 4),
        "deltas": progress.deltas or None,
        **tokens_of(progress.usage),
    }


def _counted(left_out: int) -> dict[str, int]:
    return {"left_out": left_out} if left_out else {}


def _level(ending: Ending) -> Callable[..., None]:
    if ending.reason == Reason.INTERNAL:
        level: Callable[..., None] = _log.error
    elif ending.reason == Reason.UPSTREAM_CREDENTIALS:
        level = _log.warning  # our key or account, so nobody else will see to it
    elif ending.code in _WARNINGS and ending.reason != Reason.DRAINING:
        level = _log.warning
    else:
        level = _log.info
    return level
