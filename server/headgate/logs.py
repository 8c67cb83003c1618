"""Logging, set up once: lines on stderr, JSON unless a person is watching.

Tracebacks never show local variables: those hold prompts, answers and keys (promise 8).
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs() -> None:
    """Send the log of this process to stderr; once, at start."""
    watched = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if watched
        else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if watched else [structlog.processors.format_exc_info]),
        renderer,
    ]
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard library; their warnings are worth a line too.
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
