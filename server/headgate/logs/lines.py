"""Logging, set up once: lines on stderr, JSON unless a person is watching.

Tracebacks never show local variables: those hold prompts, answers and keys (promise 8). The
settings' secrets are looked for in every line once more, whatever has put it together.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any, cast

import msgspec
import structlog

from headgate.config import LogSettings
from headgate.logs.repeats import Repeats
from headgate.logs.tracebacks import traceback_of
from headgate.outlet import Outlet
from headgate.secrets import HIDDEN, telling

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
# From here on the standard library's log is worth a line: libraries say much below it, and some of
# that quotes what is sent.
LIBRARIES = logging.WARNING

_processors: list[Processor] = []
_encode = msgspec.json.Encoder(enc_hook=repr).encode


class _State:
    """What can change while the process runs."""

    level = LEVELS["info"]
    secrets: tuple[str, ...] = ()
    worker: int | None = None
    outlet: Outlet | None = None


def configure_logs(
    settings: LogSettings | None = None,
    *,
    secrets: Iterable[str] = (),
    worker: int | None = None,
) -> None:
    """Send the log of this process to stderr; at start, and again when the settings are known.

    Args:
        settings: None: the defaults.
        secrets: that no line may hold.
        worker: the number of this worker, which all of its lines then have.
    """
    settings = settings or LogSettings()
    set_level(settings.level)
    _State.secrets = ()
    hide(secrets)
    _State.worker = worker
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    _State.outlet = outlet = Outlet(sys.stderr.buffer)
    # In place, because loggers that were used before hold on to this list.
    _processors[:] = [
        _drop_below_level,
        structlog.contextvars.merge_contextvars,
        Repeats(),
        _add_facts,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_traceback,
        _as_json if as_json else _AsText(colors=sys.stderr.isatty()),
    ]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", outlet)),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_FromLibraries(LIBRARIES)], level=LIBRARIES, force=True)


def set_level(level: str) -> None:
    """From now on lines below this are not written: debug, info, warning or error."""
    _State.level = LEVELS[level]


def hide(secrets: Iterable[str]) -> None:
    """From now on these, too, are hidden wherever they would be written."""
    # As JSON spells them, too; the longest first, because one may be a part of another.
    forms = {form for text in telling(secrets) for form in (text, json.dumps(text)[1:-1])}
    _State.secrets = tuple(sorted({*_State.secrets, *forms}, key=len, reverse=True))


class _FromLibraries(logging.Handler):
    """What libraries say by the standard library, as lines like all others."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log = structlog.get_logger()
            log.log(
                min(record.levelno, logging.CRITICAL),
                record.getMessage(),
                logger=record.name,
                template=record.msg,
                exc_info=record.exc_info,
            )
        except Exception:  # noqa: BLE001 - as every handler: a line that fails must not fail a call
            self.handleError(record)


def _drop_below_level(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    level = LEVELS["error" if method == "exception" else method]
    if level < _State.level:
        raise structlog.DropEvent
    event["level"] = "error" if method == "exception" else method
    return event


def _add_facts(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("template", None)
    if _State.worker is not None:
        event["worker"] = _State.worker
    if _State.outlet is not None and _State.outlet.lost:
        event["lines_lost"] = _State.outlet.lost
    return event


def _add_traceback(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = traceback_of(error)
    return event


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    line = {name: event.pop(name) for name in ("timestamp", "level", "event")}
    line.update(event)
    try:
        text = _encode(line).decode()
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
        text = json.dumps(line, default=repr, skipkeys=True)  # half characters, odd keys
    return _conceal(text).encode()


def _conceal(text: str) -> str:
    for secret in _State.secrets:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


class _AsText:
    """For a person at a terminal."""

    def __init__(self, *, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(
            colors=colors,
            # Values come from callers, too, and a terminal obeys control characters.
            repr_native_str=True,
            exception_formatter=structlog.dev.plain_traceback,
        )

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        text: Any = self._render(logger, method, event)
        return _conceal(str(text)).encode(errors="backslashreplace")
